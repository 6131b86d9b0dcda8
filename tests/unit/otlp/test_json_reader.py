"""OTLP JSON to protobuf."""

from __future__ import annotations

import base64
import contextlib
import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sampler.otlp.json_reader import JsonError, request_from_json

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
        json.dumps(with_span({"traceId": "\ud800"})).encode(),
        json.dumps(with_span({"kind": "\ud800"})).encode(),
        json.dumps(with_span({"status": {"code": 1e400}})).encode(),
        json.dumps(with_span({"kind": 1e400})).encode(),
        json.dumps(with_span({"attributes": [{"key": "k", "value": {"arrayValue": "\ud800"}}]})).encode(),
        json.dumps(with_span({"attributes": [{"key": "k", "value": {"doubleValue": 10**400}}]})).encode(),
        json.dumps(with_span({"startTimeUnixNano": -1})).encode(),
        b"[" * 100_000,
        b'{"resourceSpans":[{"resource":{"attributes":[{"key":"k","value":'
        + b'{"arrayValue":{"values":[' * 300
        + b"]}}" * 300
        + b"}]}}]}",
    ],
)
def test_what_is_not_otlp_json_is_refused(body: bytes) -> None:
    """Other JSON, and what is no JSON, raises JsonError and nothing else; its text can be sent and printed."""
    with pytest.raises(JsonError) as caught:
        request_from_json(body)
    assert len(str(caught.value).encode()) < 1000


WHOLE = {
    "resourceSpans": [
        {
            "resource": {
                "attributes": [{"key": "k", "value": {"stringValue": "v"}}],
                "droppedAttributesCount": 1,
            },
            "scopeSpans": [
                {
                    "scope": {"name": "n", "version": "1", "attributes": [{"key": "k", "value": {"boolValue": True}}]},
                    "spans": [
                        {
                            "traceId": TRACE,
                            "spanId": SPAN,
                            "parentSpanId": SPAN,
                            "traceState": "ot=th:8",
                            "name": "pay",
                            "kind": 2,
                            "flags": 1,
                            "startTimeUnixNano": "1",
                            "endTimeUnixNano": 2,
                            "attributes": [
                                {"key": "i", "value": {"intValue": "1"}},
                                {"key": "d", "value": {"doubleValue": 0.5}},
                                {"key": "b", "value": {"bytesValue": "AA=="}},
                                {"key": "a", "value": {"arrayValue": {"values": [{"stringValue": "x"}]}}},
                                {
                                    "key": "m",
                                    "value": {"kvlistValue": {"values": [{"key": "k", "value": {"intValue": 1}}]}},
                                },
                            ],
                            "events": [{"name": "e", "timeUnixNano": "1", "attributes": []}],
                            "links": [{"traceId": TRACE, "spanId": SPAN, "traceState": "", "attributes": []}],
                            "status": {"code": 2, "message": "no"},
                        }
                    ],
                    "schemaUrl": "u",
                }
            ],
            "schemaUrl": "u",
        }
    ]
}


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a document: the list or object, and the index or name in it."""
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(inner, dict | list):
            yield from places(inner)


PLACES = len(list(places(WHOLE)))
NAMES = sorted({key for _, key in places(WHOLE) if isinstance(key, str)} | {"resource_spans", "\ud800", "", "new"})
texts = st.one_of(st.text(max_size=5), st.sampled_from(["\ud800", "\udc00x", "1e400", "NaN", "-1", "9" * 5000]))
numbers = st.one_of(
    st.integers(), st.floats(), st.sampled_from([1e400, -1e400, 2**31, 2**32, 2**63, 2**64, 10**400, 0.5])
)
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)),
    max_leaves=6,
)


def judged(body: bytes) -> None:
    """Read a body: the bytes are a request, or the error's text can be sent."""
    with contextlib.suppress(JsonError):
        try:
            ExportTraceServiceRequest.FromString(request_from_json(body))
        except JsonError as error:
            str(error).encode()
            raise


@settings(max_examples=1000, deadline=None)
@given(place=st.integers(0, PLACES - 1), value=anything)
def test_any_value_anywhere_is_read_or_refused(place: int, value: Any) -> None:
    """Whatever stands in the place of one value of a request, there are bytes or JsonError."""
    document = copy.deepcopy(WHOLE)
    holder, key = list(places(document))[place]
    holder[key] = value
    judged(json.dumps(document).encode())


@settings(max_examples=300, deadline=None)
@given(document=anything)
@example(document={"resourceSpans": [{"resource": "\ud800"}]})
@example(document={"\ud800": 1})
def test_any_json_is_read_or_refused(document: Any) -> None:
    """So it is with JSON of any other form."""
    judged(json.dumps(document).encode())


@settings(max_examples=300, deadline=None)
@given(body=st.binary(max_size=40))
def test_noise_is_read_or_refused(body: bytes) -> None:
    """And with bytes that are no JSON at all, also behind the start of a request."""
    judged(body)
    judged(b'{"resourceSpans":[' + body)
