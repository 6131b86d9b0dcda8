"""What a metric is, and how prometheus_client objects are made from a list of them.

A set of metrics is a class whose attributes are specs; the attribute's name is the metric's name behind the prefix of
the set, `tailsampler_` unless it says otherwise. An instance holds the prometheus_client objects, registered in the
registry it was given:

    class WorkerMetrics(MetricSet):
        spans_received_total = CounterSpec("Spans read from the span topic.")
        reloads_total = CounterSpec("Reloads.", {"outcome": ("success", "failure")})

    metrics = WorkerMetrics(registry)
    metrics.spans_received_total.inc(10)      # typed as prometheus_client.Counter
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import product
from typing import ClassVar, Final, Self, overload

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase, disable_created_metrics
from prometheus_client.samples import Exemplar

PREFIX: Final = "tailsampler_"

Labels = tuple[str, ...] | Mapping[str, tuple[str, ...]]
"""Names of labels; with the values that each can have, where these are known beforehand."""


class MetricSpec:
    """What a metric means. `name` is known once the spec stands in a class.

    Where `labels` names the values that can occur, all series exist from the start, at 0: an alert on the growth of a
    counter does not see the first step of a series that begins with it.
    """

    kind: ClassVar[str]
    name: str

    def __init__(self, help_text: str, labels: Labels = (), buckets: tuple[float, ...] = ()) -> None:
        self.help = help_text
        self.labels = tuple(labels)
        self.values: Mapping[str, tuple[str, ...]] = labels if isinstance(labels, Mapping) else {}
        self.buckets = buckets

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = getattr(owner, "prefix", PREFIX) + name

    @property
    def unit(self) -> str:
        """The base unit, which Prometheus' rules put into the name; empty for a plain number of things."""
        stem = self.name.removesuffix("_total")
        return next((unit for unit in ("seconds", "bytes", "ratio") if stem.endswith("_" + unit)), "")

    def make(self, registry: CollectorRegistry) -> MetricWrapperBase:
        """A fresh metric in `registry`; ValueError where the registry has one of this name."""
        metric = self._make(registry)
        if self.values:
            for values in product(*self.values.values()):
                metric.labels(*values)
        return metric

    def _make(self, registry: CollectorRegistry) -> MetricWrapperBase:
        raise NotImplementedError


class CounterSpec(MetricSpec):
    """A number that only grows; its name ends with `_total`."""

    kind = "counter"

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Counter: ...
    def __get__(self, instance: object | None, owner: type) -> Self | Counter:
        """The spec itself; an instance's own attribute, the made metric, goes before it."""
        return self

    def _make(self, registry: CollectorRegistry) -> Counter:
        return Counter(self.name, self.help, self.labels, registry=registry)


class GaugeSpec(MetricSpec):
    """A number that goes up and down."""

    kind = "gauge"

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Gauge: ...
    def __get__(self, instance: object | None, owner: type) -> Self | Gauge:
        """The spec itself; an instance's own attribute, the made metric, goes before it."""
        return self

    def _make(self, registry: CollectorRegistry) -> Gauge:
        return Gauge(self.name, self.help, self.labels, registry=registry)


class HistogramSpec(MetricSpec):
    """A distribution over fixed buckets, with its count and sum."""

    kind = "histogram"

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Histogram: ...
    def __get__(self, instance: object | None, owner: type) -> Self | Histogram:
        """The spec itself; an instance's own attribute, the made metric, goes before it."""
        return self

    def _make(self, registry: CollectorRegistry) -> Histogram:
        return Histogram(self.name, self.help, self.labels, buckets=self.buckets, registry=registry)


class MetricSet:
    """A group of metrics in one registry. The made metrics are plain attributes: reading one costs a dict lookup."""

    title: ClassVar[str] = ""
    """Its heading in docs/metrics.md."""
    prefix: ClassVar[str] = PREFIX

    def __init__(self, registry: CollectorRegistry) -> None:
        # One `_created` series beside every counter would nearly double the page and says nothing that we use.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry
        for attribute, spec in self._by_attribute().items():
            self.__dict__[attribute] = spec.make(registry)

    @classmethod
    def specs(cls) -> tuple[MetricSpec, ...]:
        """The specs of this set in the order of the source."""
        return tuple(cls._by_attribute().values())

    @classmethod
    def _by_attribute(cls) -> dict[str, MetricSpec]:
        return {name: value for name, value in vars(cls).items() if isinstance(value, MetricSpec)}


def observe_many(histogram: Histogram, value: float, count: int, exemplar: Exemplar | None = None) -> None:
    """Observe the same value `count` times, at the cost of one: a tick decides thousands of traces of one age."""
    histogram._sum.inc(value * count)
    bucket = histogram._buckets[bisect_left(histogram._upper_bounds, value)]
    bucket.inc(count)
    if exemplar is not None:
        bucket.set_exemplar(exemplar)


def add_buckets(histogram: Histogram, by_bucket: Sequence[int], total: float) -> None:
    """Observe values that were grouped by the histogram's bounds already, the open group last; `total` is their sum."""
    histogram._sum.inc(total)
    for bucket, count in zip(histogram._buckets, by_bucket, strict=True):
        if count:
            bucket.inc(count)
