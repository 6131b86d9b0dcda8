"""OTLP JSON to protobuf."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sampler.agent.otlp_json import JsonError, request_from_json

TRACE = "5B8EFFF798038103D269B633813FC60C"
SPAN = "eee19b7ec3c1b174"


def decoded(document: Any) -> ExportTraceServiceRequest:
    """The request that a JSON document stands for."""
    return ExportTraceServiceRequest.FromString(request_from_json(json.dumps(document).encode()))


def with_span(span: dict[str, Any]) -> dict[str, Any]:
    """A document with one span."""
    return {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}


def test_every_field_of_a_span_is_read() -> None:
    """Hexadecimal ids of any case, 64-bit numbers as text or not, integer enums, nested values, links and events."""
    document = with_span(
        {
            "traceId": TRACE,
            "spanId": SPAN,
            "parentSpanId": "EEE19B7EC3C1B173",
            "traceState": "ot=th:8",
            "flags": 257,
            "name": "pay",
            "kind": 2,
            "startTimeUnixNano": "1544712660000000000",
            "endTimeUnixNano": 1544712661000000000,
            "attributes": [
                {"key": "big", "value": {"intValue": "9007199254740993"}},
                {"key": "raw", "value": {"bytesValue": base64.b64encode(b"\x00\xff").decode()}},
                {"key": "list", "value": {"arrayValue": {"values": [{"boolValue": True}, {"doubleValue": 0.5}]}}},
            ],
            "events": [{"name": "exception", "timeUnixNano": "5"}],
            "links": [{"traceId": TRACE.lower(), "spanId": SPAN}],
            "status": {"code": 2, "message": "declined"},
        }
    )
    span = decoded(document).resource_spans[0].scope_spans[0].spans[0]
    assert (span.trace_id.hex(), span.span_id.hex()) == (TRACE.lower(), SPAN)
    assert span.parent_span_id.hex() == "eee19b7ec3c1b173"
    assert (span.trace_state, span.flags, span.kind, span.status.code) == ("ot=th:8", 257, 2, 2)
    assert span.end_time_unix_nano - span.start_time_unix_nano == 10**9
    assert span.attributes[0].value.int_value == 9007199254740993
    assert span.attributes[1].value.bytes_value == b"\x00\xff"
    assert span.attributes[2].value.array_value.values[1].double_value == 0.5
    assert (span.events[0].name, span.links[0].trace_id.hex()) == ("exception", TRACE.lower())


def test_unknown_fields_are_ignored() -> None:
    """Fields that this version does not know are as if they were not there, on every level."""
    document = with_span({"spanId": SPAN, "new": [1, {"traceId": "zz"}]}) | {"newer": None}
    assert decoded(document) == decoded(with_span({"spanId": SPAN}))


def test_ids_may_be_empty_and_names_original() -> None:
    """An empty parent is a root; protobuf's own field names are read too, as in the Collector, with hexadecimal ids."""
    document = {"resource_spans": [{"scope_spans": [{"spans": [{"trace_id": TRACE, "parent_span_id": ""}]}]}]}
    span = decoded(document).resource_spans[0].scope_spans[0].spans[0]
    assert (span.trace_id.hex(), span.parent_span_id) == (TRACE.lower(), b"")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe{}",
        b'"text"',
        b"null",
        b'{"resourceSpans": {}}',
        b'{"resourceSpans": [5]}',
        b'{"resourceSpans": [{"scopeSpans": "x"}]}',
        json.dumps(with_span({"traceId": "0g"})).encode(),
        json.dumps(with_span({"traceId": 5})).encode(),
        json.dumps(with_span({"links": [{"spanId": "abc"}]})).encode(),
        json.dumps(with_span({"name": "\ud800"})).encode(),
        json.dumps(with_span({"startTimeUnixNano": -1})).encode(),
        b"[" * 100_000,
        b'{"resourceSpans":[{"resource":{"attributes":[{"key":"k","value":'
        + b'{"arrayValue":{"values":[' * 300
        + b"]}}" * 300
        + b"}]}}]}",
    ],
)
def test_what_is_not_otlp_json_is_refused(body: bytes) -> None:
    """Other JSON, and what is no JSON, raises JsonError and nothing else."""
    with pytest.raises(JsonError):
        request_from_json(body)
