"""Kept spans brought together by trace and key: what is counted of each trace, and its adjusted count."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, TracesData

from policies.rset import SPACE
from sampler.otlp.tracestate import parse

Key: TypeAlias = tuple[str, ...]
Unit: TypeAlias = Literal["traces", "spans"]

ABSENT = "(none)"
_ERROR = 2


@dataclass(frozen=True, slots=True)
class Names:
    """The attributes that the sampler wrote."""

    rate: str = "sampling.rate"
    policy: str = "sampling.policy"


@dataclass(frozen=True, slots=True)
class KeySpec:
    """What the estimates are told apart by.

    Each of `fields` is `name`, `kind`, `status` or `policy` of a span, or an attribute of it, else of its resource. Of
    a trace the root counts; where none came, the span that began first.
    """

    fields: tuple[str, ...] = ()
    unit: Unit = "traces"
    names: Names = Names()

    def of(self, resource: Mapping[str, str], span: Span) -> Key:
        """The key of a span."""
        return tuple(self._value(name, resource, span) for name in self.fields)

    def _value(self, name: str, resource: Mapping[str, str], span: Span) -> str:
        if name == "name":
            return span.name
        if name == "kind":
            return Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower()
        if name == "status":
            return ("unset", "ok", "error")[span.status.code] if span.status.code < 3 else str(span.status.code)
        wanted = self.names.policy if name == "policy" else name
        for attribute in span.attributes:
            if attribute.key == wanted:
                return text_of(attribute.value)
        return resource.get(name, ABSENT)


@dataclass(slots=True)
class Counted:
    """What one trace holds of one key. `rate` is its adjusted count."""

    rate: float = 1.0
    spans: int = 0
    errors: int = 0
    durations_ns: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Trace:
    ids: set[bytes] = field(default_factory=set)
    root: tuple[bool, int] = (True, 1 << 64)
    key: Key | None = None
    rate: float = 1.0
    error: bool = False
    start_ns: int = 1 << 64
    end_ns: int = 0
    by_key: dict[Key, Counted] = field(default_factory=dict)


class Gathered:
    """Kept traces, from payloads in any order. A span that came twice, after a crash, counts once."""

    def __init__(self, spec: KeySpec) -> None:
        self._spec = spec
        self._traces: dict[bytes, _Trace] = {}
        self.span_count = self.unmarked_spans = 0
        """`unmarked_spans` hold no adjusted count; they count once."""

    def __len__(self) -> int:
        return len(self._traces)

    def add(self, payload: bytes) -> None:
        """Take in the spans of a TracesData; google.protobuf's DecodeError where it is none."""
        for resource_spans in TracesData.FromString(payload).resource_spans:
            resource = texts_of(resource_spans.resource.attributes)
            for span in _spans_of(resource_spans):
                trace = self._traces.setdefault(span.trace_id, _Trace())
                if span.span_id not in trace.ids:
                    trace.ids.add(span.span_id)
                    self._count(trace, resource, span)

    def _count(self, trace: _Trace, resource: Mapping[str, str], span: Span) -> None:
        self.span_count += 1
        rate = self._rate(span)
        error = span.status.code == _ERROR
        if self._spec.unit == "spans":
            counted = trace.by_key.setdefault(self._spec.of(resource, span), Counted(rate))
            counted.spans += 1
            counted.errors += error
            counted.durations_ns.append(max(0, span.end_time_unix_nano - span.start_time_unix_nano))
            return
        trace.error |= error
        trace.start_ns = min(trace.start_ns, span.start_time_unix_nano)
        trace.end_ns = max(trace.end_ns, span.end_time_unix_nano)
        rank = (bool(span.parent_span_id.strip(b"\0")), span.start_time_unix_nano)
        if trace.key is None or rank < trace.root:
            trace.root, trace.rate = rank, rate
            trace.key = self._spec.of(resource, span)

    def _rate(self, span: Span) -> float:
        # What the sampler appends comes last.
        for attribute in reversed(span.attributes):
            if attribute.key == self._spec.names.rate:
                found = attribute.value
                if found.HasField("int_value"):
                    return self._exact(found.int_value, span)
                # 0 where others stand for the trace already.
                return found.double_value if 0 <= found.double_value < math.inf else 1.0
        threshold = parse(span.trace_state.encode()).th
        if threshold < 0:
            self.unmarked_spans += 1
        return _count_of(threshold)

    @staticmethod
    def _exact(rounded: int, span: Span) -> float:
        """The adjusted count of which this is the whole number, where the tracestate tells it."""
        exact = _count_of(parse(span.trace_state.encode()).th)
        return exact if rounded and abs(exact - rounded) <= 0.5 else float(max(0, rounded))

    def by_key(self) -> dict[Key, list[Counted]]:
        """What each trace holds of each key. Where traces are counted that is one `span` each, the trace itself."""
        found: dict[Key, list[Counted]] = {}
        for trace in self._traces.values():
            for key, counted in self._counted(trace):
                found.setdefault(key, []).append(counted)
        return found

    def _counted(self, trace: _Trace) -> Iterator[tuple[Key, Counted]]:
        if self._spec.unit == "spans":
            yield from trace.by_key.items()
        else:
            assert trace.key is not None, "a trace is made with its first span"
            yield trace.key, Counted(trace.rate, 1, int(trace.error), [max(0, trace.end_ns - trace.start_ns)])


def _count_of(threshold: int) -> float:
    """The adjusted count by `th`; 1 where there is none."""
    return SPACE / (SPACE - threshold) if threshold > 0 else 1.0


def _spans_of(resource_spans: ResourceSpans) -> Iterator[Span]:
    for scope_spans in resource_spans.scope_spans:
        yield from scope_spans.spans


def texts_of(attributes: Sequence[KeyValue]) -> dict[str, str]:
    """Attributes as text, by key."""
    return {attribute.key: text_of(attribute.value) for attribute in attributes}


def text_of(value: AnyValue) -> str:
    """A value as people write it."""
    kind = value.WhichOneof("value")
    if kind is None:
        return ABSENT
    found = getattr(value, kind)
    if kind == "bool_value":
        return "true" if found else "false"
    return str(found) if kind in {"string_value", "int_value", "double_value"} else str(found).replace("\n", " ")
