"""Spans are counted alike by the compiled reader and the plain one, and damage is found alike."""

from __future__ import annotations

import random

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from sampler.otlp.counting import count_spans, plain_count_spans
from sampler.otlp.errors import ScanError


def sample(seed: int) -> bytes:
    """A record of several resources and scopes, some of them empty, with fields that OTLP does not know."""
    rng = random.Random(seed)
    data = TracesData()
    for _ in range(rng.randrange(4)):
        resource_spans = data.resource_spans.add(schema_url="https://example.com/1")
        resource_spans.resource.attributes.add(key="service.name").value.string_value = "shop"
        for _ in range(rng.randrange(3)):
            scope_spans = resource_spans.scope_spans.add()
            scope_spans.scope.name = "scope"
            for _ in range(rng.randrange(5)):
                span = scope_spans.spans.add(trace_id=rng.randbytes(16), span_id=rng.randbytes(8), name="op")
                span.events.add(name="event")
    return data.SerializeToString() + (b"\xa2\x06\x02hi\xab\x06\x0a\x00\xac\x06" if rng.random() < 0.5 else b"")


def outcome(count: object, record: bytes) -> object:
    """The number, or what is wrong and where."""
    assert callable(count)
    try:
        return count(record)
    except ScanError as error:
        return error.offset, error.reason


@pytest.mark.parametrize("seed", range(20))
def test_every_span_is_counted(seed: int) -> None:
    """The number is that of a full decoding."""
    record = sample(seed)
    decoded = TracesData.FromString(record)
    expected = sum(len(scope.spans) for each in decoded.resource_spans for scope in each.scope_spans)
    assert count_spans(record) == plain_count_spans(record) == expected


def test_damage_is_found_alike() -> None:
    """Whatever byte is changed and wherever the record ends, both readers say the same."""
    rng = random.Random(7)
    for seed in range(20):
        record = sample(seed)
        for _ in range(100 if record else 0):
            damaged = bytearray(record[: rng.randrange(len(record) + 1)])
            if damaged:
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            assert outcome(count_spans, bytes(damaged)) == outcome(plain_count_spans, bytes(damaged))


def test_a_record_that_passes_keeps_to_itself() -> None:
    """What is counted without an error can be followed by another record: the sum is the number of both."""
    rng = random.Random(8)
    other = sample(3)
    for seed in range(40):
        record = sample(seed)
        cut = record[: rng.randrange(len(record) + 1)]
        try:
            spans = count_spans(cut)
        except ScanError:
            continue
        assert count_spans(cut + other) == spans + count_spans(other)
