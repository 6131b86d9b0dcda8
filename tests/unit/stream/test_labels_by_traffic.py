"""Labels with a bound: services and keys that have series of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from prometheus_client import CollectorRegistry

from sampler.metrics import WorkerMetrics
from sampler.metrics.dynamic import DynamicMetrics
from sampler.stream.key_report import KeyReport
from sampler.stream.leaders import HALF_LIFE_S, MOST_KNOWN, Leaders
from sampler.stream.service_report import ServiceReport


def test_the_largest_names_are_chosen() -> None:
    """By what they weigh; others get their place once they weigh twice as much, not before."""
    leaders = Leaders(2)
    assert leaders.add({"a": 5, "b": 3, "c": 1}, 0) == frozenset()
    assert leaders.chosen == {"a", "b"}
    assert leaders.add({"c": 3}, 20) == frozenset()
    assert leaders.chosen == {"a", "b"}
    assert leaders.add({"c": 10}, 40) == {"b"}
    assert leaders.chosen == {"a", "c"}


def test_names_that_are_gone_give_their_place_away() -> None:
    """What came long ago counts little, over any time."""
    leaders = Leaders(1)
    leaders.add({"old": 1_000_000}, 0)
    assert leaders.add({"new": 10}, 30 * HALF_LIFE_S) == {"old"}
    leaders.add({"new": 1}, 200 * HALF_LIFE_S)
    assert leaders.add({"newest": 10}, 230 * HALF_LIFE_S) == {"new"}


def test_memory_for_names_is_bounded() -> None:
    """Names that come once and never again do not pile up."""
    leaders = Leaders(3)
    for number in range(5):
        leaders.add({f"{number}-{each}": 1.0 for each in range(MOST_KNOWN)}, 100.0 * number)
    assert len(leaders._weights) <= 2 * MOST_KNOWN
    assert len(leaders.chosen) == 3


def record(**spans: int) -> bytes:
    """A record with so many spans of each service."""
    data = TracesData()
    for service, count in spans.items():
        resource_spans = data.resource_spans.add()
        resource_spans.resource.attributes.add(key="service.name").value.string_value = service
        for number in range(count):
            resource_spans.scope_spans.add().spans.add(trace_id=bytes(16), span_id=bytes([number] * 8))
    return data.SerializeToString()


def values(registry: CollectorRegistry, name: str, label: str) -> Mapping[str, float]:
    """The series of a metric by one label."""
    (family,) = (each for each in registry.collect() if each.name == name)
    return {sample.labels[label]: sample.value for sample in family.samples}


def test_small_services_are_told_together() -> None:
    """The largest under their names, the rest as `other`; who loses its place loses its series."""
    registry = CollectorRegistry()
    report = ServiceReport(WorkerMetrics(registry), 2)
    received, sampled = "tailsampler_service_received_spans", "tailsampler_service_sampled_spans"
    report.received.add([(record(shop=9, cart=5, mail=1),)], 0)
    report.sampled.add([(record(shop=2, mail=1),)], 0)
    report.report(0.0)
    assert values(registry, received, "service") == {"shop": 9, "cart": 5, "other": 1}
    assert values(registry, sampled, "service") == {"shop": 2, "cart": 0, "other": 1}
    report.received.add([(record(mail=50),)], 0)
    report.report(60.0)
    assert values(registry, received, "service") == {"shop": 9, "mail": 50, "other": 1}
    assert "cart" not in values(registry, sampled, "service")


def test_a_service_without_name_has_a_label() -> None:
    """The name that OpenTelemetry gives it; and a name of any length fits."""
    registry = CollectorRegistry()
    report = ServiceReport(WorkerMetrics(registry), 5)
    data = TracesData()
    data.resource_spans.add().scope_spans.add().spans.add(trace_id=bytes(16))
    report.received.add([(data.SerializeToString(),), (record(**{"x" * 500: 1}),)], 0)
    report.report(0.0)
    assert set(values(registry, "tailsampler_service_received_spans", "service")) == {"unknown_service", "x" * 128}


class Rates:
    """A policy set of which only the rates are asked."""

    def __init__(self, rates: Mapping[str, Mapping[str, float]]) -> None:
        self.rates = rates


def test_rates_of_the_first_keys_are_told() -> None:
    """At most so many of a policy; a key that is no longer among them, or a policy that is gone, loses its series."""
    registry = CollectorRegistry()
    policies: Any = Rates({"shares": {"big": 10.0, "middle": 4.0, "small": 1.0}})
    report = KeyReport(DynamicMetrics(registry), policies, 2)
    report.report(0.0)
    assert values(registry, "tailsampler_dynamic_key_rate", "key") == {"big": 10.0, "middle": 4.0}
    assert registry.get_sample_value("tailsampler_dynamic_keys", {"policy": "shares"}) == 3
    policies.rates = {"shares": {"other": 7.0, "big": 9.0}}
    report.report(5.0)
    assert "other" not in values(registry, "tailsampler_dynamic_key_rate", "key")
    report.report(20.0)
    assert values(registry, "tailsampler_dynamic_key_rate", "key") == {"other": 7.0, "big": 9.0}
    report.use_policies(Rates({}))  # type: ignore[arg-type]  # nothing else of it is asked
    report.report(40.0)
    assert values(registry, "tailsampler_dynamic_key_rate", "key") == {}
    assert values(registry, "tailsampler_dynamic_keys", "policy") == {}
