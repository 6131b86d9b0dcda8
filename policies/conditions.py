"""What a policy may ask of a trace, declared ahead so that it can be answered while spans arrive.

A *span condition* speaks of one span together with its resource, its scope and, where it names events, one of its
events. It holds for a trace when it holds for at least one span (one event) of it: the terms of an `AllOf` must hold
on the same span. A *trace condition* speaks of the whole trace. Conditions are immutable and hashable: two policies
that ask the same thing share one answer.

Attribute values that are not of the type a condition speaks of never satisfy it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1


class Where(enum.IntFlag):
    """Which attribute maps of a span a condition looks at; several may be combined."""

    RESOURCE = 1
    SCOPE = 2
    SPAN = 4
    EVENT = 8


RESOURCE_OR_SPAN = Where.RESOURCE | Where.SPAN


@dataclass(frozen=True, slots=True)
class Matcher:
    """A test on a string, known by its description: equal descriptions must mean equal answers.

    `test` is pure; it is called once per distinct value, behind a bounded memo.
    """

    description: str
    test: Callable[[str], bool] = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class AttributeIn:
    """A string attribute `key` has one of `values`."""

    key: str
    values: frozenset[str]
    where: Where = RESOURCE_OR_SPAN


@dataclass(frozen=True, slots=True)
class AttributeMatches:
    """A string attribute `key` passes `matcher`."""

    key: str
    matcher: Matcher
    where: Where = RESOURCE_OR_SPAN


@dataclass(frozen=True, slots=True)
class AttributeInRange:
    """An integer attribute `key` lies in [low, high], both inclusive, int64."""

    key: str
    low: int = INT64_MIN
    high: int = INT64_MAX
    where: Where = RESOURCE_OR_SPAN


@dataclass(frozen=True, slots=True)
class AttributeIs:
    """A boolean attribute `key` equals `value`."""

    key: str
    value: bool
    where: Where = RESOURCE_OR_SPAN


@dataclass(frozen=True, slots=True)
class AttributeExists:
    """An attribute `key` is there, whatever its value."""

    key: str
    where: Where = RESOURCE_OR_SPAN


@dataclass(frozen=True, slots=True)
class StatusIn:
    """The span's status code (0 UNSET, 1 OK, 2 ERROR) is one of `codes`."""

    codes: frozenset[int]


@dataclass(frozen=True, slots=True)
class KindIn:
    """The span's kind (0 to 5, as in OTLP) is one of `kinds`."""

    kinds: frozenset[int]


@dataclass(frozen=True, slots=True)
class NameIn:
    """The name of the span (of the event, where `of_event`) is one of `names`."""

    names: frozenset[str]
    of_event: bool = False


@dataclass(frozen=True, slots=True)
class NameMatches:
    """The name of the span (of the event, where `of_event`) passes `matcher`."""

    matcher: Matcher
    of_event: bool = False


@dataclass(frozen=True, slots=True)
class SpanDurationInRange:
    """end - start of the span, in nanoseconds, lies in [low_ns, high_ns].

    A span without both times does not match; with `unset_is_zero` a time that is not set counts as 0 instead.
    """

    low_ns: int = 0
    high_ns: int = INT64_MAX
    unset_is_zero: bool = False


@dataclass(frozen=True, slots=True)
class FlagsAny:
    """At least one bit of `mask` (32 bits) is set in the span's flags."""

    mask: int


@dataclass(frozen=True, slots=True)
class TraceStateMatches:
    """The span's W3C tracestate, as the whole header string, passes `matcher`; an empty one never does."""

    matcher: Matcher


@dataclass(frozen=True, slots=True)
class IsRootSpan:
    """The span has no parent span id (absent, empty or all zero)."""


class Part(enum.Enum):
    """What of a span can be handed, as bytes, to a test in Python (see `FieldsMatch`).

    An attribute is the wire form of its AnyValue, that of the first with its key; None where there is none. Texts and
    ids are their bytes, numbers and times 8 bytes, little-endian, signed; empty or 0 where not set. A whole message is
    its wire form: everything else can be decoded from it.
    """

    RESOURCE_ATTRIBUTE = "resource attribute"
    SCOPE_ATTRIBUTE = "scope attribute"
    SPAN_ATTRIBUTE = "span attribute"
    EVENT_ATTRIBUTE = "event attribute"
    SPAN_NAME = "span name"
    STATUS_CODE = "status code"
    KIND = "kind"
    START_TIME = "start time"
    END_TIME = "end time"
    TRACE_STATE = "tracestate"
    EVENT_NAME = "event name"
    RESOURCE = "resource"
    RESOURCE_SCHEMA_URL = "resource schema URL"
    SCOPE = "scope"
    SCOPE_SCHEMA_URL = "scope schema URL"
    SPAN = "span"
    EVENT = "event"


EVENT_PARTS = frozenset({Part.EVENT_ATTRIBUTE, Part.EVENT_NAME, Part.EVENT})


@dataclass(frozen=True, slots=True)
class Field:
    """One thing to read: a part, with the key where it is an attribute."""

    part: Part
    key: str = ""


@dataclass(frozen=True, slots=True)
class FieldsMatcher:
    """A test on the bytes of several fields, known by its description: equal descriptions must mean equal answers.

    `test` is pure and gets one value a field, in their order; one that raises does not match. With `remember` it is
    called once per distinct combination of values, behind a bounded memo: say False where values hardly ever repeat.
    The same value may come in another wire form, or with fields that OTLP does not know: `test` must not care.
    """

    description: str
    test: Callable[[tuple[bytes | None, ...]], bool] = field(compare=False, repr=False)
    remember: bool = True


@dataclass(frozen=True, slots=True)
class FieldsMatch:
    """The fields of one span (one event, where one of them is the event's) pass a test in Python.

    Beside other terms it is asked last, and only where its answer matters.
    """

    fields: tuple[Field, ...]
    matcher: FieldsMatcher

    @property
    def of_event(self) -> bool:
        """Whether it is asked once per event instead of once per span."""
        return any(each.part in EVENT_PARTS for each in self.fields)


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every term holds, on the same span (and event). No terms: always holds."""

    terms: tuple[SpanCondition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one term holds. No terms: never holds."""

    terms: tuple[SpanCondition, ...]


@dataclass(frozen=True, slots=True)
class Negated:
    """The term does not hold on this span (and event): not the same as 'on no span'."""

    term: SpanCondition


SpanLeaf: TypeAlias = (
    AttributeIn
    | AttributeMatches
    | AttributeInRange
    | AttributeIs
    | AttributeExists
    | StatusIn
    | KindIn
    | NameIn
    | NameMatches
    | SpanDurationInRange
    | FlagsAny
    | TraceStateMatches
    | IsRootSpan
    | FieldsMatch
)
SpanCondition: TypeAlias = SpanLeaf | AllOf | AnyOf | Negated


@dataclass(frozen=True, slots=True)
class TraceInRange:
    """A number of the whole trace lies in [low, high], both inclusive.

    `duration_ms` is max(end) - min(start) over all spans in whole milliseconds, cut off, 0 where a time is missing;
    `span_count` counts the spans that arrived, exact copies included; `size_bytes` is their size on the wire.
    """

    what: Literal["duration_ms", "span_count", "size_bytes"]
    low: int = 0
    high: int = INT64_MAX


@dataclass(frozen=True, slots=True)
class TraceHasRoot:
    """A root span of the trace has arrived."""


TraceCondition: TypeAlias = TraceInRange | TraceHasRoot
Condition: TypeAlias = SpanCondition | TraceCondition
