"""Helpers for tests of policies: build a trace that reads like what it says, ask a policy about it.

    slow = trace(
        resource({"service.name": "shop"}, span("GET /cart", 0, 1200, root=True), span("SELECT", 100, 1100)),
    )
    assert decide([{"name": "slow", "type": "latency", "latency": {"threshold_ms": 1000}}], slow).sampled

`ask(SlowQueries, {"min_ms": 500}, slow)` is the verdict of one policy, given as its class. `PolicyConformance` is a
test class to inherit; it checks what `policies.contract` asks of every policy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status, TracesData

from policies.conditions import SpanCondition
from policies.conformance import PolicyConformance
from policies.contract import Policy
from policies.policy_set import PolicySet, TraceInput, build_policy_set
from policies.reference import PlainSummary, SpanContext, holds_on_span, ot_of, reference_summary, span_contexts
from policies.registry import Registry, installed
from policies.verdict import Verdict

__all__ = [
    "BASE_NS",
    "PlainSummary",
    "PolicyConformance",
    "SpanContext",
    "Trace",
    "any_value",
    "ask",
    "decide",
    "event",
    "holds_on_span",
    "ot_of",
    "parse_trace",
    "reference_summary",
    "resource",
    "span",
    "span_contexts",
    "trace",
]

BASE_NS = 1_700_000_000_000_000_000
"""Time 0 of built spans, in nanoseconds since the epoch."""

_PARENT = b"\xaa" * 8
_NS_PER_MS = 1_000_000


@dataclass(frozen=True)
class Trace:
    """One trace as the kernel meets it."""

    trace_id: bytes
    resource_spans: tuple[ResourceSpans, ...]
    size_bytes: int | None = None
    """Its size on the wire; None for that of its spans as one TracesData."""

    def summary(self, conditions: Sequence[SpanCondition] = ()) -> PlainSummary:
        """Its summary, with one bit per condition."""
        return reference_summary(conditions, self.resource_spans, size_bytes=self.size_bytes)

    def input_for(self, policy_set: PolicySet) -> TraceInput:
        """What `PolicySet.decide` takes for it."""
        return self.trace_id, self.summary(policy_set.span_conditions), lambda: self.resource_spans


def any_value(value: Any) -> AnyValue:  # noqa: PLR0911 - one line a type
    """A Python value as an OTLP attribute value; None is a value that is not set."""
    match value:
        case None:
            return AnyValue()
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case Mapping():
            return AnyValue(kvlist_value=KeyValueList(values=_attributes(value)))
        case Sequence():
            return AnyValue(array_value=ArrayValue(values=[any_value(item) for item in value]))
        case _:
            raise TypeError(f"{type(value).__name__} is no OTLP attribute value")


def _attributes(attributes: Mapping[str, Any] | None) -> list[KeyValue]:
    return [KeyValue(key=key, value=any_value(value)) for key, value in (attributes or {}).items()]


def event(name: str = "event", attributes: Mapping[str, Any] | None = None, at_ms: float = 0) -> Span.Event:
    """An event of a span."""
    return Span.Event(name=name, time_unix_nano=BASE_NS + round(at_ms * _NS_PER_MS), attributes=_attributes(attributes))


def span(
    name: str = "span",
    start_ms: float | None = None,
    end_ms: float | None = None,
    *,
    attributes: Mapping[str, Any] | None = None,
    status: Literal["UNSET", "OK", "ERROR"] = "UNSET",
    root: bool = False,
    parent: bytes = b"",
    tracestate: str = "",
    flags: int = 0,
    kind: Span.SpanKind.ValueType = Span.SPAN_KIND_UNSPECIFIED,
    events: Sequence[Span.Event] = (),
    span_id: bytes = b"",
) -> Span:
    """A span; times are milliseconds after BASE_NS, None leaves them unset. `trace` fills in the ids.

    One that is neither a root nor has a `parent` is the child of a span that never came.
    """
    return Span(
        name=name,
        start_time_unix_nano=0 if start_ms is None else BASE_NS + round(start_ms * _NS_PER_MS),
        end_time_unix_nano=0 if end_ms is None else BASE_NS + round(end_ms * _NS_PER_MS),
        attributes=_attributes(attributes),
        status=Status(code=Status.StatusCode.Value(f"STATUS_CODE_{status}")) if status != "UNSET" else None,
        parent_span_id=b"" if root else parent or _PARENT,
        trace_state=tracestate,
        flags=flags,
        kind=kind,
        events=events,
        span_id=span_id,
    )


def resource(
    attributes: Mapping[str, Any] | None = None, *spans: Span, scope: Mapping[str, Any] | None = None
) -> ResourceSpans:
    """Spans of one resource and one scope, given by their attributes."""
    return ResourceSpans(
        resource=Resource(attributes=_attributes(attributes)),
        scope_spans=[ScopeSpans(scope=InstrumentationScope(attributes=_attributes(scope)), spans=spans)],
    )


def trace(*parts: ResourceSpans | Span, trace_id: bytes | str = "0af7651916cd43dd8448eb211c80319c") -> Trace:
    """A trace of the given parts, all of which get its id; a bare span stands under an empty resource.

    Spans without an id are numbered in order.
    """
    raw_id = bytes.fromhex(trace_id) if isinstance(trace_id, str) else trace_id
    copies = tuple(
        ResourceSpans.FromString((resource({}, part) if isinstance(part, Span) else part).SerializeToString())
        for part in parts
    )
    for number, context in enumerate(span_contexts(copies), start=1):
        context.span.trace_id = raw_id
        context.span.span_id = context.span.span_id or number.to_bytes(8, "big")
    return Trace(raw_id, copies)


def parse_trace(payload: bytes) -> Trace:
    """A recorded trace from the wire bytes of a TracesData or ExportTraceServiceRequest that holds only its spans."""
    resource_spans = tuple(TracesData.FromString(payload).resource_spans)
    ids = {context.span.trace_id for context in span_contexts(resource_spans)}
    if len(ids) != 1:
        raise ValueError(f"expected the spans of one trace, found {len(ids)} trace ids")
    return Trace(ids.pop(), resource_spans, len(payload))


def decide(
    policies: PolicySet | Sequence[Mapping[str, Any]],
    subject: Trace,
    *,
    registry: Registry | None = None,
    **options: Any,
) -> Verdict:
    """The verdict of a policy set, or of a list of specs, on one trace by itself; a policy that raises is an error.

    `options` go to `build_policy_set`.
    """
    policy_set = (
        policies if isinstance(policies, PolicySet) else build_policy_set(policies, registry=registry, **options)
    )
    before = policy_set.errors.total()
    verdict = policy_set.decide(0, [subject.input_for(policy_set)], policy_set.initial_state())[0]
    if policy_set.errors.total() != before:
        raise AssertionError(f"policies failed: {policy_set.last_errors}")
    return verdict


def ask(policy: type[Policy], config: Mapping[str, Any], subject: Trace) -> Verdict:
    """The verdict of one policy by itself, given as a class with its settings; one that raises is an error."""
    spec = {"name": policy.type, "type": policy.type, policy.type: config}
    return decide([spec], subject, registry=installed({policy.type: policy}))
