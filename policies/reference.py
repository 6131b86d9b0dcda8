"""The meaning of conditions and summaries, written plainly over protobuf messages.

This is the yardstick: the scanners of `sampler.otlp` must give the same summaries, only a thousand times faster. It
serves tests and the helpers for policy authors, never the hot path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, TracesData

from policies.conditions import (
    AllOf,
    AnyOf,
    AttributeExists,
    AttributeIn,
    AttributeInRange,
    AttributeIs,
    AttributeMatches,
    Field,
    FieldsMatch,
    FlagsAny,
    IsRootSpan,
    KindIn,
    NameIn,
    NameMatches,
    Negated,
    Part,
    SpanCondition,
    SpanDurationInRange,
    StatusIn,
    TraceStateMatches,
    Where,
)

_RV = re.compile(r"[0-9a-f]{14}")
_TH = re.compile(r"[0-9a-f]{1,14}")
_ERROR = 2

AttributeCondition = AttributeIn | AttributeMatches | AttributeInRange | AttributeIs | AttributeExists


@dataclass(frozen=True, slots=True)
class PlainSummary:
    """A `policies.trace.Summary` as a plain value; see there for the meaning of the fields."""

    start_unix_nano: int = 0
    end_unix_nano: int = 0
    span_count: int = 0
    size_bytes: int = 0
    has_error: bool = False
    has_root: bool = False
    bits: int = 0
    rv: int = -1
    has_threshold: bool = False


@dataclass(frozen=True, slots=True)
class SpanContext:
    """One span with what surrounds it, and, where an expression speaks of events, one of its events."""

    resource: Resource
    scope: InstrumentationScope
    span: Span
    event: Span.Event | None = None
    resource_schema_url: str = ""
    scope_schema_url: str = ""


def reference_summary(
    conditions: Sequence[SpanCondition], resource_spans: Sequence[ResourceSpans], *, size_bytes: int | None = None
) -> PlainSummary:
    """The summary of one trace, all of whose spans `resource_spans` holds (trace ids are not looked at).

    Bit i of `bits` answers `conditions[i]`. `size_bytes` defaults to the size of the spans as one `TracesData`.
    """
    contexts = list(span_contexts(resource_spans))
    spans = [context.span for context in contexts]
    randomness, thresholds = zip(*(ot_of(span.trace_state) for span in spans), strict=True) if spans else ((), ())
    if size_bytes is None:
        size_bytes = TracesData(resource_spans=resource_spans).ByteSize()
    return PlainSummary(
        start_unix_nano=min((s.start_time_unix_nano for s in spans if s.start_time_unix_nano), default=0),
        end_unix_nano=max((s.end_time_unix_nano for s in spans), default=0),
        span_count=len(spans),
        size_bytes=size_bytes,
        has_error=any(span.status.code == _ERROR for span in spans),
        has_root=any(is_root(span) for span in spans),
        bits=sum(
            1 << index
            for index, condition in enumerate(conditions)
            if any(holds_on_span(condition, context) for context in contexts)
        ),
        rv=_explicit_randomness(spans, randomness),
        has_threshold=any(thresholds),
    )


def _explicit_randomness(spans: Sequence[Span], randomness: Sequence[int]) -> int:
    """The `rv` of a root, else of any span; among several the smallest span id, then the smallest rv; -1 for none."""
    carried = [(not is_root(span), span.span_id, rv) for span, rv in zip(spans, randomness, strict=True) if rv >= 0]
    return min(carried)[2] if carried else -1


def span_contexts(resource_spans: Iterable[ResourceSpans]) -> Iterator[SpanContext]:
    """Every span with its resource and scope, in stored order."""
    for resource_span in resource_spans:
        for scope_spans in resource_span.scope_spans:
            for span in scope_spans.spans:
                yield SpanContext(
                    resource_span.resource,
                    scope_spans.scope,
                    span,
                    resource_schema_url=resource_span.schema_url,
                    scope_schema_url=scope_spans.schema_url,
                )


def is_root(span: Span) -> bool:
    """No parent span id: absent, empty or all zero."""
    return not any(span.parent_span_id)


def ot_of(tracestate: str) -> tuple[int, bool]:
    """(rv or -1, whether th is there) of the first `ot=` member of a tracestate header.

    `rv` counts with exactly 14 lower-case hex digits, `th` with 1 to 14; anything else is as if absent.
    """
    for member in tracestate.split(","):
        key, equals, value = member.strip(" \t").partition("=")
        if key != "ot" or not equals:
            continue
        rv, has_threshold = -1, False
        for field in value.split(";"):
            name, _, text = field.partition(":")
            if name == "rv" and _RV.fullmatch(text) and rv < 0:
                rv = int(text, 16)
            elif name == "th" and _TH.fullmatch(text):
                has_threshold = True
        return rv, has_threshold
    return -1, False


def speaks_of_events(condition: SpanCondition) -> bool:
    """Whether an expression names an event anywhere, so that it is asked once per event instead of once per span."""
    match condition:
        case AllOf(terms) | AnyOf(terms):
            return any(speaks_of_events(term) for term in terms)
        case Negated(term):
            return speaks_of_events(term)
        case NameIn() | NameMatches() | FieldsMatch():
            return condition.of_event
        case AttributeIn() | AttributeMatches() | AttributeInRange() | AttributeIs() | AttributeExists():
            return bool(condition.where & Where.EVENT)
        case _:
            return False


def holds_on_span(condition: SpanCondition, context: SpanContext) -> bool:
    """Whether an expression holds for a span: for one of its events where it speaks of events (none there: no)."""
    if not speaks_of_events(condition):
        return _holds(condition, context)
    return any(_holds(condition, replace(context, event=event)) for event in context.span.events)


def _holds(condition: SpanCondition, context: SpanContext) -> bool:
    match condition:
        case AllOf(terms):
            return all(_holds(term, context) for term in terms)
        case AnyOf(terms):
            return any(_holds(term, context) for term in terms)
        case Negated(term):
            return not _holds(term, context)
        case AttributeIn() | AttributeMatches() | AttributeInRange() | AttributeIs() | AttributeExists():
            return any(
                attribute.key == condition.key and _value_passes(condition, attribute.value)
                for attribute in _attributes(condition.where, context)
            )
        case _:
            return _holds_leaf(condition, context)


def _holds_leaf(  # noqa: PLR0911 - one line a kind of leaf
    condition: StatusIn
    | KindIn
    | NameIn
    | NameMatches
    | SpanDurationInRange
    | FlagsAny
    | TraceStateMatches
    | IsRootSpan
    | FieldsMatch,
    context: SpanContext,
) -> bool:
    span = context.span
    match condition:
        case StatusIn(codes):
            return int(span.status.code) in codes
        case KindIn(kinds):
            return int(span.kind) in kinds
        case NameIn(names, of_event):
            return _name(context, of_event=of_event) in names
        case NameMatches(matcher, of_event):
            return matcher.test(_name(context, of_event=of_event))
        case SpanDurationInRange(low_ns, high_ns, unset_is_zero):
            start, end = span.start_time_unix_nano, span.end_time_unix_nano
            return (unset_is_zero or bool(start and end)) and low_ns <= end - start <= high_ns
        case FlagsAny(mask):
            return bool(span.flags & mask)
        case TraceStateMatches(matcher):
            return bool(span.trace_state) and matcher.test(span.trace_state)
        case IsRootSpan():
            return is_root(span)
        case FieldsMatch(fields, matcher):
            values = tuple(field_value(field, context) for field in fields)
            try:
                return bool(matcher.test(values))
            except Exception:  # one that raises does not match
                return False
        case _:
            assert_never(condition)


def _name(context: SpanContext, *, of_event: bool) -> str:
    if not of_event:
        return context.span.name
    assert context.event is not None
    return context.event.name


def _attributes(where: Where, context: SpanContext) -> Iterator[KeyValue]:
    if where & Where.RESOURCE:
        yield from context.resource.attributes
    if where & Where.SCOPE:
        yield from context.scope.attributes
    if where & Where.SPAN:
        yield from context.span.attributes
    if where & Where.EVENT and context.event is not None:
        yield from context.event.attributes


def _value_passes(condition: AttributeCondition, value: AnyValue) -> bool:
    """Whether a value is of the type the condition speaks of and passes it."""
    kind = value.WhichOneof("value")
    match condition:
        case AttributeIn():
            return kind == "string_value" and value.string_value in condition.values
        case AttributeMatches():
            return kind == "string_value" and condition.matcher.test(value.string_value)
        case AttributeInRange():
            return kind == "int_value" and condition.low <= value.int_value <= condition.high
        case AttributeIs():
            return kind == "bool_value" and value.bool_value == condition.value
        case AttributeExists():
            return True


def field_value(field: Field, context: SpanContext) -> bytes | None:
    """What a test in Python gets for a field, as `Part` says; the event's parts need an event."""
    attributes = _FIELD_ATTRIBUTES.get(field.part)
    if attributes is None:
        return _FIELD_VALUES[field.part](context)
    values = (entry.value for entry in _attributes(attributes, context) if entry.key == field.key)
    first = next(values, None)
    return None if first is None else first.SerializeToString()


