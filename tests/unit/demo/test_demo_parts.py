"""The demo's progress line, closing tables, checks, example policies, and what it reads of the worker."""

from __future__ import annotations

import io
from importlib.resources import files
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from policies.testing import any_value
from sampler.config import load_policies
from sampler.demo.closing import Result, chosen_trace, estimate_table, faults, kept_table
from sampler.demo.command import load_traces
from sampler.demo.progress import Progress, Snapshot, line
from sampler.demo.stack import WorkerState, choose_ports, parse_state
from sampler.demo.style import Style
from sampler.generate import Trace, generate_traces, requests_of
from sampler.otlp import get_scanner
from sampler.simulate import Record, simulate
from sampler.simulate.kept import KeptTraces

START = 1_800_000_000 * 10**9
EXAMPLE = Path(str(files("sampler.demo") / "policies.yaml"))


def kept_of(traces: list[Trace], rate: float = 1.0, policy: str = "all") -> KeptTraces:
    """These traces as if they had been kept."""
    kept = KeptTraces()
    for trace in traces:
        for request in requests_of(trace, START):
            data = TracesData.FromString(request.SerializeToString())
            for scope_spans in data.resource_spans[0].scope_spans:
                for span in scope_spans.spans:
                    span.attributes.add(key="sampling.rate", value=any_value(rate))
                    span.attributes.add(key="sampling.policy", value=any_value(policy))
            kept.add(data.SerializeToString())
    return kept


def state(**dropped: int) -> WorkerState:
    """A worker's state of which only dropped traces count."""
    total = sum(dropped.values())
    return WorkerState({"dropped": total}, {"dropped": total}, dropped, 0, 0, 0)


def snapshot(at_s: float, sent: int = 0, kept: int = 0) -> Snapshot:
    """A moment."""
    return Snapshot(at_s, sent, 178_562, 1607, 100, 10, kept)


def test_the_progress_line_says_totals_and_rates() -> None:
    """Totals are those of now, rates those since the earlier moment, within 100 columns."""
    text = line(snapshot(10), snapshot(12, 24_000, 500), 7.0)
    assert " ".join(text.split()) == "7 s spans in 24,000 13 % 12,000/s kept 500 250/s traces waiting 1,607"
    assert len(line(snapshot(10), snapshot(12, 178_562, 178_562), 1000.0)) <= 100


def test_progress_writes_over_its_line_only_on_a_terminal() -> None:
    """A terminal sees one line, written anew and ended once; elsewhere lines come every other second and at the end."""
    live, plain = io.StringIO(), io.StringIO()
    for stream, style in ((live, Style(live=True)), (plain, Style())):
        progress = Progress(stream, style)
        for tick in range(21):
            progress.show(snapshot(100 + tick / 4, tick), last=tick == 20)
    assert live.getvalue().count("\r\x1b[K") == 21
    assert live.getvalue().count("\n") == 1
    assert plain.getvalue().count("\n") == 4
    assert "\x1b" not in plain.getvalue()


