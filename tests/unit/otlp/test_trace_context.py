"""W3C Trace Context as headers, where a record is of one trace."""

from __future__ import annotations

from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from sampler.otlp import get_scanner
from sampler.otlp.trace_context import trace_context_of


def record(*traces: int, state: str = "") -> bytes:
    """One ResourceSpans a trace, two spans each."""
    data = TracesData()
    for trace in traces:
        scope = data.resource_spans.add().scope_spans.add()
        scope.scope.name = "lib"
        for number in (1, 2):
            scope.spans.add(
                trace_id=bytes([trace]) * 16, span_id=bytes([number]) * 8, trace_state=state, name="n", flags=1
            )
    return data.SerializeToString()


def test_a_record_of_one_trace_has_a_context() -> None:
    """The ids of its first span, sampled, and its tracestate where it has one."""
    parent = b"00-" + b"07" * 16 + b"-" + b"01" * 8 + b"-01"
    assert trace_context_of(record(7)) == [("traceparent", parent)]
    assert trace_context_of(record(7, 7, state="a=b,ot=th:8")) == [
        ("traceparent", parent), ("tracestate", b"a=b,ot=th:8")
    ]  # fmt: skip


def test_a_record_of_several_traces_has_none() -> None:
    """A record with spans of two traces, or none, belongs to no context."""
    assert trace_context_of(record(7, 8)) is None
    assert trace_context_of(record(7, 7, 8)) is None
    assert trace_context_of(TracesData(resource_spans=[{"schema_url": "x"}]).SerializeToString()) is None  # type: ignore[list-item]
    assert trace_context_of(b"") is None


def test_what_the_agent_packs_is_understood() -> None:
    """Parts that the splitter makes of a mixed request are of one trace or not, as their spans are."""
    data = TracesData()
    scope = data.resource_spans.add().scope_spans.add()
    for number in range(6):
        scope.spans.add(trace_id=bytes([number % 3 + 1]) * 16, span_id=bytes([number + 1]) * 8)
    for _, part, _ in get_scanner().split(data.SerializeToString(), 4, "sarama").parts:
        ids = {span.trace_id for each in TracesData.FromString(part).resource_spans
               for inner in each.scope_spans for span in inner.spans}  # fmt: skip
        assert (trace_context_of(part) is None) == (len(ids) > 1)
