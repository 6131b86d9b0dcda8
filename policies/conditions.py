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
    """end - start of the span, in nanoseconds, lies in [low_ns, high_ns]; a span without both times does not match."""

    low_ns: int = 0
    high_ns: int = INT64_MAX


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
