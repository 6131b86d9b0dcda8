"""The fast reader of OTLP JSON against the thorough one."""

from __future__ import annotations

import contextlib
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sampler.agent.otlp_json import JsonError, request_from_json
from sampler.simulate.fast_json import read_request

TRACES = Path(__file__).parents[4] / "shared" / "conformance" / "collector" / "traces.jsonl.gz"

STUMBLES = (OverflowError, SystemError)
"""What protobuf's own reader fails with in a few places."""

ODD_VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, 1.5, 1e400, "", "7", "-7", " 7", "1_0", "+7", "7.0", "\u0663",
    "ab", "zz", "abc", "SPAN_KIND_CLIENT", "STATUS_CODE_ERROR", [], {}, [None], [[]], [{}], {"values": []},
    {"values": None}, "\ud800",
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


def answer(read: Any, line: bytes) -> Any:
    """The message; None where the reader refuses it."""
    try:
        return ExportTraceServiceRequest.FromString(read(line))
    except (JsonError, *STUMBLES):
        return None


@settings(max_examples=200, deadline=None)
@given(requests)
def test_both_readers_agree(document: dict[str, Any]) -> None:
    """The same message, or none, whatever stands in a request; the fast one fails with JsonError only."""
    line = json.dumps(document).encode()
    with contextlib.suppress(JsonError):
        read_request(line)
    assert answer(read_request, line) == answer(request_from_json, line)


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b"null", b"{}", b'{"resourceSpans": {}}', b'{"resourceSpans": [1]}']
)
def test_both_readers_agree_on_no_requests(line: bytes) -> None:
    """What is no request at all is refused by both, or an empty request to both."""
    assert answer(read_request, line) == answer(request_from_json, line)


@pytest.mark.skipif(not TRACES.is_file(), reason=f"the Collector's traces are not at {TRACES}")
def test_both_readers_agree_on_what_a_collector_wrote() -> None:
    """Every third request of the conformance traces reads the same."""
    with gzip.open(TRACES) as lines:
        for line in list(lines)[::3]:
            assert answer(read_request, line) == answer(request_from_json, line)
