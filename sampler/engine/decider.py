"""Deciding: traces that are due are put to the policy set, and the kept ones are written out."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from policies.any_set import AnyPolicySet
from policies.budgeted_set import NOBODY_REFUSED
from policies.randomness import Randomness, RandomnessSource
from policies.rset import ALWAYS, NEVER, intersection, intervals
from policies.state import carry_state
from policies.trace import NO_SPANS
from policies.verdict import Verdict
from sampler.engine.decision_memory import DecisionMemory
from sampler.engine.decision_record import DecisionRecord
from sampler.engine.entry import TraceEntry
from sampler.engine.overload import Overload
from sampler.engine.rescan import Rescan
from sampler.engine.second_look import SecondLook
from sampler.engine.settings import EngineSettings
from sampler.engine.settlement import DeadLetter, EngineCounts
from sampler.engine.tally import count_decisions
from sampler.engine.trace_table import TraceTable
from sampler.otlp import Annotation, ScanError, Scanner, decode, fnv1a64

if TYPE_CHECKING:
    from sampler.engine.partition import PartitionStart

Collected: TypeAlias = tuple[
    list[tuple[bytes, bytes]], list[tuple[str, bytes, bytes]], list[DeadLetter], list[DecisionRecord]
]

TOO_LARGE = Verdict("not_sampled", NEVER, None, RandomnessSource.HASH, "too_large")
SHUTDOWN = Verdict("not_sampled", NEVER, None, RandomnessSource.HASH, "shutdown")


class Decider:
    """Decisions of one partition since the last `collect`, with what they made it write."""

    def __init__(
        self,
        start: PartitionStart,
        settings: EngineSettings,
        policies: AnyPolicySet,
        scanner: Scanner,
        table: TraceTable,
        memory: DecisionMemory,
        counts: EngineCounts,
        overload: Overload,
    ) -> None:
        self._owner = start.owner
        last = start.last_record
        self._sequence = last[2] + 1 if last is not None and last[:2] == start.owner else 0
        self.last_record = start.last_record
        self._base_offset = max(start.handled_offset, start.offset)
        self._settings = settings
        self._policies = policies
        policies.randomness.use(fnv1a64)
        self._hashes: dict[str, Randomness] = {}
        self.rescan = Rescan(scanner, table)
        self._annotate = scanner.annotate
        self._table = table
        self._memory = memory
        self._overload = overload
        self.counts = counts
        self._state = carry_state(start.state or {}, policies)
        self._exchange = start.exchange
        self._outputs: list[tuple[bytes, bytes]] = []
        self._routed: list[tuple[str, bytes, bytes]] = []
        self._refused: list[DeadLetter] = []
        self._verdicts: list[Verdict] = []
        self._index_of: dict[int, int] = {}
        self._ids: list[bytes] = []
        self._verdict_of = array("L")
        self._followed: dict[bytes, Verdict] = {}
        self.decided_again: set[bytes] | None = set() if start.handled_offset > start.offset else None
        """Traces decided here while records are read that an earlier owner has handled; None when those are past."""
        self.second_look: SecondLook | None = None
        """Keeps what is dropped, where that is wanted."""

    def use_policies(self, policies: AnyPolicySet, settings: EngineSettings) -> None:
        """Decide by another policy set from now on; limiters that it has too go on with their state."""
        self._state = carry_state(self._state, policies)
        self._policies, self._settings = policies, settings
        policies.randomness.use(fnv1a64)

    def decide(self, tick_ms: int, entries: Sequence[TraceEntry], reason: str) -> None:
        """Decide these traces together, as one tick, and remove them from the table."""
        asked = [entry for entry in entries if not entry.too_large]
        self.counts.traces_rescanned += self.rescan.renew(asked)
        let_in = self._overload.take([entry.trace_id for entry in entries])
        verdicts = self._policies.decide(
            tick_ms,
            [(entry.trace_id, entry.summary, partial(self._load, entry)) for entry in asked]
            if self._policies.needs_spans
            else [(entry.trace_id, entry.summary, NO_SPANS) for entry in asked],
            self._state,
            share=1 / self._settings.partitions,
            exchange=self._exchange,
            let_in=let_in,
        )
        if let_in:
            verdicts = _of_let_in(asked, verdicts, let_in)
        self._carry_out(tick_ms, asked, verdicts, let_in)
        if len(asked) < len(entries):
            refused = [entry for entry in entries if entry.too_large]
            self._carry_out(tick_ms, refused, [TOO_LARGE] * len(refused))
            self.counts.early["too_large"] += len(refused)
        if reason != "policy":
            self.counts.early[reason] += len(asked)

    def refuse(self, trace_id: bytes, summary: Any, verdict: Verdict) -> None:
        """A new trace is decided by this verdict before anything of it is held."""
        self.counts.traces_decided[verdict.decision] += 1
        self.counts.spans_decided[verdict.decision] += summary.span_count
        self.counts.bytes_decided[verdict.decision] += summary.size_bytes
        self.counts.early[verdict.reason] += 1
        self._remember([trace_id], [verdict], self._numbers_of([verdict]))

    def drop(self, tick_ms: int, entries: list[TraceEntry]) -> None:
        """Drop these traces without asking a policy, because the worker is about to end."""
        self._carry_out(tick_ms, entries, [SHUTDOWN] * len(entries))
        self.counts.early["shutdown"] += len(entries)

    def follow(self, trace_id: bytes, chunk: bytes, summary: Any, verdict: Verdict) -> None:
        """Spans that came after their trace was decided go the same way, with the same annotations.

        The decision is recorded once more: otherwise the record that has it could expire before the watermark passes
        these spans, and a replay of them would take them for a new trace.
        """
        self.counts.late_spans[verdict.decision] += summary.span_count
        if verdict.sampled:
            self._write(trace_id, [chunk], verdict)
        self._followed[trace_id] = verdict

    def decide_otherwise(self, trace_id: bytes, chunks: Sequence[bytes], verdict: Verdict) -> None:
        """A trace that was dropped is kept after all, by this verdict, which replaces the one before."""
        self.counts.second_looks[verdict.reason] += 1
        self._write(trace_id, chunks, verdict)
        self._verdict_of.extend(self._numbers_of([verdict]))
        self._ids.append(trace_id)
        self._memory.replace(trace_id, verdict)

    def collect(self, next_offset: int, stream_time_ms: int, *, dead_letters: bool) -> Collected:
        """Hand out and forget the outputs, routed outputs, refused spans and records of decisions since the last call.

        Where something is written there is a record, though it may hold no decision: it says up to which offset
        everything was handled, so that a replay does not write late spans and dead letters again.
        """
        self._record_followed()
        outputs, self._outputs = self._outputs, []
        routed, self._routed = self._routed, []
        refused, self._refused = self._refused, []
        if not (self._ids or outputs or routed or refused or dead_letters):
            return outputs, routed, refused, []
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
        self.last_record = record.id
        records = list(record.split())
        for part in records:
            self._memory.close_segment(part)
        self._verdicts, self._index_of = [], {}
        self._ids, self._verdict_of = [], array("L")
        return outputs, routed, refused, records

    def _load(self, entry: TraceEntry) -> Sequence[Any]:
        spans: list[Any] = []
        for chunk in self._table.read(entry):
            # What cannot be decoded, such as text that is not UTF-8, is still sampled; only policies do not see it.
            with suppress(ScanError):
                spans.extend(decode([chunk]))
        return spans

    def _carry_out(
        self,
        tick_ms: int,
        entries: list[TraceEntry],
        verdicts: Sequence[Verdict],
        let_in: Mapping[bytes, int] = NOBODY_REFUSED,
    ) -> None:
        """Write what is kept, remember and count the decisions, and remove the traces from the table.

        One thing after the other for all of them, not one trace after the other: so most steps are one call a tick.
        """
        trace_ids = [entry.trace_id for entry in entries]
        example: TraceEntry | None = None
        for entry, verdict in zip(entries, verdicts, strict=True):
            if verdict.decision == "sampled":
                self._write(entry.trace_id, self._table.read(entry), verdict)
                example = entry
        if example is not None:
            self.counts.examples[max(0, tick_ms - example.arrived_ms)] = example.trace_id
        if self.second_look is not None:
            for entry, verdict in zip(entries, verdicts, strict=True):
                if not (verdict.sampled or entry.too_large):
                    lowest = let_in.get(entry.trace_id, ALWAYS)
                    self.second_look.keep(entry, self._table.read(entry), verdict, tick_ms, lowest)
        # An early decision is made between ticks, possibly before the one that follows the arrival.
        self.counts.latency_ms.update([max(0, tick_ms - entry.arrived_ms) for entry in entries])
        numbers = self._numbers_of(verdicts)
        count_decisions(self.counts, self._verdicts, entries, numbers)
        self._remember(trace_ids, verdicts, numbers)
        if self.decided_again is not None:
            self.decided_again.update(trace_ids)
        self._table.discard(entries)

    def _record_followed(self) -> None:
        """Record the decisions that late spans have followed, unless the record has them anyway."""
        if self._followed:
            for trace_id in self._followed.keys() & set(self._ids):
                del self._followed[trace_id]
            verdicts = list(self._followed.values())
            self._remember(list(self._followed), verdicts, self._numbers_of(verdicts))
            self._followed = {}

    def _remember(self, trace_ids: list[bytes], verdicts: Sequence[Verdict], numbers: Sequence[int]) -> None:
        self._verdict_of.extend(numbers)
        self._ids += trace_ids
        self._memory.add(trace_ids, verdicts)

    def _numbers_of(self, verdicts: Sequence[Verdict]) -> list[int]:
        """The place of each in `_verdicts`. Equal ones are one object: its identity costs nothing to hash."""
        index_of = self._index_of
        for key, verdict in dict(zip(map(id, verdicts), verdicts, strict=True)).items():
            if key not in index_of:
                index_of[key] = len(self._verdicts)
                # Kept there, so that its identity stays its own until the record is made.
                self._verdicts.append(verdict)
        return [index_of[id(verdict)] for verdict in verdicts]

    def _write(self, trace_id: bytes, chunks: Sequence[bytes], verdict: Verdict) -> None:
        limit_bytes = self._settings.max_output_bytes
        written = self._annotate(chunks, self._annotation(trace_id, verdict), limit_bytes)
        self.counts.span_copies += written.copies_removed
        if verdict.output:
            self._routed.extend([(verdict.output, trace_id, payload) for payload in written.payloads])
        else:
            self._outputs.extend([(trace_id, payload) for payload in written.payloads])
        for span in written.oversize:
            # One span above the topic's limit cannot leave; the broker would refuse it and stop everything behind it.
            self.counts.dead_letters["span_too_large"] += 1
            error = f"a span of trace {trace_id.hex()} is {len(span)} bytes, the sampled topic takes {limit_bytes}"
            self._refused.append(DeadLetter(None, span, error, "span_too_large"))

    def _hash_of(self, salt: str) -> Randomness:
        """The hash that made a verdict; not always that of the policies that run now."""
        found = self._hashes.get(salt)
        if found is None:
            found = self._hashes[salt] = Randomness(salt=salt)
            found.use(fnv1a64)
        return found

    def _annotation(self, trace_id: bytes, verdict: Verdict) -> Annotation:
        settings = self._settings.annotation
        randomness = 0
        if verdict.source in {RandomnessSource.HASH, RandomnessSource.FORCED_HASH}:
            randomness = self._hash_of(verdict.salt).hashed(trace_id)
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


def _of_let_in(
    entries: Sequence[TraceEntry], verdicts: Sequence[Verdict], let_in: Mapping[bytes, int]
) -> list[Verdict]:
    """The verdicts with the sets of R of traces cut that were let in while others were refused."""
    made: dict[Verdict, Verdict] = {}
    found = []
    for entry, verdict in zip(entries, verdicts, strict=True):
        keep = intersection(verdict.keep, let_in.get(entry.trace_id, ALWAYS))
        new = verdict if keep == verdict.keep else replace(verdict, keep=keep)
        found.append(made.setdefault(new, new))
    return found