def test_no_colour_where_it_is_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe gets no colour, a terminal does, NO_COLOR switches it off and leaves the live line."""

    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert Style.of(io.StringIO()).bold("x") == "x"
    assert Style.of(Terminal()).bold("x") == "\x1b[1mx\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert Style.of(Terminal()) == Style(colour=False, live=True, unicode=True)
    monkeypatch.setenv("TERM", "dumb")
    assert not Style.of(Terminal()).live


def test_the_closing_tables_add_up() -> None:
    """What went in, was kept and dropped, and estimates against true numbers, dropped ones left out of these."""
    traces = list(generate_traces(3, 40))
    kept = kept_of(traces[:20], rate=2.0, policy="half")
    result = Result(traces, kept, state(health=2), ("health", "half"), own_policies=False)
    words = [row.split() for row in kept_table(result)]
    spans = sum(len(trace.spans) for trace in traces[:20])
    assert words[2][:4] == ["kept", "20", "50.0", "%"]
    assert words[2][4] == f"{spans:,}"
    assert words[3][:5] == ["by", "half", "20", "50.0", "%"]
    assert ["dropped", "by", "health", "2", "5.0", "%"] in words
    estimates = [row.split() for row in estimate_table(result)]
    assert ["traces", "20", "40", "±", "6", "38", "+5.3", "%"] in estimates
    assert max(map(len, kept_table(result) + estimate_table(result))) <= 100


def test_true_numbers_of_groups_are_shown_for_the_demos_own_policies() -> None:
    """Failed traces and those that reached payment are counted where all were kept: exactly."""
    traces = list(generate_traces(3, 800))
    result = Result(traces, kept_of(traces), state(), ("all",), own_policies=True)
    rows = estimate_table(result)
    assert all(row.endswith("exact") for row in rows[1:])
    assert [row.split("  ")[1].strip() for row in rows[1:]] == [
        "traces", "spans", "traces with an error", "traces of 1 s or more", "traces that reached payment",
    ]  # fmt: skip


def test_incomplete_traces_are_found() -> None:
    """A missing span, one that is there twice, and a trace that nobody sent are told; whole traces are not."""
    traces = list(generate_traces(3, 30))
    big = max(traces, key=lambda trace: len(trace.spans))
    assert faults(traces, kept_of(traces)) == []
    missing = Trace(big.trace_id, big.spans[1:])
    assert faults(traces, kept_of([missing])) == [f"trace {big.trace_id.hex()}: 1 spans missing, 0 twice, 0 never sent"]
    twice = Trace(big.trace_id, (*big.spans, big.spans[0]))
    assert "1 twice" in faults(traces, kept_of([twice]))[0]
    assert f"{len(big.spans)} never sent" in faults([], kept_of([big]))[0]


def test_the_trace_to_draw_fails_if_one_does() -> None:
    """A failed trace goes before others, and where nothing was kept nothing is drawn."""
    traces = list(generate_traces(3, 800))
    chosen = chosen_trace(kept_of(traces))
    assert chosen is not None
    assert chosen.has_error
    assert chosen_trace(KeptTraces()) is None


def test_the_example_policies_answer_as_their_comments_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Health checks are dropped, failed, slow and vip traces kept, others in part, and every policy is of use."""
    monkeypatch.setenv("SAMPLER_TRACE_DATA", str(tmp_path))
    traces, _ = load_traces(3000)
    policies = load_policies(EXAMPLE)
    assert policies.notes == ()
    records = [Record("", 0, each.SerializeToString()) for trace in traces for each in requests_of(trace, START)]
    (outcome,) = simulate([policies], records, get_scanner()).outcomes
    used = {verdict.policy for verdict in outcome.verdicts.values()}
    assert used == {None, *policies.policy_set.names}
    for trace in traces:
        verdict = outcome.verdicts[trace.trace_id]
        root = next(span for span in trace.spans if not span.parent_id)
        if root.attributes["http.route"] == "/healthz":
            assert verdict.decision == "dropped"
        elif trace.has_error or trace.duration_ns >= 10**9 or root.attributes["user.tier"] == "vip":
            assert (verdict.sampled, verdict.probability) == (True, 1.0)
        else:
            reached = any(span.service == "payment" for span in trace.spans)
            assert verdict.probability == pytest.approx(0.5 if reached else 0.05)


def test_the_workers_metrics_are_read() -> None:
    """Decisions, spans, drops by policy, waiting traces and records out come from the page; the rest is passed over."""
    page = """
# TYPE tailsampler_traces_decided_total counter
tailsampler_traces_decided_total{decision="sampled"} 5.0
tailsampler_traces_decided_total{decision="dropped"} 2.0
# TYPE tailsampler_spans_decided_total counter
tailsampler_spans_decided_total{decision="sampled"} 50.0
# TYPE tailsampler_policy_traces_total counter
tailsampler_policy_traces_total{policy="health",decision="dropped"} 2.0
tailsampler_policy_traces_total{policy="errors",decision="sampled"} 5.0
# TYPE tailsampler_traces_buffered gauge
tailsampler_traces_buffered 7.0
# TYPE tailsampler_output_records_total counter
tailsampler_output_records_total 6.0
# TYPE tailsampler_late_spans_total counter
tailsampler_late_spans_total{decision="sampled"} 1.0
tailsampler_late_spans_total{decision="not_sampled"} 2.0
"""
    found = parse_state(page)
    assert found == WorkerState({"sampled": 5, "dropped": 2}, {"sampled": 50}, {"health": 2}, 7, 6, 3)
    assert found.decided == 7


def test_ports_are_free_and_different() -> None:
    """Four different ports, each of which can be listened on at this moment."""
    ports = choose_ports()
    assert len({ports.grpc, ports.http, ports.agent_web, ports.worker_web}) == 4
