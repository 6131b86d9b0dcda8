"""Deciding: traces that are due are put to the policy set, and the kept ones are written out."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from policies.policy_set import PolicySet
from policies.randomness import RandomnessSource
from policies.rset import NEVER, intervals
from policies.verdict import Verdict
from sampler.engine.decision_memory import DecisionMemory
from sampler.engine.decision_record import DecisionRecord
from sampler.engine.settings import EngineSettings
from sampler.engine.settlement import DeadLetter, EngineCounts
from sampler.engine.trace_table import TraceEntry, TraceTable
from sampler.otlp import Annotation, Scanner, decode

if TYPE_CHECKING:
    from sampler.engine.partition import PartitionStart

Collected: TypeAlias = tuple[list[tuple[bytes, bytes]], list[DeadLetter], list[DecisionRecord]]

TOO_LARGE = Verdict("not_sampled", NEVER, None, RandomnessSource.HASH, "too_large")


def _no_spans() -> Sequence[Any]:
    return ()


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
        self._generation = start.generation
        self._base_offset = max(start.handled_offset, start.offset)
        self._settings = settings
        self._policies = policies
        self._annotate = scanner.annotate
        self._table = table
        self._memory = memory
        self.counts = counts
        self._state = start.state if start.state is not None else policies.initial_state()
        self._outputs: list[tuple[bytes, bytes]] = []
        self._refused: list[DeadLetter] = []
        self._verdicts: dict[Verdict, int] = {}
        self._ids: list[bytes] = []
        self._verdict_of = array("H")

    def decide(self, tick_ms: int, entries: Sequence[TraceEntry], reason: str) -> None:
        """Decide these traces together, as one tick, and remove them from the table."""
        asked = [entry for entry in entries if not entry.too_large]
        traces = [(entry.trace_id, entry.summary, self._loader(entry)) for entry in asked]
        verdicts = self._policies.decide(tick_ms, traces, self._state)
        for entry, verdict in zip(asked, verdicts, strict=True):
            self._carry_out(tick_ms, entry, verdict)
        for entry in entries:
            if entry.too_large:
                self._carry_out(tick_ms, entry, TOO_LARGE)
                self.counts.early["too_large"] += 1
        if reason != "policy":
            self.counts.early[reason] += len(asked)

    def follow(self, trace_id: bytes, chunk: bytes, summary: Any, verdict: Verdict) -> None:
        """Spans that came after their trace was decided go the same way, with the same annotations."""
        self.counts.late_spans[verdict.decision] += summary.span_count
        if verdict.sampled:
            self._write(trace_id, [chunk], verdict)

    def collect(self, next_offset: int, stream_time_ms: int) -> Collected:
        """Hand out and forget the outputs, refused spans and records of decisions since the last call."""
        outputs, self._outputs = self._outputs, []
        refused, self._refused = self._refused, []
        if not self._ids:
            return outputs, refused, []
        record = DecisionRecord(
            generation=self._generation,
            base_offset=self._base_offset,
            next_offset=next_offset,
            stream_time_ms=stream_time_ms,
            verdicts=list(self._verdicts),
            ids=b"".join(self._ids),
            verdict_of=self._verdict_of,
            state=self._state or None,
        )
        records = list(record.split())
        for part in records:
            self._memory.close_segment(part)
        self._verdicts, self._ids, self._verdict_of = {}, [], array("H")
        return outputs, refused, records

    def _loader(self, entry: TraceEntry) -> Callable[[], Sequence[Any]]:
        if not self._policies.needs_spans:
            return _no_spans
        return partial(self._load, entry)

    def _load(self, entry: TraceEntry) -> Sequence[Any]:
        return decode(self._table.read(entry))

    def _carry_out(self, tick_ms: int, entry: TraceEntry, verdict: Verdict) -> None:
        trace_id, summary, counts = entry.trace_id, entry.summary, self.counts
        decision = verdict.decision
        counts.traces_decided[decision] += 1
        counts.spans_decided[decision] += summary.span_count
        counts.latency_ms[tick_ms - entry.arrived_ms] += 1
        if verdict.policy is not None:
            counts.by_policy[verdict.policy, decision] += 1
        if decision == "sampled":
            self._write(trace_id, self._table.take(trace_id), verdict)
        else:
            self._table.discard(trace_id)
        index = self._verdicts.setdefault(verdict, len(self._verdicts))
        self._ids.append(trace_id)
        self._verdict_of.append(index)
        self._memory.add(trace_id, verdict)

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
