"""The end of the demo: what went in, what was kept and why, what that tells of the whole, and whether it is whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sampler.demo.stack import WorkerState
from sampler.demo.waterfall import MAX_ROWS, rows_of
from sampler.estimate import estimate
from sampler.generate.model import Trace
from sampler.simulate.kept import KeptTrace, KeptTraces
from sampler.simulate.results import in_file_order
from sampler.tables import aligned, count, deviation, share

SLOW_NS = 1_000_000_000
PAYMENT = frozenset({"payment", "paymentservice"})


@dataclass(frozen=True, slots=True)
class Result:
    """All that is known at the end. `own_policies`: the demo's own policies ran, whose answers can be foretold."""

    sent: Sequence[Trace]
    kept: KeptTraces
    state: WorkerState
    policies: tuple[str, ...]
    own_policies: bool


def kept_table(result: Result) -> list[str]:
    """Traces and spans in, kept, by policy, dropped."""
    traces_in, spans_in = len(result.sent), sum(len(trace.spans) for trace in result.sent)
    copies = spans_in - sum(trace.distinct_spans for trace in result.sent)
    rows = [["", "traces", "", "spans", ""], ["in", count(traces_in), "", count(spans_in), ""]]
    if copies:
        rows.append(["  of these exact copies", "", "", count(copies), ""])

    def add(name: str, traces: int, spans: int) -> None:
        rows.append([name, count(traces), share(traces, traces_in), count(spans), share(spans, spans_in)])

    kept = list(result.kept.traces.values())
    add("kept", len(kept), result.kept.span_count)
    by = Counter(trace.policy for trace in kept)
    spans_by = Counter[str]()
    for trace in kept:
        spans_by[trace.policy] += len(trace.spans)
    for policy in in_file_order(by, result.policies):
        add(f"  by {policy}", by[policy], spans_by[policy])
    state = result.state
    for policy in in_file_order(state.by_policy, result.policies):
        share_in = share(state.by_policy[policy], traces_in)
        rows.append([f"dropped by {policy}", count(state.by_policy[policy]), share_in, "", ""])
    return aligned(rows)


def estimate_table(result: Result) -> list[str]:
    """Estimates from the kept traces alone beside the true numbers. Dropped traces are in neither."""
    kept, sent, dropped = list(result.kept.traces.values()), result.sent, result.state.traces.get("dropped", 0)
    rows = [["", "kept", "estimated", "± std. error", "true", "difference"]]

    def add(name: str, amounts: list[tuple[float, float]], true: float, kept_amount: float) -> None:
        found = estimate(amounts)
        rows.append(
            [name, count(kept_amount), count(found.value), f"± {count(found.error)}", count(true),
             deviation(found.value, true)]
        )  # fmt: skip

    add("traces", [(trace.rate, 1) for trace in kept], len(sent) - dropped, len(kept))
    distinct = sum(trace.distinct_spans for trace in sent)
    copies = sum(len(trace.spans) for trace in sent) - distinct
    dropped_spans = result.state.spans.get("dropped", 0)
    if not (copies and dropped_spans):
        # The worker counts copies among the spans it dropped, so only one of the two can be taken off exactly.
        amounts = [(trace.rate, float(len(trace.spans))) for trace in kept]
        add("spans", amounts, distinct - dropped_spans, result.kept.span_count)
    for name, of_sent, of_kept in _GROUPS if result.own_policies else ():
        true = sum(map(of_sent, sent))
        if true:
            group = [trace for trace in kept if of_kept(trace)]
            add(name, [(trace.rate, 1) for trace in group], true, len(group))
    return aligned(rows)


_GROUPS: tuple[tuple[str, Callable[[Trace], bool], Callable[[KeptTrace], bool]], ...] = (
    ("traces with an error", lambda trace: trace.has_error, lambda trace: trace.has_error),
    ("traces of 1 s or more", lambda trace: trace.duration_ns >= SLOW_NS, lambda trace: trace.duration_ns >= SLOW_NS),
    (
        "traces that reached payment",
        lambda trace: any(span.service in PAYMENT for span in trace.spans),
        lambda trace: any(each.service in PAYMENT for each in trace.spans),
    ),
)


def faults(sent: Sequence[Trace], kept: KeptTraces) -> list[str]:
    """What is wrong with the kept traces: spans missing, there twice, or never sent. Empty where all are whole."""
    expected = {trace.trace_id: trace for trace in sent}
    found = []
    for trace_id, trace in kept.traces.items():
        known = {span.span_id for span in expected[trace_id].spans} if trace_id in expected else set()
        ids = Counter(each.span.span_id for each in trace.spans)
        missing, strange = len(known - ids.keys()), len(ids.keys() - known)
        twice = sum(times - 1 for times in ids.values())
        if missing or strange or twice:
            found.append(f"trace {trace_id.hex()}: {missing} spans missing, {twice} twice, {strange} never sent")
    return found


def chosen_trace(kept: KeptTraces) -> KeptTrace | None:
    """The kept trace to draw: one that fails in several services if there is one, not too long to look at."""

    def rank(trace: KeptTrace) -> tuple[bool, bool, int, int, bytes]:
        services = len({each.service for each in trace.spans})
        fits = sum(1 for _ in rows_of(trace.spans)) <= MAX_ROWS
        return (not trace.has_error, not fits, -services, -trace.duration_ns, trace.trace_id)

    return min(kept.traces.values(), key=rank, default=None)
