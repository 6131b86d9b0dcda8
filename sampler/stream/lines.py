"""Settlements wait in line, one line a partition: a crash can repeat only what was sent and is not recorded yet."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from sampler.engine.settlement import Settlement
from sampler.engine.watermark import PendingSettlement


class Waiting(NamedTuple):
    """A settlement in its line."""

    settlement: Settlement
    pending: PendingSettlement
    messages: int
    traces: int
    size_bytes: int


@dataclass(slots=True)
class _Line:
    waiting: deque[Waiting] = field(default_factory=deque)
    under_way: list[PendingSettlement] = field(default_factory=list)


class Lines:
    """Who is next: of each partition only so much is under way as its largest settlement has been.

    A settlement is under way until its decisions are recorded: until then a crash repeats it. While the broker answers
    nothing, decisions are made as ever and wait here. `messages` and `size_bytes` are what waits in all lines.
    """

    def __init__(self) -> None:
        self._lines: dict[int, _Line] = {}
        self._largest = self._most_traces = 0
        self.messages = 0
        self.size_bytes = 0

    def add(self, partition: int, settlement: Settlement, pending: PendingSettlement) -> None:
        """At the end of its line."""
        payloads = [payload for _, payload in settlement.outputs]
        payloads += [payload for _, _, payload in settlement.routed]
        payloads += [letter.value for letter in settlement.dead_letters]
        traces = len(settlement.written_traces)
        waiting = Waiting(settlement, pending, len(payloads), traces, sum(map(len, payloads)))
        self._largest = max(self._largest, waiting.messages)
        self._most_traces = max(self._most_traces, traces)
        self.messages += waiting.messages
        self.size_bytes += waiting.size_bytes
        self._lines.setdefault(partition, _Line()).waiting.append(waiting)

    def next(self, partition: int) -> list[Waiting]:
        """Those of a line that may be sent now; they have left it. What was given up meanwhile leaves it too."""
        line = self._lines[partition]
        if any(not (pending.finished or pending.failed) for pending in line.under_way):
            return []
        sent: list[Waiting] = []
        messages = traces = 0
        while line.waiting and (not messages or self._fit(line.waiting[0], messages, traces)):
            first = self._leave(line)
            if not first.pending.failed:
                sent.append(first)
                messages += first.messages
                traces += first.traces
        line.under_way = [each.pending for each in sent]
        return sent

    def partitions(self) -> list[int]:
        """Where somebody waits."""
        return [partition for partition, line in self._lines.items() if line.waiting] if self.messages else []

    def give_up(self) -> None:
        """Nobody waits any more: their settlements have failed."""
        for line in self._lines.values():
            while line.waiting:
                pending = self._leave(line).pending
                pending.unacknowledged, pending.failed = 0, True

    def _fit(self, waiting: Waiting, messages: int, traces: int) -> bool:
        """Whether it may go with so many others."""
        return messages + waiting.messages <= self._largest and traces + waiting.traces <= self._most_traces

    def _leave(self, line: _Line) -> Waiting:
        first = line.waiting.popleft()
        self.messages -= first.messages
        self.size_bytes -= first.size_bytes
        return first
