"""A second look at dropped traces: one of which more has come is decided anew, as a whole; others on somebody's word.

Which weight is honest for a trace that a second decision keeps? If an earlier decision gave it a chance (its set of R
was not empty), then those of its kind that were kept for that chance carry the weight of all: this one is written as
standing for nothing, `sampling.rate` 0, and sums over rates stay right. If no earlier decision gave it a chance,
nothing stands for it yet, and it carries the weight of the set that keeps it now, of which R that were refused when it
began are no part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

from policies.any_set import AnyPolicySet
from policies.rset import ALWAYS, NEVER, intersection
from policies.verdict import Verdict
from sampler.engine.decision_record import RESCUED, RESURRECTED
from sampler.engine.entry import TraceEntry
from sampler.engine.retained import Head, RetainedTraces
from sampler.engine.retention import Retention
from sampler.engine.settings import EngineSettings
from sampler.otlp import ScanError, Scanner, ScanPlan, Summary, decode, unpack_summary

RESCUE_POLICY = "rescue"
"""What stands in the place of the deciding policy on a trace that somebody asked for."""
EXPIRE_EVERY_MS = 1000
MOST_REMEMBERED = 4096


class Changes(Protocol):
    """Carries out decisions that replace an earlier one."""

    def decide_otherwise(self, trace_id: bytes, chunks: Sequence[bytes], verdict: Verdict) -> None:
        """The trace is kept after all: write its chunks, and remember and record the verdict."""


class SecondLook:
    """The dropped traces of one partition, and what becomes of them. They last as long as this object."""

    def __init__(
        self,
        retention: Retention,
        settings: EngineSettings,
        policies: AnyPolicySet,
        plan: ScanPlan,
        scanner: Scanner,
        changes: Changes,
        standing: Callable[[bytes], Verdict | None],
    ) -> None:
        """`standing` tells the decision that is remembered on a trace."""
        self._retention = retention
        self._retained = RetainedTraces(retention, _keep_ms(settings))
        retention.keep_ms = self._retained.keep_ms
        self._settings = settings
        self._policies = policies
        self._plan = plan
        self._plan_number = 0
        self._scan = scanner.scan
        self._changes = changes
        self._standing = standing
        self._late: dict[bytes, list[tuple[bytes, Any]]] = {}
        self._made: dict[Verdict, Verdict] = {}
        self._expired_ms = 0

    def use_policies(self, policies: AnyPolicySet, plan: ScanPlan, settings: EngineSettings) -> None:
        """Decide anew by these policies from now on; traces that were scanned for others are scanned again."""
        if plan is not self._plan:
            self._plan_number += 1
        self._policies, self._plan, self._settings = policies, plan, settings
        self._retained.keep_ms = self._retention.keep_ms = _keep_ms(settings)

    def keep(
        self, entry: TraceEntry, chunks: Sequence[bytes], verdict: Verdict, tick_ms: int, let_in: int = ALWAYS
    ) -> None:
        """Keep a trace that was decided at this tick and is dropped; `let_in` is the lowest R that was taken then."""
        self._retained.keep(entry.trace_id, chunks, entry.summary, self._plan_number, verdict, tick_ms, let_in)

    def note(self, trace_id: bytes, chunk: bytes, summary: Any) -> None:
        """More has come of a trace that was dropped."""
        self._late.setdefault(trace_id, []).append((chunk, summary))

    def look(self, now_ms: int) -> None:
        """Decide anew the traces of which more has come since the last call."""
        self._retained.flush()
        late, self._late = self._late, {}
        for trace_id, parts in late.items():
            head = self._retained.get(trace_id, now_ms)
            if head is not None:
                self._decide_anew(trace_id, head, parts)
        if now_ms - self._expired_ms >= EXPIRE_EVERY_MS:
            self._expired_ms = now_ms
            self._retained.expire(now_ms)

    def since(self, since_ms: int, now_ms: int) -> Iterator[tuple[bytes, Head]]:
        """Traces that were dropped at that time or later and are still dropped; one may come more than once."""
        for trace_id, head in self._retained.since(since_ms, now_ms):
            verdict = self._standing(trace_id)
            if verdict is not None and not verdict.sampled:
                yield trace_id, head

    def payload(self, trace_id: bytes, now_ms: int) -> list[bytes] | None:
        """A retained trace, whole, as it is now; None where it is not to be had."""
        head = self._retained.get(trace_id, now_ms)
        return None if head is None else self._retained.read(trace_id, head)

    def rescue(self, trace_id: bytes, now_ms: int) -> bool:
        """Keep a dropped trace whatever the policies say; False where it is not to be had whole."""
        head = self._retained.get(trace_id, now_ms)
        chunks = None if head is None else self._retained.read(trace_id, head)
        if head is None or chunks is None:
            return False
        source, salt, tenant, output, _ = head.origin
        verdict = Verdict("sampled", ALWAYS, RESCUE_POLICY, source, RESCUED, salt, tenant, output)
        self._changes.decide_otherwise(trace_id, chunks, self._weighed(verdict, head))
        return True

    def close(self) -> None:
        """Forget all."""
        self._late.clear()
        self._retained.close()

    def _decide_anew(self, trace_id: bytes, head: Head, late: Sequence[tuple[bytes, Any]]) -> None:
        chunks = [chunk for chunk, _ in late]
        summary = self._summary_of(trace_id, head)
        most_bytes = self._settings.maximum_trace_size_bytes
        if summary is not None:
            for _, part in late:
                summary.merge(part)
        if summary is None or (most_bytes and summary.size_bytes > most_bytes):
            self._retained.forget(trace_id, head)
            return
        verdict = self._policies.decide_again(trace_id, summary, lambda: self._spans(trace_id, head, chunks))
        if verdict.sampled:
            before = self._retained.read(trace_id, head)
            if before is not None:
                keep = intersection(verdict.keep, head.origin.let_in)
                found = self._weighed(replace(verdict, keep=keep, reason=RESURRECTED), head)
                self._changes.decide_otherwise(trace_id, [*before, *chunks], found)
            return
        stood_for = verdict.probability > 0
        self._retained.extend(trace_id, head, b"".join(chunks), summary, self._plan_number, stood_for)

    def _weighed(self, verdict: Verdict, head: Head) -> Verdict:
        """With the set of R that says what the trace stands for; equal ones are one object."""
        if head.stood_for:
            verdict = replace(verdict, keep=NEVER)
        if len(self._made) >= MOST_REMEMBERED:
            self._made.clear()
        return self._made.setdefault(verdict, verdict)

    def _summary_of(self, trace_id: bytes, head: Head) -> Summary | None:
        """The summary of a trace for the plan in force; None where its payload is needed for that and not there."""
        if head.plan == self._plan_number:
            return unpack_summary(head.summary)
        summary: Any = None
        for part in self._retained.read(trace_id, head) or ():
            for _, _, found in self._scan(self._plan, part)[0]:
                if summary is None:
                    summary = found
                else:
                    summary.merge(found)
        if summary is not None:
            # What the header of a record said is not in the payload.
            named = sum(1 << bit for name, bit in self._policies.by_header.tenants if name == head.origin.tenant)
            summary.merge(type(summary)(bits=named))
        return summary  # type: ignore[no-any-return]  # scanners of both kinds

    def _spans(self, trace_id: bytes, head: Head, late: Sequence[bytes]) -> Sequence[Any]:
        """The spans of a trace for policies that read them."""
        spans: list[Any] = []
        for chunk in (*(self._retained.read(trace_id, head) or ()), *late):
            with suppress(ScanError):
                spans.extend(decode([chunk]))
        return spans


def _keep_ms(settings: EngineSettings) -> int:
    """No longer than the decision is remembered: afterwards late spans begin a new trace."""
    return min(settings.retain_dropped_ms, settings.decision_ttl_ms)