_FIELD_ATTRIBUTES = {
    Part.RESOURCE_ATTRIBUTE: Where.RESOURCE,
    Part.SCOPE_ATTRIBUTE: Where.SCOPE,
    Part.SPAN_ATTRIBUTE: Where.SPAN,
    Part.EVENT_ATTRIBUTE: Where.EVENT,
}
_FIELD_VALUES: dict[Part, Callable[[SpanContext], bytes]] = {
    Part.SPAN_NAME: lambda context: context.span.name.encode(),
    Part.STATUS_CODE: lambda context: _number(context.span.status.code),
    Part.KIND: lambda context: _number(context.span.kind),
    Part.START_TIME: lambda context: _number(context.span.start_time_unix_nano),
    Part.END_TIME: lambda context: _number(context.span.end_time_unix_nano),
    Part.TRACE_STATE: lambda context: context.span.trace_state.encode(),
    Part.EVENT_NAME: lambda context: _name(context, of_event=True).encode(),
    Part.RESOURCE: lambda context: context.resource.SerializeToString(),
    Part.RESOURCE_SCHEMA_URL: lambda context: context.resource_schema_url.encode(),
    Part.SCOPE: lambda context: context.scope.SerializeToString(),
    Part.SCOPE_SCHEMA_URL: lambda context: context.scope_schema_url.encode(),
    Part.SPAN: lambda context: context.span.SerializeToString(),
    Part.EVENT: lambda context: b"" if context.event is None else context.event.SerializeToString(),
}


def _number(value: int) -> bytes:
    return (value % 2**64).to_bytes(8, "little")
