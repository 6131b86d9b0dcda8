"""Live span traffic for tests: traces whose spans arrive over several records, and what became of them."""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from confluent_kafka import Producer
from opentelemetry.proto.trace.v1.trace_pb2 import Status, TracesData

from sampler.otlp import message_key, partition_of
from tests.harness.reading import Record

SERVICES = ("storefront", "checkout", "payment")


@dataclass(frozen=True, slots=True)
class SpanSpec:
    """One span of a planned trace: where it belongs, what is on it, and when it is sent after the trace's start."""

    service: str
    span_id: bytes
    parent_id: bytes
    attributes: tuple[tuple[str, str], ...] = ()
    error: bool = False
    duration_ms: int = 20
    sent_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class TraceSpec:
    """One planned trace."""

    trace_id: bytes
    spans: tuple[SpanSpec, ...]
    late: tuple[SpanSpec, ...] = field(default=())

    @property
    def span_ids(self) -> set[bytes]:
        return {span.span_id for span in (*self.spans, *self.late)}


def plan_traces(count: int, seed: int, *, spread_s: float = 1.5, late_after_s: float = 0.0) -> list[TraceSpec]:
    """Traces of nine spans in three records spread over `spread_s`: 20 % errors, 10 % health checks, 10 % staging.

    With `late_after_s` every third trace has one more span that comes so long after the first.
    """
    rng = random.Random(seed)
    traces = []
    for number in range(count):
        error, route = rng.random() < 0.2, "/health" if rng.random() < 0.1 else "/cart"
        tier = "staging" if rng.random() < 0.1 else "prod"
        ids = [rng.randbytes(8) for _ in range(10)]
        offsets = sorted(rng.uniform(0, spread_s) for _ in range(3))
        spans = tuple(
            SpanSpec(
                SERVICES[n // 3],
                ids[n],
                ids[0] if n else b"",
                (("http.route", route), ("deployment.environment", tier)),
                error and n == 7,
                sent_after_s=offsets[n // 3] if n >= 3 else 0.0,
            )
            for n in range(9)
        )
        late: tuple[SpanSpec, ...] = ()
        if late_after_s and number % 3 == 0:
            late = (SpanSpec("payment", ids[9], ids[0], (), False, sent_after_s=late_after_s),)
        traces.append(TraceSpec(rng.randbytes(16), spans, late))
    return traces


def encode(trace_id: bytes, spans: Sequence[SpanSpec], start_ns: int) -> bytes:
    """One record: the spans of a trace that are sent together, a ResourceSpans for each service."""
    data = TracesData()
    by_service: dict[str, list[SpanSpec]] = defaultdict(list)
    for span in spans:
        by_service[span.service].append(span)
    for service, members in by_service.items():
        resource_spans = data.resource_spans.add()
        attribute = resource_spans.resource.attributes.add(key="service.name")
        attribute.value.string_value = service
        scope_spans = resource_spans.scope_spans.add()
        scope_spans.scope.name = "tests"
        for member in members:
            out = scope_spans.spans.add(
                trace_id=trace_id, span_id=member.span_id, parent_span_id=member.parent_id, name="op", kind=2,
                start_time_unix_nano=start_ns, end_time_unix_nano=start_ns + member.duration_ms * 1_000_000,
            )  # fmt: skip
            for key, value in member.attributes:
                out.attributes.add(key=key).value.string_value = value
            if member.error:
                out.status.code = Status.STATUS_CODE_ERROR
    return data.SerializeToString()


def schedule(traces: Iterable[TraceSpec], traces_per_s: float) -> list[tuple[float, TraceSpec, tuple[SpanSpec, ...]]]:
    """When each record is sent, in seconds from the start, in order."""
    sends = []
    for number, trace in enumerate(traces):
        at = number / traces_per_s
        groups: dict[float, list[SpanSpec]] = defaultdict(list)
        for span in (*trace.spans, *trace.late):
            groups[span.sent_after_s].append(span)
        sends += [(at + after, trace, tuple(spans)) for after, spans in groups.items()]
    return sorted(sends, key=lambda send: send[0])


def publish(
    bootstrap: str,
    topic: str,
    partitions: int,
    traces: Sequence[TraceSpec],
    traces_per_s: float,
    *,
    during: Sequence[tuple[float, Callable[[], None]]] = (),
) -> None:
    """Publish as a Collector with `partition_traces_by_id` does, live, and call what `during` names at its times."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, "acks": "all", "log_level": 0})
    began = time.monotonic()
    events = iter(during)
    next_event = next(events, None)
    for at, trace, spans in schedule(traces, traces_per_s):
        while (now := time.monotonic() - began) < at or (next_event is not None and now >= next_event[0]):
            if next_event is not None and now >= next_event[0]:
                next_event[1]()
                next_event = next(events, None)
            else:
                producer.poll(min(at - now, 0.01))
        producer.produce(
            topic, encode(trace.trace_id, spans, time.time_ns()), message_key(trace.trace_id),
            partition_of(trace.trace_id, partitions, "sarama"),
        )  # fmt: skip
    assert producer.flush(30) == 0


@dataclass(slots=True)
class Found:
    """What was found in the sampled topic: how often each span of each trace is there, and what is written on it."""

    spans: dict[bytes, Counter[bytes]]
    attributes: dict[bytes, set[tuple[str, str]]]

    @property
    def trace_ids(self) -> set[bytes]:
        return set(self.spans)

    def duplicated(self) -> int:
        """Traces of which some span is there more than once."""
        return sum(any(n > 1 for n in counts.values()) for counts in self.spans.values())


def read_sampled(records: Iterable[Record]) -> Found:
    """Parse the sampled topic."""
    spans: dict[bytes, Counter[bytes]] = defaultdict(Counter)
    attributes: dict[bytes, set[tuple[str, str]]] = defaultdict(set)
    for record in records:
        data = TracesData.FromString(record.value or b"")
        for resource_spans in data.resource_spans:
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    assert record.key == span.trace_id.hex().encode()
                    spans[span.trace_id][span.span_id] += 1
                    for attribute in span.attributes:
                        if attribute.key.startswith("sampling."):
                            value = attribute.value
                            attributes[span.trace_id].add(
                                (attribute.key, value.string_value or str(value.double_value))
                            )
    return Found(spans, attributes)
