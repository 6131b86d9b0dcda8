"""Reading kept traces back, estimates and tables."""

from __future__ import annotations

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from policies.testing import resource, span, trace
from sampler.estimate import estimate
from sampler.simulate.kept import KeptTraces
from sampler.tables import aligned, deviation, duration, share, shortened


def test_a_kept_trace_says_rate_and_policy_of_its_root() -> None:
    """Spans of several payloads come together by trace; rate and policy are those of the root."""
    marks = {"other": 1, "sampling.rate": 4.0, "sampling.policy": "few"}
    root = span("GET /", 0, 50, root=True, attributes=marks)
    inner = span("SELECT", 10, 90, status="ERROR", attributes={"sampling.rate": 8.0})
    made = trace(resource({}, inner), resource({"service.name": "shop"}, root))
    kept = KeptTraces()
    for resource_spans in made.resource_spans:
        kept.add(TracesData(resource_spans=[resource_spans]).SerializeToString())
    (found,) = kept.traces.values()
    assert (found.rate, found.policy, found.has_error, found.duration_ns) == (4.0, "few", True, 90_000_000)
    assert [(each.service, each.rate) for each in found.spans] == [("unknown_service", 8.0), ("shop", 4.0)]
    assert kept.span_count == 2


def test_whole_number_rates_are_read() -> None:
    """A preset that writes whole numbers is understood, and a span without a rate counts once."""
    kept = KeptTraces()
    made = trace(span("a", root=True, attributes={"sampling.rate": 20}), trace_id="01" * 16)
    bare = trace(span("b", root=True), trace_id="02" * 16)
    for each in (made, bare):
        kept.add(TracesData(resource_spans=each.resource_spans).SerializeToString())
    assert [each.rate for each in kept.traces.values()] == [20.0, 1.0]
    assert [each.policy for each in kept.traces.values()] == ["(none)", "(none)"]


def test_an_estimate_counts_each_as_often_as_it_stands_for() -> None:
    """Two traces of adjusted count 10 with 3 spans each: 60 spans; the error is sqrt(2 * 10 * 9) * 3."""
    found = estimate([(10, 3), (10, 3)])
    assert found.value == 60
    assert found.error == pytest.approx((2 * 90 * 9) ** 0.5)
    assert estimate([(1, 5)]).error == 0


def test_columns_are_aligned() -> None:
    """The first column stands to the left, numbers to the right, headings widen nothing, empty rows are empty lines."""
    rows = [["", "traces"], ["in", "1,000"], [], ["a heading that is longer than all"], ["kept", "7"]]
    assert aligned(rows) == [
        "         traces",
        "  in      1,000",
        "",
        "  a heading that is longer than all",
        "  kept        7",
    ]


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [(0, "0 ns"), (999, "999 ns"), (1_500, "1.50 µs"), (99_960_000, "100.0 ms"), (812_000_000, "812 ms"),
     (2_345_000_000, "2.35 s"), (61_000_000_000, "61.0 s")],
)  # fmt: skip
def test_durations_have_three_figures(nanoseconds: int, text: str) -> None:
    """A duration is written in the largest unit that it reaches."""
    assert duration(nanoseconds) in {text, text.replace("100.0 ms", "100 ms")}


def test_small_texts() -> None:
    """Shares, deviations and cut texts say what they mean, also without a whole."""
    assert (share(1, 8), share(1, 0)) == ("12.5 %", "-")
    assert (deviation(95, 100), deviation(100.2, 100), deviation(5, 0)) == ("-5.0 %", "exact", "-")
    assert (shortened("abcdef", 4), shortened("abc", 4)) == ("abc…", "abc")
