"""What the traces of one tick add up to, and how it is counted."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple, cast

from policies.budget import REASON as BUDGET
from policies.verdict import Verdict
from sampler.engine import native
from sampler.engine.entry import TraceEntry
from sampler.engine.settlement import EngineCounts

SPAN_BOUNDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
"""Upper bounds, included, of the groups in which traces are counted by their number of spans; the last one is open."""


class Tally(NamedTuple):
    """`totals`: (traces, spans, bytes) by the number of their verdict. `by_spans`: traces by `SPAN_BOUNDS`."""

    totals: dict[int, tuple[int, int, int]]
    rootless: int
    by_spans: list[int]


def plain_tally_of(entries: list[TraceEntry], numbers: list[int], bounds: tuple[int, ...]) -> Tally:
    """Add up these traces, given the numbers of their verdicts and the bounds of their numbers of spans."""
    totals: dict[int, tuple[int, int, int]] = {}
    by_spans = [0] * (len(bounds) + 1)
    rootless = 0
    for entry, number in zip(entries, numbers, strict=True):
        summary = entry.summary
        traces, spans, size_bytes = totals.get(number, (0, 0, 0))
        totals[number] = traces + 1, spans + summary.span_count, size_bytes + summary.size_bytes
        by_spans[bisect_left(bounds, summary.span_count)] += 1
        rootless += not summary.has_root
    return Tally(totals, rootless, by_spans)


def tally_of(entries: list[TraceEntry], numbers: list[int]) -> Tally:
    """Add up these traces, given the numbers of their verdicts."""
    compiled = native.compiled
    if compiled is not None and entries and isinstance(entries[0], compiled.TraceEntry):
        found = compiled.tally_of(entries, numbers, SPAN_BOUNDS)
        if found is not None:
            return Tally(*cast(Tally, found))
    return plain_tally_of(entries, numbers, SPAN_BOUNDS)


def count_decisions(
    counts: EngineCounts, verdicts: Sequence[Verdict], entries: list[TraceEntry], numbers: list[int]
) -> None:
    """Count these traces as decided; `numbers` are the places of their verdicts in `verdicts`."""
    tally = tally_of(entries, numbers)
    counts.rootless_traces += tally.rootless
    before = counts.by_spans or [0] * len(tally.by_spans)
    counts.by_spans = [old + new for old, new in zip(before, tally.by_spans, strict=True)]
    counts.span_sum += sum([spans for _, spans, _ in tally.totals.values()])
    for number, (traces, spans, size_bytes) in tally.totals.items():
        verdict = verdicts[number]
        decision, decider, tenant = verdict.decision, verdict.decider, verdict.tenant
        counts.traces_decided[decision] += traces
        counts.spans_decided[decision] += spans
        counts.bytes_decided[decision] += size_bytes
        if decider is not None:
            counts.by_policy[decider, decision] += traces
            counts.policy_spans[decider, decision] += spans
            counts.policy_bytes[decider, decision] += size_bytes
        if verdict.reason == BUDGET:
            counts.budget_traces[tenant] += traces
            counts.budget_spans[tenant] += spans
        if tenant:
            counts.tenant_traces[tenant, decision] += traces
            counts.tenant_spans[tenant, decision] += spans
        if decision == "sampled":
            chance = verdict.probability
            rate = 1 / chance if chance else 0.0
            counts.sampling_rates[rate] += traces
            if decider is not None:
                counts.policy_weight[decider] = counts.policy_weight.get(decider, 0.0) + rate * traces
