"""Generated traces, the recording's reader, their OTLP form and the player."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

from sampler.generate import (
    Event,
    Player,
    Span,
    Trace,
    encode_request,
    find_recording,
    generate_traces,
    read_recording,
    requests_of,
)
from sampler.generate.model import AttributeValue
from sampler.generate.player import MAX_EXPORT_BATCH

TRACES = list(generate_traces(11, 2000))
START = 1_800_000_000_000_000_000


def spans_in(request: ExportTraceServiceRequest) -> list[ProtoSpan]:
    """All spans of a request."""
    return [span for rs in request.resource_spans for ss in rs.scope_spans for span in ss.spans]


def test_the_same_seed_gives_the_same_traces() -> None:
    """A seed and a count determine every id, time and attribute; another seed gives other traces."""
    assert list(generate_traces(11, 50)) == list(generate_traces(11, 50))
    assert list(generate_traces(12, 50)) != list(generate_traces(11, 50))


def test_traces_are_whole_trees() -> None:
    """A trace has one root, distinct span ids, and every other span has a parent in it that began no later."""
    for trace in TRACES:
        by_id = {span.span_id: span for span in trace.spans}
        assert len(by_id) == len(trace.spans)
        assert sum(not span.parent_id for span in trace.spans) == 1
        for span in trace.spans:
            assert span.start_ns < span.end_ns
            assert len(span.span_id) == 8
            assert len(trace.trace_id) == 16
            if span.parent_id:
                assert by_id[span.parent_id].start_ns <= span.start_ns


def test_traces_have_realistic_shapes() -> None:
    """There are fan-outs over many services, failures, slow traces, health checks of one span, and all user tiers."""
    roots = [next(span for span in trace.spans if not span.parent_id) for trace in TRACES]
    assert max(len({span.service for span in trace.spans}) for trace in TRACES) >= 7
    assert max(len(trace.spans) for trace in TRACES) >= 25
    assert 5 <= sum(trace.has_error for trace in TRACES) <= 100
    assert 5 <= sum(trace.duration_ns >= 1_000_000_000 for trace in TRACES) <= 100
    health = [trace for trace, root in zip(TRACES, roots, strict=True) if root.attributes["http.route"] == "/healthz"]
    assert health
    assert all(len(trace.spans) == 1 for trace in health)
    assert {root.attributes.get("user.tier") for root in roots} == {None, "free", "gold", "vip"}


def test_an_error_reaches_its_callers_and_leaves_an_exception_event() -> None:
    """A failing span has an exception event, an error status with a message, and makes its trace's root fail too."""
    failed = [trace for trace in TRACES if any(span.events for span in trace.spans)]
    assert failed
    for trace in failed:
        thrower = next(span for span in trace.spans if span.events)
        assert thrower.status == 2
        assert thrower.status_message
        assert {"exception.type", "exception.message", "exception.stacktrace"} <= thrower.events[0].attributes.keys()
        assert any(span.status == 2 for span in trace.spans if span.service == "storefront")


def test_a_service_sends_its_own_spans() -> None:
    """Each request holds spans of one service under one resource, and together they hold every span once."""
    trace = max(TRACES, key=lambda trace: len(trace.spans))
    sent = list(requests_of(trace, START))
    services = [
        next(each.value.string_value for each in rs.resource.attributes if each.key == "service.name")
        for request in sent
        for rs in request.resource_spans
    ]
    assert sorted(services) == sorted({span.service for span in trace.spans})
    assert sorted(span.span_id for request in sent for span in spans_in(request)) == sorted(
        span.span_id for span in trace.spans
    )


