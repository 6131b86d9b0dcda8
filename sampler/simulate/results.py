"""What a simulation prints: one JSON object a trace, or a table for each policy file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from policies.rset import NEVER
from policies.verdict import Verdict
from sampler.config import PolicyFile
from sampler.estimate import estimate
from sampler.otlp.tracestate import threshold_hex
from sampler.simulate.kept import KeptTraces
from sampler.simulate.offline import Outcome, Simulation
from sampler.tables import aligned, count, deviation, share


def json_lines(files: Mapping[str, PolicyFile], result: Simulation) -> Iterator[str]:
    """One object a trace, in order of first appearance."""
    written: dict[Verdict, str] = {}
    names = [json.dumps(stem) for stem in files]
    for trace_id, spans in result.spans.items():
        decisions = []
        for name, outcome in zip(names, result.outcomes, strict=True):
            verdict = outcome.verdicts[trace_id]
            text = written.get(verdict)
            if text is None:
                text = written[verdict] = json.dumps(decision(verdict))
            decisions.append(f"{name}: {text}")
        yield f'{{"trace_id": "{trace_id.hex()}", "spans": {spans}, "decisions": {{{", ".join(decisions)}}}}}'


def decision(verdict: Verdict) -> dict[str, Any]:
    """A verdict as it is printed; `threshold` as in `ot=th`, null where the set of R is no upper interval."""
    threshold = verdict.threshold
    return {
        "sampled": verdict.sampled,
        "threshold": None if threshold is None or threshold >= NEVER else threshold_hex(threshold).decode("ascii"),
        "probability": verdict.probability,
        "policy": verdict.policy if verdict.sampled else None,
        **({"tenant": verdict.tenant} if verdict.tenant else {}),
    }


def table_lines(files: Mapping[str, PolicyFile], result: Simulation) -> Iterator[str]:
    """A table for each policy file."""
    for (stem, file), outcome in zip(files.items(), result.outcomes, strict=True):
        yield f"{stem}  ({file.path})"
        yield from aligned(_rows(result.spans, outcome, file))
        yield ""


def _rows(spans: Mapping[bytes, int], outcome: Outcome, file: PolicyFile) -> list[list[str]]:
    traces_of, spans_of = Counter[str](), Counter[str]()
    traces_by, spans_by = Counter[str](), Counter[str]()
    for trace_id, number in spans.items():
        verdict = outcome.verdicts[trace_id]
        traces_of[verdict.decision] += 1
        spans_of[verdict.decision] += number
        if verdict.sampled:
            name = verdict.decider or "(none)"
            traces_by[name] += 1
            spans_by[name] += number
    traces_in, spans_in = len(spans), sum(spans.values())
    rows = [["", "traces", "", "spans", ""], ["in", count(traces_in), "", count(spans_in), ""]]

    def add(name: str, traces: int, of_spans: int) -> None:
        rows.append([name, count(traces), share(traces, traces_in), count(of_spans), share(of_spans, spans_in)])

    add("kept", traces_of["sampled"], spans_of["sampled"])
    for policy in in_file_order(traces_by, file.policy_set.names):
        add(f"  by {policy}", traces_by[policy], spans_by[policy])
    if traces_of["dropped"]:
        add("dropped by a drop policy", traces_of["dropped"], spans_of["dropped"])
    rows.extend(_estimates(outcome, traces_in - traces_of["dropped"], spans_in - spans_of["dropped"]))
    return rows


def _estimates(outcome: Outcome, true_traces: int, true_spans: int) -> list[list[str]]:
    kept = KeptTraces()
    for _, payload in outcome.outputs:
        kept.add(payload)
    traces = estimate((trace.rate, 1) for trace in kept.traces.values())
    spans = sum(each.rate for trace in kept.traces.values() for each in trace.spans)
    return [
        [],
        ["estimated from what was kept", count(traces.value), deviation(traces.value, true_traces), count(spans),
         deviation(spans, true_spans)],
        ["true number, dropped left out", count(true_traces), "", count(true_spans), ""],
        ["standard error", "± " + count(traces.error), "", "", ""],
    ]  # fmt: skip


def in_file_order(found: Mapping[str, int], names: tuple[str, ...]) -> list[str]:
    """Deciding policies in the order of the policy file; a path stands where its first part does."""
    place = {name: index for index, name in enumerate(names)}
    return sorted(found, key=lambda path: (place.get(path.split("/")[0], len(place)), path))
