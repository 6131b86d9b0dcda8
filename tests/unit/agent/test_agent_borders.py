"""Cutting parts that are too large for one record."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from sampler.agent.borders import cut

Make = Callable[..., ExportTraceServiceRequest]


@pytest.mark.parametrize("limit", [400, 1000, 5000, 100_000])
def test_nothing_is_lost_or_altered(make_request: Make, limit: int) -> None:
    """Pieces are within the limit; together they hold every span once, each with its resource, scope and schemas."""
    request = make_request(traces=1, spans=40, padding=100)
    request.resource_spans[0].scope_spans[0].schema_url = "https://example.org/scope"
    more = request.resource_spans[0].scope_spans.add()
    more.scope.name = "other"
    more.spans.add(span_id=b"12345678", name="last")
    request.resource_spans.add().scope_spans.add().spans.add(name="plain")
    pieces, lost = cut(request.SerializeToString(), limit)
    assert lost == 0
    assert max(map(len, pieces)) <= limit
    got = []
    for piece in pieces:
        for resource_spans in TracesData.FromString(piece).resource_spans:
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    outer = (resource_spans.resource.SerializeToString(), resource_spans.schema_url)
                    got.append((*outer, scope_spans.scope.name, scope_spans.schema_url, span.SerializeToString()))
    expected = [
        (r.resource.SerializeToString(), r.schema_url, s.scope.name, s.schema_url, span.SerializeToString())
        for r in request.resource_spans
        for s in r.scope_spans
        for span in s.spans
    ]
    assert got == expected


def test_unknown_fields_stay(make_request: Make) -> None:
    """Fields of a newer OTLP, groups included, are in every piece of their ResourceSpans."""
    resource_spans = make_request(traces=1, spans=10, padding=100).resource_spans[0].SerializeToString()
    unknown = b"\xa2\x06\x03new" + b"\xab\x06\x08\x05\xac\x06"  # field 100 as bytes, field 101 as a group
    body = resource_spans + unknown
    pieces, _ = cut(b"\x0a" + bytes([len(body) & 0x7F | 0x80, len(body) >> 7]) + body, 500)
    assert len(pieces) > 2
    assert all(unknown in piece for piece in pieces)


def test_a_span_beyond_the_limit_is_counted_out(make_request: Make) -> None:
    """A span that fits into no record is left out, the others are there."""
    request = make_request(traces=1, spans=5)
    request.resource_spans[0].scope_spans[0].spans[2].name = "x" * 2000
    pieces, lost = cut(request.SerializeToString(), 1000)
    assert lost == 1
    assert sum(piece.count(b"pay") for piece in pieces) == 4


def test_a_huge_resource_is_not_repeated_without_bound(make_request: Make) -> None:
    """Where the resource takes more than half of a record its spans are counted out."""
    request = make_request(traces=1, spans=50)
    request.resource_spans[0].resource.attributes.add(key="env").value.string_value = "x" * 600
    assert cut(request.SerializeToString(), 1000) == ([], 50)


def test_many_scopes_below_a_large_resource_do_not_grow_without_bound() -> None:
    """A resource is repeated for each scope that is cut off: beyond a fixed growth the rest is counted out."""
    data = TracesData()
    resource_spans = data.resource_spans.add()
    resource_spans.resource.attributes.add(key="pad").value.string_value = "x" * 450_000
    for number in range(400):
        resource_spans.scope_spans.add().spans.add(
            trace_id=b"t" * 16, span_id=number.to_bytes(8, "big"), name="n" * 1500
        )
    part = data.SerializeToString()
    pieces, lost = cut(part, 1_000_000)
    assert sum(map(len, pieces)) < 64 * 1024 * 1024 + 10 * len(part)
    left = [TracesData.FromString(piece) for piece in pieces]
    assert lost == 400 - sum(len(s.spans) for d in left for r in d.resource_spans for s in r.scope_spans) > 0
