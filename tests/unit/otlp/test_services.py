"""Spans and bytes by service: both counters agree with a full parse, whatever comes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from sampler.otlp import native
from sampler.otlp.services import PlainServiceCounter, ServiceCounter, service_counter
from tests.unit.otlp.wire_samples import field, record_of, span_bytes


@pytest.fixture(params=["compiled", "plain"])
def counter(request: pytest.FixtureRequest) -> ServiceCounter:
    """One of the two counters; the compiled one is skipped where it is not built."""
    if request.param == "compiled" and not native.COMPILED:
        pytest.skip("the compiled scanner is not built here")
    return service_counter(plain=request.param == "plain")


def record(*resources: tuple[str | None, int, int]) -> bytes:
    """A record with, for each (service, pod, spans), a ResourceSpans; without a name where it is None."""
    data = TracesData()
    for service, pod, spans in resources:
        resource_spans = data.resource_spans.add()
        if service is not None:
            resource_spans.resource.attributes.add(key="service.name").value.string_value = service
        resource_spans.resource.attributes.add(key="pod").value.int_value = pod
        for number in range(spans):
            scope_spans = resource_spans.scope_spans.add() if number % 2 == 0 else resource_spans.scope_spans[-1]
            scope_spans.spans.add(trace_id=bytes([1] * 16), span_id=number.to_bytes(8, "big"), name="op")
    return data.SerializeToString()


def parsed(*values: bytes) -> Mapping[str, tuple[int, int]]:
    """The same by a full parse."""
    counts: dict[str, tuple[int, int]] = {}
    for value in values:
        for resource_spans in TracesData.FromString(value).resource_spans:
            attributes = {a.key: a.value.string_value for a in resource_spans.resource.attributes}
            spans = sum(len(scope_spans.spans) for scope_spans in resource_spans.scope_spans)
            alone = TracesData(resource_spans=[resource_spans]).ByteSize()
            before = counts.get(attributes.get("service.name", ""), (0, 0))
            counts[attributes.get("service.name", "")] = before[0] + spans, before[1] + alone
    return counts


def test_spans_and_bytes_by_service(counter: ServiceCounter) -> None:
    """Whatever else a resource says; without a name they stand under the empty one. Each is told once."""
    values = [record(("shop", 1, 3), ("cart", 1, 1), ("shop", 2, 4)), record((None, 1, 2), ("shop", 1, 1))]
    counter.add([(0, 0, value) for value in values], 2)
    found = counter.take()
    assert {name: spans for name, (spans, _) in found.items()} == {"shop": 8, "cart": 1, "": 2}
    assert found == parsed(*values)
    assert counter.take() == {}


def test_what_is_no_otlp_counts_nothing(counter: ServiceCounter) -> None:
    """Not even the part of it that can be read."""
    whole = record(("shop", 1, 3), ("cart", 1, 1))
    counter.add([(whole[:-1],), (b"\xff\xff",), (whole,), (b"",)], 0)
    assert counter.take() == parsed(whole)


def test_a_resource_that_cannot_be_read_names_no_service(counter: ServiceCounter) -> None:
    """Its spans are counted all the same: no more than the borders of sections is judged."""
    broken = record_of(span_bytes(), resource=field(1, field(1, b"\xff")))
    counter.add([(broken,)], 0)
    assert counter.take() == {"": (1, len(broken))}


def test_any_number_of_resources(counter: ServiceCounter) -> None:
    """Pods and process ids make many resources of one service; none is lost where there are too many to know all."""
    values = [
        record(*((f"service-{pod % 7}", pod, 1) for pod in range(first, first + 500))) for first in range(0, 8000, 500)
    ]
    counter.add([(value,) for value in values], 0)
    counter.add([(values[0],)], 0)
    assert counter.take() == parsed(*values, values[0])


@given(
    st.lists(st.lists(st.tuples(st.sampled_from([None, "a", "b"]), st.integers(0, 3), st.integers(0, 4)), max_size=5))
)
def test_both_agree(resources: list[list[Any]]) -> None:
    """The compiled counter and the plain one."""
    values = [(record(*each),) for each in resources]
    first, second = service_counter(), PlainServiceCounter()
    first.add(values, 0)
    second.add(values, 0)
    assert {name: count for name, count in first.take().items() if any(count)} == {
        name: count for name, count in second.take().items() if any(count)
    }


@given(st.binary(max_size=200))
def test_any_bytes_are_survived(value: bytes) -> None:
    """Nothing is raised and nothing stays counted in one that the other does not count."""
    first, second = service_counter(), PlainServiceCounter()
    first.add([(value,), (record(("shop", 1, 1)),)], 0)
    second.add([(value,), (record(("shop", 1, 1)),)], 0)
    assert first.take()["shop"] >= (1, 0)
    assert second.take()["shop"] >= (1, 0)
