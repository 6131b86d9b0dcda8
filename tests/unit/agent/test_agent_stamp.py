"""Marking requests with their tenant, on wire bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from sampler.agent.stamp import Stamp
from sampler.otlp import ScanError

KEY = "tenant.id"
NAMES = st.sampled_from([KEY, "tenant", "tenant.id.x", "service.name", ""])


def tenants(data: bytes) -> list[list[str]]:
    """The tenants that each resource names."""
    return [
        [each.value.string_value for each in resource_spans.resource.attributes if each.key == KEY]
        for resource_spans in TracesData.FromString(data).resource_spans
    ]


@given(st.lists(st.tuples(st.lists(NAMES, max_size=4), st.booleans(), st.integers(0, 3)), max_size=4))
def test_every_resource_names_the_tenant_once_and_all_else_stays(
    resources: list[tuple[list[str], bool, int]],
) -> None:
    """Forged attributes go, whatever else a resource holds stays in its order, and spans are untouched."""
    data = TracesData()
    for keys, bare, spans in resources:
        resource_spans = data.resource_spans.add(schema_url="https://example.com/schema")
        for key in keys:
            resource_spans.resource.attributes.add(key=key).value.string_value = "evil"
        if not bare:
            resource_spans.resource.dropped_attributes_count = 7
        for number in range(spans):
            # A span may hold an attribute of that name: only resources name tenants.
            span = resource_spans.scope_spans.add().spans.add(name=f"s{number}", trace_id=bytes([1] * 16))
            span.attributes.add(key=KEY).value.string_value = "of the span"
    stamped = Stamp(KEY).set(data.SerializeToString(), "acme")
    assert tenants(stamped) == [["acme"]] * len(resources)
    expected = TracesData.FromString(data.SerializeToString())
    for resource_spans in expected.resource_spans:
        kept = [each for each in resource_spans.resource.attributes if each.key != KEY]
        del resource_spans.resource.attributes[:]
        resource_spans.resource.attributes.extend(kept)
        resource_spans.resource.attributes.add(key=KEY).value.string_value = "acme"
    assert TracesData.FromString(stamped) == expected


def test_a_claim_is_taken_away_from_who_has_no_tenant() -> None:
    """Without a tenant to set, a forged one is removed, and a request without any is handed on as it is."""
    data = TracesData()
    data.resource_spans.add().resource.attributes.add(key=KEY).value.string_value = "acme"
    assert tenants(Stamp(KEY).set(data.SerializeToString(), None)) == [[]]
    plain = TracesData()
    plain.resource_spans.add().resource.attributes.add(key="service.name").value.string_value = "shop"
    request = plain.SerializeToString()
    assert Stamp(KEY).set(request, None) is request


def test_a_claim_in_an_unusual_form_is_found() -> None:
    """A resource split in two, a key given twice, and lengths and tags longer than they need be hide nothing."""
    key = KEY.encode()
    twice = b"\x0a\x01x" + b"\x0a" + bytes((len(key),)) + key + b"\x12\x06\x0a\x04evil"
    attribute = b"\x8a\x00" + bytes((len(twice) | 0x80, 0)) + twice
    resource = b"\x0a" + bytes((len(attribute),)) + attribute
    content = resource + b"\x1a\x01u" + resource
    request = b"\x0a" + bytes((len(content) | 0x80, len(content) >> 7)) + content
    assert tenants(request) == [["evil", "evil"]]
    assert tenants(Stamp(KEY).set(request, "acme")) == [["acme"]]


def test_what_is_not_otlp_is_refused() -> None:
    """Bytes that cannot be read as resources go no further."""
    with pytest.raises(ScanError):
        Stamp(KEY).set(b"\x0a\x05\x0a\x7f" + KEY.encode(), "acme")