def test_a_span_is_encoded_with_all_it_has() -> None:
    """Ids, times, kind, status, typed attributes and events stand in the OTLP span; what is absent is not set."""
    attributes: dict[str, AttributeValue] = {"text": "a", "flag": True, "number": 7, "share": 0.5}
    made = Span("shop", b"\1" * 8, b"\2" * 8, "op", 5, 9, 3, 2, "no", attributes, (Event("exception", 6, {"k": "v"}),))
    bare = Span("shop", b"\3" * 8, b"", "root", 0, 10)
    full, plain = spans_in(encode_request("shop", [(b"\7" * 16, START, made), (b"\7" * 16, START, bare)]))
    assert (full.trace_id, full.span_id, full.parent_span_id) == (b"\7" * 16, b"\1" * 8, b"\2" * 8)
    assert (full.start_time_unix_nano, full.end_time_unix_nano) == (START + 5, START + 9)
    assert (full.kind, full.status.code, full.status.message) == (3, 2, "no")
    found = {each.key: each.value.WhichOneof("value") for each in full.attributes}
    assert found == {"text": "string_value", "flag": "bool_value", "number": "int_value", "share": "double_value"}
    assert (full.events[0].name, full.events[0].time_unix_nano) == ("exception", START + 6)
    assert not plain.HasField("status")
    assert not plain.parent_span_id


def test_the_player_sends_every_span_once_after_its_end() -> None:
    """Batches come in order of time, hold at most 512 spans of one service, and no span before it ended."""
    player = Player(TRACES, over_s=10)
    batches = list(player.batches())
    assert [batch.due_ns for batch in batches] == sorted(batch.due_ns for batch in batches)
    sent = Counter((number, span.span_id) for batch in batches for number, span in batch.spans)
    assert set(sent.values()) == {1}
    assert len(sent) == player.span_count
    for batch in batches:
        assert len(batch.spans) <= MAX_EXPORT_BATCH
        assert {span.service for _, span in batch.spans} == {batch.service}
        assert all(player.start_ns(number) + span.end_ns <= batch.due_ns for number, span in batch.spans)


def test_the_player_cuts_large_exports() -> None:
    """More than 512 spans of one service at one moment leave in several exports."""
    spans = tuple(Span("a", index.to_bytes(8, "big"), b"", "op", 0, 1) for index in range(1, 1201))
    player = Player([Trace(b"\1" * 16, spans)], over_s=0)
    assert [len(batch.spans) for batch in player.batches()] == [512, 512, 176]


def test_the_recording_is_read_in_order_of_start(tmp_path: Path) -> None:
    """Rows become traces by id with times from their first span, services from pods, and exact copies stay."""
    rows = [
        "trace_id,span_id,parent_span_id,pod,operation,start_unix_nano,end_unix_nano",
        f"{'bb' * 16},{'02' * 8},,cart-service-7f9-x1,late,2000,2500",
        f"{'aa' * 16},{'01' * 8},,frontend-579b9bff58-t2dbm,root,1000,1900",
        f"{'aa' * 16},{'03' * 8},{'01' * 8},frontend-579b9bff58-t2dbm,inner,1100,1200",
        f"{'aa' * 16},{'03' * 8},{'01' * 8},frontend-579b9bff58-t2dbm,inner,1100,1200",
    ]
    path = tmp_path / "recording.csv.gz"
    path.write_bytes(gzip.compress("\n".join(rows).encode()))
    first, second = read_recording(path)
    inner = Span("frontend", b"\3" * 8, b"\1" * 8, "inner", 100, 200)
    assert first == Trace(b"\xaa" * 16, (Span("frontend", b"\1" * 8, b"", "root", 0, 900), inner, inner))
    assert second.spans[0].service == "cart-service"
    assert (first.distinct_spans, first.duration_ns) == (2, 900)
    assert read_recording(path, limit=1) == [first]


def test_the_recording_is_looked_for_where_the_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SAMPLER_TRACE_DATA names the folder; an empty folder means there is no recording."""
    monkeypatch.setenv("SAMPLER_TRACE_DATA", str(tmp_path))
    assert find_recording() is None
    (tmp_path / "online_boutique_2022-08-22.csv.gz").touch()
    assert find_recording() == tmp_path / "online_boutique_2022-08-22.csv.gz"


@pytest.mark.skipif(find_recording() is None, reason="the recording is not here: set SAMPLER_TRACE_DATA to its folder")
def test_the_real_recording_has_the_stated_size() -> None:
    """178,562 spans of 4,462 traces, 883 of them exact copies, as its README says."""
    path = find_recording()
    assert path is not None
    traces = read_recording(path)
    spans = sum(len(trace.spans) for trace in traces)
    assert (len(traces), spans, spans - sum(trace.distinct_spans for trace in traces)) == (4462, 178_562, 883)
