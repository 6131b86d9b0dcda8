"""Deciding: traces that are due are put to the policy set, and the kept ones are written out."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from policies.policy_set import PolicySet
from policies.randomness import RandomnessSource
from policies.rset import NEVER, intervals
from policies.trace import NO_SPANS
from policies.verdict import Verdict
from sampler.engine.decision_memory import DecisionMemory
from sampler.engine.decision_record import DecisionRecord
from sampler.engine.settings import EngineSettings
from sampler.engine.settlement import DeadLetter, EngineCounts
from sampler.engine.trace_table import TraceEntry, TraceTable
from sampler.otlp import Annotation, ScanError, Scanner, decode, fnv1a64

if TYPE_CHECKING:
    from sampler.engine.partition import PartitionStart

Collected: TypeAlias = tuple[list[tuple[bytes, bytes]], list[DeadLetter], list[DecisionRecord]]

TOO_LARGE = Verdict("not_sampled", NEVER, None, RandomnessSource.HASH, "too_large")


class Decider:
    """Decisions of one partition since the last `collect`, with what they made it write."""

    def __init__(
        self,
        start: PartitionStart,
        settings: EngineSettings,
        policies: PolicySet,
        scanner: Scanner,
        table: TraceTable,
        memory: DecisionMemory,
        counts: EngineCounts,
    ) -> None:
        self._owner = start.owner
        self._sequence = 0
        self._base_offset = max(start.handled_offset, start.offset)
        self._settings = settings
        self._policies = policies
        policies.randomness.use(fnv1a64)
        self._annotate = scanner.annotate
        self._table = table
        self._memory = memory
        self.counts = counts
        self._state = start.state if start.state is not None else policies.initial_state()
        self._outputs: list[tuple[bytes, bytes]] = []
        self._refused: list[DeadLetter] = []
        self._verdicts: list[Verdict] = []
        self._index_of: dict[int, int] = {}
        self._ids: list[bytes] = []
        self._verdict_of = array("L")

    def decide(self, tick_ms: int, entries: Sequence[TraceEntry], reason: str) -> None:
        """Decide these traces together, as one tick, and remove them from the table."""
        asked = [entry for entry in entries if not entry.too_large]
        load = self._loader
        verdicts = self._policies.decide(
            tick_ms, [(entry.trace_id, entry.summary, load(entry)) for entry in asked], self._state
        )
        self._carry_out(tick_ms, asked, verdicts)
        if len(asked) < len(entries):
            refused = [entry for entry in entries if entry.too_large]
            self._carry_out(tick_ms, refused, [TOO_LARGE] * len(refused))
            self.counts.early["too_large"] += len(refused)
        if reason != "policy":
            self.counts.early[reason] += len(asked)

    def follow(self, trace_id: bytes, chunk: bytes, summary: Any, verdict: Verdict) -> None:
        """Spans that came after their trace was decided go the same way, with the same annotations."""
        self.counts.late_spans[verdict.decision] += summary.span_count
        if verdict.sampled:
            self._write(trace_id, [chunk], verdict)

    def collect(self, next_offset: int, stream_time_ms: int, *, dead_letters: bool) -> Collected:
        """Hand out and forget the outputs, refused spans and records of decisions since the last call.

        Where something is written there is a record, though it may hold no decision: it says up to which offset
        everything was handled, so that a replay does not write late spans and dead letters again.
        """
        outputs, self._outputs = self._outputs, []
        refused, self._refused = self._refused, []
        if not (self._ids or outputs or refused or dead_letters):
            return outputs, refused, []
        record = DecisionRecord(
            owner=self._owner,
            sequence=self._sequence,
            base_offset=self._base_offset,
            next_offset=next_offset,
            stream_time_ms=stream_time_ms,
            verdicts=self._verdicts,
            ids=b"".join(self._ids),
            verdict_of=self._verdict_of,
            # As it is now: the policies go on changing it before the record is written.
            state=dict(self._state) or None,
        )
        self._sequence += 1
        records = list(record.split())
        for part in records:
            self._memory.close_segment(part)
        self._verdicts, self._index_of = [], {}
        self._ids, self._verdict_of = [], array("L")
        return outputs, refused, records

    def _loader(self, entry: TraceEntry) -> Callable[[], Sequence[Any]]:
        if not self._policies.needs_spans:
            return NO_SPANS
        return partial(self._load, entry)

    def _load(self, entry: TraceEntry) -> Sequence[Any]:
        spans: list[Any] = []
        for chunk in self._table.read(entry):
            # What cannot be decoded, such as text that is not UTF-8, is still sampled; only policies do not see it.
            with suppress(ScanError):
                spans.extend(decode([chunk]))
        return spans

    def _carry_out(self, tick_ms: int, entries: Sequence[TraceEntry], verdicts: Sequence[Verdict]) -> None:
        table, memory, latency_ms = self._table, self._memory, self.counts.latency_ms
        spans_of: dict[int, list[int]] = {}
        for entry, verdict in zip(entries, verdicts, strict=True):
            trace_id = entry.trace_id
            # Verdicts are shared objects: their identity says as much as their equality, and costs nothing to hash.
            spans_of.setdefault(id(verdict), []).append(entry.summary.span_count)
            # An early decision is made between ticks, possibly before the one that follows the arrival.
            latency_ms[max(0, tick_ms - entry.arrived_ms)] += 1
            index = self._index_of.get(id(verdict))
            if index is None:
                index = self._index_of[id(verdict)] = len(self._verdicts)
                # Kept here, so that its identity stays its own until the record is made.
                self._verdicts.append(verdict)
            self._ids.append(trace_id)
            self._verdict_of.append(index)
            memory.add(trace_id, verdict)
            if verdict.decision == "sampled":
                self._write(trace_id, table.take(entry), verdict)
            else:
                table.discard(entry)
        for key, spans in spans_of.items():
            self._count(self._verdicts[self._index_of[key]], spans)

    def _count(self, verdict: Verdict, spans: Sequence[int]) -> None:
        """Count traces with this verdict, given the number of spans of each."""
        counts, decision = self.counts, verdict.decision
        counts.traces_decided[decision] += len(spans)
        counts.spans_decided[decision] += sum(spans)
        if verdict.policy is not None:
            counts.by_policy[verdict.policy, decision] += len(spans)

    def _write(self, trace_id: bytes, chunks: Sequence[bytes], verdict: Verdict) -> None:
        limit_bytes = self._settings.max_output_bytes
        written = self._annotate(chunks, self._annotation(trace_id, verdict), limit_bytes)
        self.counts.span_copies += written.copies_removed
        for payload in written.payloads:
            self._outputs.append((trace_id, payload))
        for span in written.oversize:
            # One span above the topic's limit cannot leave; the broker would refuse it and stop everything behind it.
            self.counts.dead_letters["span_too_large"] += 1
            error = f"a span of trace {trace_id.hex()} is {len(span)} bytes, the sampled topic takes {limit_bytes}"
            self._refused.append(DeadLetter(None, span, error, "span_too_large"))

    def _annotation(self, trace_id: bytes, verdict: Verdict) -> Annotation:
        settings = self._settings.annotation
        randomness = 0
        if verdict.source in {RandomnessSource.HASH, RandomnessSource.FORCED_HASH}:
            randomness = self._policies.randomness.hashed(trace_id)
        return Annotation(
            keep=intervals(verdict.keep),
            source=verdict.source,
            randomness=randomness,
            policy=verdict.policy,
            rate_attribute=settings.rate_attribute,
            policy_attribute=settings.policy_attribute,
            rate_as_int=settings.rate_as_int,
            incoming_probability=settings.incoming_probability,
            incoming_probability_default=settings.incoming_probability_default,
        )
