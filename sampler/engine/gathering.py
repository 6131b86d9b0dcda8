"""Records into the undecided traces of one partition: the loop that every span goes through.

There are two forms: in Python, and compiled, for a compiled scanner. They do the same.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias, cast

from policies.verdict import Verdict
from sampler.engine import native
from sampler.engine.deadlines import Deadlines
from sampler.engine.decision_memory import DecisionMemory
from sampler.engine.entry import TraceEntry
from sampler.engine.settings import EngineSettings
from sampler.engine.settlement import EngineCounts
from sampler.engine.trace_table import TraceTable
from sampler.otlp import ScanError, Scanner, ScanPlan, is_compiled, partition_of

Record: TypeAlias = tuple[int, int, bytes]
"""Offset, timestamp in milliseconds, value."""


class Host(Protocol):
    """The partition that a gatherer works for: its parts, and what it does where gathering alone does not suffice."""

    partition: int
    table: TraceTable
    deadlines: Deadlines
    memory: DecisionMemory

    def put_aside(self, offset: int, value: bytes, error: ScanError) -> None:
        """A record is no OTLP."""

    def follow(self, offset: int, trace_id: bytes, chunk: bytes, summary: Any, verdict: Verdict) -> None:
        """Spans have come of a trace that was decided before."""

    def refuse(self, trace_id: bytes, summary: Any) -> bool:
        """Whether a new trace is not to be taken; then it has been decided."""

    def check_limits(self, entry: TraceEntry, root_came: bool, now_ms: int) -> None:
        """A trace has grown to a limit, or its root has come."""


class Gatherer(Protocol):
    """Takes records into traces. `now_ms` is stream time after the last record that was taken.

    While `refusing`, the host is asked about every new trace.
    """

    now_ms: int
    refusing: bool

    def gather(
        self, plan: ScanPlan, records: list[Record], at: int, now_ms: int, wall_ms: int, counts: EngineCounts
    ) -> int:
        """Take records from place `at` on, and return the place of the first that was not taken.

        The first is taken in any case: the caller has moved stream time, `now_ms`, to it. It stops before a record
        that would bring stream time to the next deadline or beyond the wall clock, and after one that brought a trace
        to a limit.
        """


def gatherer_for(host: Host, settings: EngineSettings, scanner: Scanner) -> Gatherer:
    """The compiled gatherer where `scanner` is the compiled scanner itself, else the plain one."""
    if native.compiled is not None and is_compiled(scanner):
        return cast(Gatherer, native.compiled.Gatherer(host, settings, scanner))
    return PlainGatherer(host, settings, scanner)


class PlainGatherer:
    """The gatherer in Python; see `Gatherer`."""

    def __init__(self, host: Host, settings: EngineSettings, scanner: Scanner) -> None:
        self.now_ms = -1
        self.refusing = False
        self._host = host
        self._settings = settings
        self._scan = scanner.scan
        self._stop = False

    def gather(
        self, plan: ScanPlan, records: list[Record], at: int, now_ms: int, wall_ms: int, counts: EngineCounts
    ) -> int:
        """See `Gatherer.gather`."""
        host, first = self._host, at
        deadlines = host.deadlines
        self.now_ms, self._stop = now_ms, False
        while at < len(records) and not self._stop:
            offset, timestamp_ms, value = records[at]
            if timestamp_ms > self.now_ms and at != first:
                if timestamp_ms > wall_ms or timestamp_ms >= deadlines.next_ms:
                    break
                self.now_ms = timestamp_ms
            at += 1
            counts.records += 1
            counts.received_bytes += len(value)
            try:
                traces, invalid_spans = self._scan(plan, value)
            except ScanError as error:
                host.put_aside(offset, value, error)
                continue
            if counts.services is not None:
                counts.services.add((records[at - 1],), 2)
            counts.invalid_spans += invalid_spans
            for trace in traces:
                self._add(offset, *trace, counts)
        return at

    def _add(self, offset: int, trace_id: bytes, chunk: bytes, summary: Any, counts: EngineCounts) -> None:
        host = self._host
        counts.spans += summary.span_count
        entry = host.table.get(trace_id)
        if entry is None:
            entry = self._begin(offset, trace_id, chunk, summary, counts)
            if entry is None:
                return
        elif entry.too_large:
            entry.summary.merge(summary)
            return
        else:
            host.table.extend(entry, chunk, summary)
        if entry.foreign:
            counts.mispartitioned_spans += summary.span_count
        self._check_limits(entry, summary.has_root)

    def _begin(
        self, offset: int, trace_id: bytes, chunk: bytes, summary: Any, counts: EngineCounts
    ) -> TraceEntry | None:
        """Begin a trace; None where it was decided before, or is now."""
        host, settings = self._host, self._settings
        verdict = host.memory.get(trace_id)
        if verdict is not None:
            host.follow(offset, trace_id, chunk, summary, verdict)
            return None
        if self.refusing and host.refuse(trace_id, summary):
            return None
        entry = host.table.begin(trace_id, chunk, summary, offset, self.now_ms)
        entry.foreign = partition_of(trace_id, settings.partitions, settings.partitioner) != host.partition
        host.deadlines.set(entry, self.now_ms + settings.decision_wait_ms)
        counts.traces_started += 1
        return entry

    def _check_limits(self, entry: TraceEntry, root_came: bool) -> None:
        settings, summary = self._settings, entry.summary
        most_bytes, most_spans = settings.maximum_trace_size_bytes, settings.maximum_spans_per_trace
        if (most_bytes and summary.size_bytes > most_bytes) or (most_spans and summary.span_count >= most_spans):
            # The caller decides it before the next record.
            self._stop = True
        elif not (root_came and settings.decision_wait_after_root_ms):
            return
        self._host.check_limits(entry, root_came, self.now_ms)
