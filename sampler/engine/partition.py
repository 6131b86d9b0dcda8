"""Gathering: the records of one source partition, in order, become traces, and traces that are due become decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from policies.any_set import AnyPolicySet
from policies.exchange import Exchange
from policies.verdict import Verdict
from sampler.engine.checkpoint import CheckpointHead, CheckpointReader
from sampler.engine.chunk_store import ChunkStore
from sampler.engine.deadlines import Deadlines
from sampler.engine.decider import Decider
from sampler.engine.decision_memory import DecisionMemory
from sampler.engine.decision_record import Owner, RecordId
from sampler.engine.entry import TraceEntry
from sampler.engine.gathering import Record, gatherer_for
from sampler.engine.overload import Overload
from sampler.engine.retention import Retention
from sampler.engine.second_look import SecondLook
from sampler.engine.settings import EngineSettings
from sampler.engine.settlement import DeadLetter, EngineCounts, Settlement
from sampler.engine.stream_time import StreamTime, tick_at_or_before
from sampler.engine.tenant_runs import NO_TENANTS, runs
from sampler.engine.trace_table import TraceTable
from sampler.otlp import ScanError, Scanner, ScanPlan


@dataclass(frozen=True, slots=True)
class PartitionStart:
    """Where a partition's work begins: who owns it, its first offset, and what recovery found.

    `handled_offset` is the next offset of the newest recovered decision record, `last_record`: spans below it whose
    trace has a decision were handled before. `exchange` tells limiters what other partitions have counted.
    """

    partition: int
    owner: Owner
    offset: int
    handled_offset: int = 0
    state: dict[str, Any] | None = None
    last_record: RecordId | None = None
    exchange: Exchange | None = None


class PartitionEngine:
    """One partition's undecided traces and what becomes of them. Records come in offset order, each once."""

    def __init__(
        self,
        start: PartitionStart,
        settings: EngineSettings,
        policies: AnyPolicySet,
        scanner: Scanner,
        plan: ScanPlan,
        store: ChunkStore,
        memory: DecisionMemory,
        counts: EngineCounts,
        retention: Retention | None = None,
    ) -> None:
        """`retention` is where dropped traces may be kept, if the settings say so."""
        self.partition = start.partition
        self.next_offset = start.offset
        self.table = TraceTable(store)
        self.memory = memory
        self.time = StreamTime()
        self._handled_offset = start.handled_offset
        self._settings = settings
        self._plan = plan
        self._by_header = policies.by_header
        self._policies = policies
        self._store = store
        self._counts = counts
        self.deadlines = Deadlines()
        self._scanner = scanner
        self._gatherer = gatherer_for(self, settings, scanner)
        self.overload = Overload()
        self._due_now: list[TraceEntry] = []
        self._dead_letters: list[DeadLetter] = []
        self._decider = Decider(start, settings, policies, scanner, self.table, memory, counts, self.overload)
        self._retention = retention
        self.second_look: SecondLook | None = None
        """The dropped traces, where they are kept."""
        self._look_twice()
        self._settled_watermark = start.offset

    def append(self, records: list[Record], wall_ms: int, tenants: Mapping[int, str] = NO_TENANTS) -> None:
        """Take records. Whatever falls due on the way is decided on the way.

        `tenants` has the value of the tenant header by offset, for the records that have one.
        """
        self.overload.read(self._settings.overload, records, wall_ms)
        self._gatherer.refusing = self.overload.threshold > 0
        if not tenants:
            self._gather(self._plan, records, wall_ms)
        else:
            for plan, run in runs(self._plan, self._by_header, records, tenants):
                self._gather(plan, run, wall_ms)
        if records:
            self.next_offset = records[-1][0] + 1
            if self.next_offset >= self._handled_offset:
                self._decider.decided_again = None
        self._store.flush()

    def _gather(self, plan: ScanPlan, records: list[Record], wall_ms: int) -> None:
        time, deadlines, gatherer = self.time, self.deadlines, self._gatherer
        at = 0
        while at < len(records):
            timestamp_ms = records[at][1]
            if timestamp_ms > time.now_ms:
                time.observe(timestamp_ms, wall_ms)
                if deadlines.next_ms <= time.now_ms:
                    self._settle_due()
            at = gatherer.gather(plan, records, at, time.now_ms, wall_ms, self._counts)
            time.now_ms, time.wall_ms = gatherer.now_ms, wall_ms
            if self._due_now:
                entries, self._due_now = self._due_now, []
                self._decide_now("span_limit", entries)

    def advance(self, stream_ms: int, wall_ms: int) -> None:
        """Nothing more has come: stream time moves on to `stream_ms`, and what is due by then is decided."""
        self.overload.update(self._settings.overload, 0)
        if self.time.now_ms >= 0:
            self.time.observe(min(stream_ms, wall_ms), wall_ms)
            self._settle_due()

    def use_policies(self, policies: AnyPolicySet, plan: ScanPlan, settings: EngineSettings) -> None:
        """Decide by another policy set from now on, and wait for new traces as its settings say.

        `plan` is the one in force where the span conditions have stayed the same; else the traces that are pending now
        are scanned again when they are decided.
        """
        if plan is not self._plan:
            self._decider.rescan.use_plan(plan, self.next_offset, self._by_header, policies.by_header)
        self._plan, self._settings, self._by_header = plan, settings, policies.by_header
        self._policies = policies
        self._gatherer = gatherer_for(self, settings, self._scanner)
        self._decider.use_policies(policies, settings)
        self._look_twice()

    def checkpoint_head(self) -> CheckpointHead:
        """Where the partition stands, for a start that is to go on from here; call it when nothing is unfinished.

        Summaries are made those of the policies in force, which the head names.
        """
        self._decider.rescan.renew(self.table.by_age())
        return CheckpointHead(
            self.partition, self.watermark, self.next_offset, self.time.now_ms, *self._checkpoint_identity,
            self._decider.last_record, len(self.table),
            {trace_id.hex(): threshold for trace_id, threshold in self.overload.admitted.items()},
        )  # fmt: skip

    def resume(self, checkpoint: CheckpointReader, committed: int) -> bool:
        """Go on from a checkpoint instead of the committed offset; only for an engine that has not begun.

        False, with nothing changed, where it is of another state than this engine's start: then somebody else has
        worked on the partition, or the policies are others. CheckpointError may come with part of the traces taken.
        """
        head = checkpoint.head
        found = (head.partition, head.watermark, head.policies, head.partitions, head.last_record)
        if found != (self.partition, committed, *self._checkpoint_identity, self._decider.last_record):
            return False
        for saved in checkpoint.traces():
            entry = self.table.restore(saved)
            self.deadlines.set(entry, saved.due_ms)
        self._store.flush()
        self.overload.admitted.update({bytes.fromhex(key): threshold for key, threshold in head.admitted.items()})
        self.next_offset, self.time.now_ms = head.next_offset, head.now_ms
        return True

    @property
    def _checkpoint_identity(self) -> tuple[str, int]:
        """What the contents of summaries depend on."""
        policies = self._policies
        return "/".join((policies.content_hash, *sorted(policies.plugin_code))), self._settings.partitions

    def decide_oldest(self, count: int, reason: str) -> int:
        """Decide up to `count` of the oldest traces on what has come, and return how many there were."""
        entries = [entry for entry, _ in zip(self.table.by_age(), range(count), strict=False)]
        self._decide_now(reason, entries)
        return len(entries)

    def decide_all(self, reason: str = "policy") -> None:
        """Decide every trace on what has come."""
        self._decide_now(reason, list(self.table.by_age()))

    def drop_all(self) -> None:
        """Drop every undecided trace, for the worker ends and is told to keep none; the decisions are to be settled."""
        if self.second_look is not None:
            self.second_look.close()
            self.second_look = self._decider.second_look = None
        entries = list(self.table.by_age())
        if entries:
            self._decider.drop(tick_at_or_before(self.time.now_ms), entries)

    def settle(self) -> Settlement | None:
        """What has come of the steps since the last call; None where nothing changed, not even the watermark."""
        if self.second_look is not None:
            self.second_look.look(self.time.now_ms)
        watermark = self.watermark
        letters, self._dead_letters = self._dead_letters, []
        outputs, routed, refused, records = self._decider.collect(
            self.next_offset, self.time.now_ms, dead_letters=bool(letters)
        )
        letters += refused
        # Whatever is written comes with a record.
        if not letters and not records and watermark == self._settled_watermark:
            return None
        self._settled_watermark = watermark
        return Settlement(outputs, letters, records, watermark, routed)

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
        """Give up the partition: undecided traces are dropped here and read again by their next owner.

        Traces kept for a second look are forgotten.
        """
        self.table.clear()
        self.deadlines.clear()
        if self.second_look is not None:
            self.second_look.close()
            self.second_look = self._decider.second_look = None

    def put_aside(self, offset: int, value: bytes, error: ScanError) -> None:
        """Keep a record that is not OTLP for the dead-letter topic, unless it was put there before a crash."""
        if offset >= self._handled_offset:
            self._dead_letters.append(DeadLetter(offset, value, str(error), "not_otlp"))
            self._counts.dead_letters["not_otlp"] += 1

    def follow(self, offset: int, trace_id: bytes, chunk: bytes, summary: Any, verdict: Verdict) -> None:
        """Spans of a trace that was decided before go the same way, unless they were handled already.

        Handled are spans below that offset of a trace that was decided by then. One that is decided only now, on a
        replay, was not: its limits may have changed, or the topic is another one under the same name.
        """
        again = self._decider.decided_again
        if offset < self._handled_offset and (again is None or trace_id not in again):
            self._counts.replayed_spans += summary.span_count
        else:
            self._decider.follow(trace_id, chunk, summary, verdict)
            if self.second_look is not None and not verdict.sampled:
                self.second_look.note(trace_id, chunk, summary)

    def refuse(self, trace_id: bytes, summary: Any) -> bool:
        """Whether a new trace is not taken because the partition is overloaded; then it has been decided."""
        verdict = self.overload.refused(trace_id, summary, self._policies.randomness)
        if verdict is None:
            return False
        self._decider.refuse(trace_id, summary, verdict)
        return True

    def check_limits(self, entry: TraceEntry, root_came: bool, now_ms: int) -> None:
        """Bring forward what is due earlier because its root has come or because it has grown to a limit."""
        settings, summary = self._settings, entry.summary
        if root_came and settings.decision_wait_after_root_ms:
            self.deadlines.set(entry, now_ms + settings.decision_wait_after_root_ms)
        if settings.maximum_trace_size_bytes and summary.size_bytes > settings.maximum_trace_size_bytes:
            # Its payload will not be needed; the entry stays until its decision is recorded.
            self.table.forget_payload(entry)
            entry.too_large = True
            self._due_now.append(entry)
        elif settings.maximum_spans_per_trace and summary.span_count >= settings.maximum_spans_per_trace:
            self._due_now.append(entry)

    def _look_twice(self) -> None:
        """Keep dropped traces from now on, or no longer, as the settings say."""
        if self.second_look is not None and self._settings.retain_dropped_ms:
            self.second_look.use_policies(self._policies, self._plan, self._settings)
        elif self.second_look is not None:
            self.second_look.close()
            self.second_look = None
        elif self._retention is not None and self._settings.retain_dropped_ms:
            self.second_look = SecondLook(
                self._retention, self._settings, self._policies, self._plan, self._scanner, self._decider,
                self.memory.get,
            )  # fmt: skip
        self._decider.second_look = self.second_look

    def _settle_due(self) -> None:
        while (due := self.deadlines.take(self.time.now_ms)) is not None:
            tick_ms, entries = due
            if entries:
                self._decider.decide(tick_ms, entries, "policy")

    def _decide_now(self, reason: str, entries: list[TraceEntry]) -> None:
        open_entries = {id(entry): entry for entry in entries if not entry.gone}
        if open_entries:
            self._decider.decide(tick_at_or_before(self.time.now_ms), list(open_entries.values()), reason)
