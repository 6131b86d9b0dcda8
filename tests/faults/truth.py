"""What the sampled topic must hold, from the records of the span topic alone: their offsets, timestamps and values.

It shares no code with the product: the policies of the scenarios are written out here by hand.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status, TracesData

from tests.harness.reading import Record

DECISION_WAIT_MS = 4000
SHARE = 0.10
TICK_MS = 250
CLOCK_JUMP_MS = 60_000
"""A timestamp further than this from the time of its partition says nothing: its writer's clock is off."""

_HEALTH = {"name": "route", "type": "string_attribute",
           "string_attribute": {"key": "http.route", "values": ["/health"]}}  # fmt: skip
_PROD = {"name": "prod", "type": "string_attribute",
         "string_attribute": {"key": "deployment.environment", "values": ["prod"]}}  # fmt: skip
POLICIES = {
    "decision_wait": f"{DECISION_WAIT_MS // 1000}s",
    "policies": [
        {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
        {"name": "no-health-checks", "type": "drop", "drop": {"drop_sub_policy": [_HEALTH]}},
        {"name": "not-prod", "type": "not", "not": {"not_sub_policy": _PROD}},
        {"name": "share", "type": "probabilistic", "probabilistic": {"sampling_percentage": SHARE * 100}},
    ],
}
"""The policies of every scenario; `keeps` says what they mean."""


@dataclass(slots=True)
class Evidence:
    """What the policies look at in one trace, as far as its spans had come."""

    error: bool = False
    health: bool = False
    prod: bool = False

    def add(self, span: Span) -> None:
        """One more span has come."""
        attributes = {each.key: each.value.string_value for each in span.attributes}
        self.error |= span.status.code == Status.STATUS_CODE_ERROR
        self.health |= attributes.get("http.route") == "/health"
        self.prod |= attributes.get("deployment.environment") == "prod"

    def keeps(self, trace_id: bytes) -> bool:
        """Errors, whatever is not of production, and a share by the Collector's hash; no health check."""
        return not self.health and (self.error or not self.prod or drawn(trace_id))


@dataclass(slots=True)
class Trace:
    """One trace of the span topic. Its decision may fall a tick earlier or later than its due time says."""

    due_ms: int
    early: Evidence = field(default_factory=Evidence)
    late: Evidence = field(default_factory=Evidence)
    spans: Counter[bytes] = field(default_factory=Counter)


@dataclass(slots=True)
class Truth:
    """`kept`: how often each span of each trace to be kept is in the span topic. `either`: traces that may be kept or
    not, because a span came just when they were due. `spans_per_s` over the whole load.
    """

    traces: int
    kept: dict[bytes, Counter[bytes]]
    either: dict[bytes, Counter[bytes]]
    spans: int
    spans_per_s: float

    def plus(self, later: Truth) -> Truth:
        """What two topics must yield that share no trace."""
        rate = min(self.spans_per_s, later.spans_per_s)
        kept, either = {**self.kept, **later.kept}, {**self.either, **later.either}
        return Truth(self.traces + later.traces, kept, either, self.spans + later.spans, rate)


def drawn(trace_id: bytes) -> bool:
    """Whether a Collector's probabilistic policy of `SHARE` keeps a trace: FNV-1a, 64 bits, low hashes are kept."""
    state = 0xCBF29CE484222325
    for byte in b"default-hash-seed" + trace_id:
        state = (state ^ byte) * 0x100000001B3 % 2**64
    return state <= (2**64 - 1) * SHARE


def truth(records: Sequence[Record]) -> Truth:
    """What is to be kept of these records, which are whole partitions in the order of their offsets."""
    by_partition: dict[int, list[Record]] = defaultdict(list)
    for record in records:
        by_partition[record.partition].append(record)
    traces: dict[bytes, Trace] = {}
    for partition in by_partition.values():
        _read(partition, traces)
    kept, either = {}, {}
    for trace_id, trace in traces.items():
        answers = {trace.early.keeps(trace_id), trace.late.keeps(trace_id)}
        if answers == {True}:
            kept[trace_id] = trace.spans
        elif True in answers:
            either[trace_id] = trace.spans
    spans = sum(sum(trace.spans.values()) for trace in traces.values())
    return Truth(len(traces), kept, either, spans, spans / _duration_s(records))


def _read(partition: Iterable[Record], traces: dict[bytes, Trace]) -> None:
    now_ms = 0
    for record in partition:
        if not now_ms or abs(record.timestamp_ms - now_ms) < CLOCK_JUMP_MS:
            now_ms = max(now_ms, record.timestamp_ms)
        for span in spans_of(record.value or b""):
            trace = traces.get(span.trace_id)
            if trace is None:
                due_ms = -(-(now_ms + DECISION_WAIT_MS) // TICK_MS) * TICK_MS
                trace = traces[span.trace_id] = Trace(due_ms)
            trace.spans[span.span_id] += 1
            if now_ms < trace.due_ms + TICK_MS:
                trace.late.add(span)
                if now_ms < trace.due_ms - TICK_MS:
                    trace.early.add(span)


def spans_of(value: bytes) -> list[Span]:
    """The spans of a record that have ids; none where it is not OTLP."""
    try:
        data = TracesData.FromString(value)
    except DecodeError:
        return []
    spans = (span for resource in data.resource_spans for scope in resource.scope_spans for span in scope.spans)
    return [span for span in spans if len(span.trace_id) == 16 and any(span.trace_id) and len(span.span_id) == 8]


def history(trace_ids: Iterable[bytes], source: Iterable[Record], most: int = 3) -> str:
    """Where and when the records of some traces came, for the words of an error: `!` marks those with an error span."""
    told: dict[bytes, list[str]] = {trace_id: [] for trace_id in sorted(trace_ids)[:most]}
    for record in source:
        for trace_id, spans in _by_trace(spans_of(record.value or b"")).items():
            if trace_id in told:
                mark = "!" if any(span.status.code == Status.STATUS_CODE_ERROR for span in spans) else ""
                told[trace_id].append(f"{record.partition}:{record.offset} at {record.timestamp_ms} ms{mark}")
    return "; ".join(f"{trace_id.hex()}: {', '.join(places)}" for trace_id, places in told.items())


def _by_trace(spans: Iterable[Span]) -> dict[bytes, list[Span]]:
    found: dict[bytes, list[Span]] = defaultdict(list)
    for span in spans:
        found[span.trace_id].append(span)
    return found


def _duration_s(records: Iterable[Record]) -> float:
    """Time between the first record and the last; records of clocks that were off do not count."""
    times = sorted(record.timestamp_ms for record in records)
    middle = times[len(times) // 2]
    near = [time for time in times if abs(time - middle) < CLOCK_JUMP_MS * 10]
    return max(0.001, (near[-1] - near[0]) / 1000)
