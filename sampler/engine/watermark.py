"""How far a partition may be committed: settlements are finished in order, each when its outputs are acknowledged."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sampler.engine.decision_record import DecisionRecord
from sampler.engine.settlement import Settlement


class Recording(Protocol):
    """A decision record on its way to the brokers: a future."""

    def done(self) -> bool: ...


@dataclass(slots=True, eq=False)
class PendingSettlement:
    """A settlement under way; `unacknowledged` outputs are still with the broker.

    `recordings` are its records on their way into the decision table, None until they are sent there.
    """

    records: Sequence[DecisionRecord]
    watermark: int
    unacknowledged: int
    failed: bool = False
    recordings: Sequence[Recording] | None = None

    @property
    def finished(self) -> bool:
        """Its outputs are acknowledged, and its decisions are with the brokers: nothing of it can be repeated."""
        recordings = self.recordings
        return not self.unacknowledged and recordings is not None and all(each.done() for each in recordings)


class Watermark:
    """The offset of one partition up to which everything is finished: outputs acknowledged, decisions recorded."""

    def __init__(self, committed: int) -> None:
        self.offset = committed
        self.finished = 0
        """How many settlements have been finished."""
        self._pending: deque[PendingSettlement] = deque()

    def __len__(self) -> int:
        return len(self._pending)

    def begin(self, settlement: Settlement) -> PendingSettlement:
        """Queue a settlement; the caller counts `unacknowledged` down as the broker answers."""
        unacknowledged = len(settlement.outputs) + len(settlement.routed) + len(settlement.dead_letters)
        pending = PendingSettlement(settlement.records, settlement.watermark, unacknowledged)
        self._pending.append(pending)
        return pending

    def finish(self, record: Callable[[DecisionRecord], Recording]) -> int:
        """Take settlements as far as they go, in order, and return how many records were sent to the table by it.

        The outputs of a settlement are acknowledged before its records are sent with `record`, and those are with the
        brokers before the watermark passes it. One that waits holds back all behind it.
        """
        sent = 0
        for settlement in self._pending:
            if settlement.recordings is None:
                if settlement.unacknowledged or settlement.failed:
                    break
                settlement.recordings = [record(each) for each in settlement.records]
                sent += len(settlement.records)
        while self._pending:
            if not self._pending[0].finished:
                break
            self.offset = max(self.offset, self._pending.popleft().watermark)
            self.finished += 1
        return sent

    @property
    def recording(self) -> bool:
        """Whether the oldest settlement waits for its records to reach the brokers."""
        return bool(self._pending) and self._pending[0].recordings is not None

    def abandon(self) -> None:
        """Nobody waits for these settlements any more: what of their outputs has not left must not be sent again."""
        for settlement in self._pending:
            settlement.failed = True

    @property
    def failed(self) -> bool:
        """An output was refused for good: the partition must be read again from its watermark."""
        return any(settlement.failed for settlement in self._pending)
