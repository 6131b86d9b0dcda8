"""Gathering: the records of one source partition, in order, become traces, and traces that are due become decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from policies.policy_set import PolicySet
from sampler.engine.chunk_store import ChunkStore
from sampler.engine.deadlines import Deadlines
from sampler.engine.decider import Decider
from sampler.engine.decision_memory import DecisionMemory
from sampler.engine.decision_record import Owner
from sampler.engine.settings import EngineSettings
from sampler.engine.settlement import DeadLetter, EngineCounts, Settlement
from sampler.engine.stream_time import StreamTime, tick_at_or_before
from sampler.engine.trace_table import TraceEntry, TraceTable
from sampler.otlp import ScanError, Scanner, ScanPlan, partition_of

Record: TypeAlias = tuple[int, int, bytes]
"""Offset, timestamp in milliseconds, value."""


@dataclass(frozen=True, slots=True)
class PartitionStart:
    """Where a partition's work begins: who owns it, its first offset, and what recovery found.

    `handled_offset` is the next offset of the newest recovered decision record: spans below it whose trace has a
    decision were handled before.
    """

    partition: int
    owner: Owner
    offset: int
    handled_offset: int = 0
    state: dict[str, Any] | None = None


class PartitionEngine:
    """One partition's undecided traces and what becomes of them. Records come in offset order, each once."""

    def __init__(
        self,
        start: PartitionStart,
        settings: EngineSettings,
        policies: PolicySet,
        scanner: Scanner,
        plan: ScanPlan,
        store: ChunkStore,
        memory: DecisionMemory,
        counts: EngineCounts,
    ) -> None:
        self.partition = start.partition
        self.next_offset = start.offset
        self.table = TraceTable(store)
        self.memory = memory
        self.time = StreamTime()
        self._handled_offset = start.handled_offset
        self._settings = settings
        self._limited = bool(
            settings.decision_wait_after_root_ms
            or settings.maximum_trace_size_bytes
            or settings.maximum_spans_per_trace
        )
        self._scan = scanner.scan
        self._plan = plan
        self._store = store
        self._counts = counts
        self._deadlines = Deadlines()
        self._due_now: list[TraceEntry] = []
        self._dead_letters: list[DeadLetter] = []
        self._decider = Decider(start, settings, policies, scanner, self.table, memory, counts)
        self._settled_watermark = start.offset

    def append(self, records: Sequence[Record], wall_ms: int) -> None:
        """Take records (offset, timestamp in ms, value). Whatever falls due on the way is decided on the way."""
        time, deadlines, scan, plan, counts = self.time, self._deadlines, self._scan, self._plan, self._counts
        spans = size_bytes = 0
        now_ms = time.now_ms
        for offset, timestamp_ms, value in records:
            size_bytes += len(value)
            if timestamp_ms > now_ms:
                time.observe(timestamp_ms, wall_ms)
                now_ms = time.now_ms
                if deadlines.next_ms <= now_ms:
                    self._settle_due()
            try:
                traces, invalid_spans = scan(plan, value)
            except ScanError as error:
                self._put_aside(offset, value, error)
                continue
            if invalid_spans:
                counts.invalid_spans += invalid_spans
            for trace in traces:
                spans += self._append_chunk(offset, *trace)
            if self._due_now:
                entries, self._due_now = self._due_now, []
                self._decide_now("span_limit", entries)
        if records:
            self.next_offset = records[-1][0] + 1
            counts.records += len(records)
            counts.received_bytes += size_bytes
            counts.spans += spans
        self._store.flush()

    def advance(self, stream_ms: int, wall_ms: int) -> None:
        """Nothing more has come: stream time moves on to `stream_ms`, and what is due by then is decided."""
        if self.time.now_ms >= 0:
            self.time.observe(min(stream_ms, wall_ms), wall_ms)
            self._settle_due()

    def decide_oldest(self, count: int, reason: str) -> int:
        """Decide up to `count` of the oldest traces on what has come, and return how many there were."""
        entries = [entry for entry, _ in zip(self.table.by_age(), range(count), strict=False)]
        self._decide_now(reason, entries)
        return len(entries)

    def decide_all(self, reason: str = "policy") -> None:
        """Decide every trace on what has come."""
        self._decide_now(reason, list(self.table.by_age()))

    def settle(self) -> Settlement | None:
        """What has come of the steps since the last call; None where nothing changed, not even the watermark."""
        watermark = self.watermark
        letters, self._dead_letters = self._dead_letters, []
        outputs, refused, records = self._decider.collect(
            self.next_offset, self.time.now_ms, dead_letters=bool(letters)
        )
        letters += refused
        if not outputs and not letters and not records and watermark == self._settled_watermark:
            return None
        self._settled_watermark = watermark
        return Settlement(outputs, letters, records, watermark)

    @property
    def watermark(self) -> int:
        """The smallest offset that belongs to an undecided trace, or the next offset where there is none."""
        oldest = self.table.oldest()
        return oldest.first_offset if oldest is not None else self.next_offset

    @property
    def watermark_lag_ms(self) -> int:
        """Stream time between the newest record and the oldest undecided trace."""
        oldest = self.table.oldest()
        return self.time.now_ms - oldest.arrived_ms if oldest is not None else 0

    def count_into(self, counts: EngineCounts) -> None:
        """Count into another object from now on."""
        self._counts = self._decider.counts = counts

    def expire_decisions(self, committed_offset: int) -> list[bytes]:
        """Forget decisions past their time, and return the keys of their records in the decision table."""
        return self.memory.expire(self.time.now_ms - self._settings.decision_ttl_ms, committed_offset)

    def close(self) -> None:
        """Give up the partition: undecided traces are dropped here and read again by their next owner."""
        self.table.clear()
        self._deadlines.clear()

    def _append_chunk(self, offset: int, trace_id: bytes, chunk: bytes, summary: Any) -> int:
        """Add what a record holds of one trace, and return how many spans that is."""
        spans: int = summary.span_count
        entry = self.table.get(trace_id)
        if entry is None:
            entry = self._begin(trace_id, chunk, summary, offset)
            if entry is None:
                return spans
        elif entry.too_large:
            entry.summary.merge(summary)
            return spans
        else:
            self.table.extend(entry, chunk, summary)
        if entry.foreign:
            self._counts.mispartitioned_spans += spans
        if self._limited:
            self._check_limits(entry, summary.has_root)
        return spans

    def _put_aside(self, offset: int, value: bytes, error: ScanError) -> None:
        """Keep a record that is not OTLP for the dead-letter topic, unless it was put there before a crash."""
        if offset >= self._handled_offset:
            self._dead_letters.append(DeadLetter(offset, value, str(error), "not_otlp"))
            self._counts.dead_letters["not_otlp"] += 1

    def _begin(self, trace_id: bytes, chunk: bytes, summary: Any, offset: int) -> TraceEntry | None:
        """Begin a trace, unless it was decided before: then these spans follow, or were handled already."""
        verdict = self.memory.get(trace_id)
        if verdict is not None:
            if offset < self._handled_offset:
                self._counts.replayed_spans += summary.span_count
            else:
                self._decider.follow(trace_id, chunk, summary, verdict)
            return None
        settings, counts = self._settings, self._counts
        now_ms = self.time.now_ms
        counts.traces_started += 1
        entry = self.table.begin(trace_id, chunk, summary, offset, now_ms)
        entry.foreign = partition_of(trace_id, settings.partitions, settings.partitioner) != self.partition
        self._deadlines.set(entry, now_ms + settings.decision_wait_ms)
        return entry

    def _check_limits(self, entry: TraceEntry, root_came: bool) -> None:
        settings = self._settings
        if root_came and settings.decision_wait_after_root_ms:
            self._deadlines.set(entry, self.time.now_ms + settings.decision_wait_after_root_ms)
        summary = entry.summary
        if settings.maximum_trace_size_bytes and summary.size_bytes > settings.maximum_trace_size_bytes:
            # Its payload will not be needed; the entry stays until its decision is recorded.
            self.table.forget_payload(entry)
            entry.too_large = True
            self._due_now.append(entry)
        elif settings.maximum_spans_per_trace and summary.span_count >= settings.maximum_spans_per_trace:
            self._due_now.append(entry)

    def _settle_due(self) -> None:
        while (due := self._deadlines.take(self.time.now_ms)) is not None:
            tick_ms, entries = due
            if entries:
                self._decider.decide(tick_ms, entries, "policy")

    def _decide_now(self, reason: str, entries: list[TraceEntry]) -> None:
        open_entries = {id(entry): entry for entry in entries if not entry.gone}
        if open_entries:
            self._decider.decide(tick_at_or_before(self.time.now_ms), list(open_entries.values()), reason)
