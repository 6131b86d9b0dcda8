"""The quick writer of the usual OTLP JSON against the thorough one."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sampler.otlp import json_fast
from sampler.otlp.json_fast import write_usual_form
from sampler.otlp.json_reader import JsonError, request_from_json, write_any_form

TRACES = Path(__file__).parents[4] / "shared" / "conformance" / "collector" / "traces.jsonl.gz"

ODD_VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, 10**400, 1.5, 1e400, "", "7", "-7", " 7", "1_0", "+7", "7.0",
    "\u0663", "ab", "zz", "abc", "0" * 21 + "7", "SPAN_KIND_CLIENT", "STATUS_CODE_ERROR", [], {}, [None], [[]], [{}],
    {"values": []}, {"values": None}, "\ud800",
]  # fmt: skip
KINDS = [
    "stringValue", "boolValue", "intValue", "doubleValue", "arrayValue", "kvlistValue", "string_value", "unknown",
]  # fmt: skip
INT64 = st.integers(-(2**63), 2**63 - 1)


def array(values: list[Any]) -> dict[str, Any]:
    """An array value."""
    return {"arrayValue": {"values": values}}


def mapping(values: list[Any]) -> dict[str, Any]:
    """A map value."""
    return {"kvlistValue": {"values": [{"key": "k", "value": each} for each in values]}}


any_values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.builds(lambda v: {"stringValue": v}, st.text(max_size=8)),
        st.builds(lambda v: {"boolValue": v}, st.booleans()),
        st.builds(lambda v: {"intValue": v}, st.one_of(INT64, INT64.map(str))),
        st.builds(lambda v: {"doubleValue": v}, st.floats(allow_nan=False, allow_infinity=False)),
        st.sampled_from([{"doubleValue": "NaN"}, {"bytesValue": "aGk="}, {}]),
        st.builds(lambda k, v: {k: v}, st.sampled_from(KINDS), st.sampled_from(ODD_VALUES)),
    ),
    lambda inner: st.lists(inner, max_size=2).flatmap(lambda v: st.sampled_from([array(v), mapping(v)])),
    max_leaves=4,
)
attributes = st.lists(st.builds(lambda k, v: {"key": k, "value": v}, st.text(max_size=4), any_values), max_size=3)
odd = st.sampled_from(ODD_VALUES)
counts = st.one_of(st.integers(0, 2**32 - 1), odd)
times = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1).map(str), odd)
spans = st.fixed_dictionaries(
    {},
    optional={
        "traceId": st.one_of(st.binary(max_size=17).map(bytes.hex), odd),
        "spanId": st.one_of(st.binary(max_size=9).map(bytes.hex), odd),
        "parentSpanId": st.binary(max_size=9).map(bytes.hex),
        "traceState": st.one_of(st.text(max_size=5), odd),
        "name": st.one_of(st.text(max_size=5), odd),
        "kind": st.one_of(st.integers(0, 5), odd),
        "startTimeUnixNano": times,
        "endTimeUnixNano": times,
        "attributes": st.one_of(attributes, odd),
        "droppedAttributesCount": counts,
        "events": st.lists(
            st.fixed_dictionaries(
                {}, optional={"timeUnixNano": times, "name": st.text(max_size=4), "attributes": attributes}
            ),
            max_size=2,
        ),
        "droppedEventsCount": counts,
        "links": st.just([{"traceId": "0a" * 16, "spanId": "0b" * 8}]),
        "droppedLinksCount": counts,
        "status": st.fixed_dictionaries({}, optional={"code": st.one_of(st.integers(0, 2), odd), "message": odd}),
        "flags": counts,
        "parent_span_id": st.just("0c" * 8),
        "unknown": odd,
    },
)
requests = st.builds(
    lambda found, resource, scope: {
        "resourceSpans": [
            {"resource": {"attributes": resource}, "scopeSpans": [{"scope": scope, "spans": found, "schemaUrl": "u"}]}
        ]
    },
    st.lists(spans, max_size=2),
    attributes,
    st.fixed_dictionaries({}, optional={"name": st.text(max_size=4), "version": odd, "attributes": attributes}),
)


def message(written: bytes) -> ExportTraceServiceRequest:
    """The message that the bytes stand for."""
    return ExportTraceServiceRequest.FromString(written)


def thorough(line: bytes) -> ExportTraceServiceRequest | None:
    """The message by the thorough writer; None where it refuses."""
    try:
        return message(write_any_form(json.loads(line)))
    except JsonError:
        return None


def agree(line: bytes) -> bool:
    """Whether the quick writer gives the thorough one's message, or leaves the line to it; and the reader either."""
    expected = thorough(line)
    usual = write_usual_form(json.loads(line))
    try:
        read = message(request_from_json(line))
    except JsonError:
        read = None
    return read == expected and (usual is None or message(usual) == expected)


@settings(max_examples=300, deadline=None)
@given(requests)
def test_both_writers_agree(document: dict[str, Any]) -> None:
    """The same message, or none, whatever stands in a request."""
    assert agree(json.dumps(document).encode())


@pytest.mark.parametrize("line", [b"[]", b"null", b"{}", b'{"resourceSpans": {}}', b'{"resourceSpans": [1]}'])
def test_both_writers_agree_on_no_requests(line: bytes) -> None:
    """What is no request at all is refused by both, or an empty request to both."""
    assert agree(line)


@pytest.mark.parametrize("levels", [1, 4, 5, 40, 60, 200])
def test_both_writers_agree_on_nested_values(levels: int) -> None:
    """Arrays in one another are taken to the depth that protobuf takes, and no deeper."""
    value: Any = {"intValue": 1}
    for _ in range(levels):
        value = array([value])
    document = {"resourceSpans": [{"resource": {"attributes": [{"key": "k", "value": value}]}}]}
    assert agree(json.dumps(document).encode())
    assert (write_usual_form(document) is not None) == (levels <= 4)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of attributes only short ones are kept, and only so many, whatever a sender writes."""
    kept: dict[Any, bytes] = {}
    monkeypatch.setattr(json_fast, "_remembered", kept)
    monkeypatch.setattr(json_fast, "_MAX_REMEMBERED", 10)
    values = [{"stringValue": str(number)} for number in range(25)]
    values += [{"stringValue": "x" * 300}, {"intValue": "0" * 300 + "7"}]
    found = [{"key": "k", "value": value} for value in values]
    line = json.dumps({"resourceSpans": [{"resource": {"attributes": found}}]}).encode()
    assert message(request_from_json(line)) == thorough(line)
    assert len(kept) <= 10
    assert all(len(content) < 300 for _, _, _, content in kept)


@pytest.mark.skipif(not TRACES.is_file(), reason=f"the Collector's traces are not at {TRACES}")
def test_what_a_collector_wrote_is_of_the_usual_form() -> None:
    """Every third request of the conformance traces reads the same, most of them without the thorough writer."""
    with gzip.open(TRACES) as lines:
        some = list(lines)[::3]
    assert all(map(agree, some))
    assert sum(write_usual_form(json.loads(line)) is not None for line in some) > len(some) // 2
