"""Leaf tests of a scan plan: what is asked of one attribute, one name or one number of a span."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from policies.conditions import (
    INT64_MAX,
    INT64_MIN,
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
    Matcher,
    NameIn,
    NameMatches,
    Part,
    SpanDurationInRange,
    SpanLeaf,
    StatusIn,
    TraceStateMatches,
    Where,
)
from sampler.otlp.errors import PlanError
from sampler.otlp.memo import FieldsMemo, Memo

# The message that a part is read from.
MESSAGE_OF = {
    Part.RESOURCE_ATTRIBUTE: Where.RESOURCE,
    Part.RESOURCE: Where.RESOURCE,
    Part.RESOURCE_SCHEMA_URL: Where.RESOURCE,
    Part.SCOPE_ATTRIBUTE: Where.SCOPE,
    Part.SCOPE: Where.SCOPE,
    Part.SCOPE_SCHEMA_URL: Where.SCOPE,
    Part.EVENT_ATTRIBUTE: Where.EVENT,
    Part.EVENT_NAME: Where.EVENT,
    Part.EVENT: Where.EVENT,
}
ATTRIBUTE_PARTS = frozenset({Part.RESOURCE_ATTRIBUTE, Part.SCOPE_ATTRIBUTE, Part.SPAN_ATTRIBUTE, Part.EVENT_ATTRIBUTE})


class Kind(enum.IntEnum):
    """What a leaf asks; the numbers stand in `_compiled/plan.pxd` too."""

    STRING_IN = 0
    STRING_MATCHES = 1
    INT_RANGE = 2
    BOOL_IS = 3
    EXISTS = 4
    STATUS_IN = 5
    KIND_IN = 6
    NAME_IN = 7
    NAME_MATCHES = 8
    DURATION = 9
    FLAGS = 10
    TRACESTATE = 11
    ROOT = 12
    DURATION_FROM_ZERO = 13
    FIELDS = 14


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    """One test. `where` is 0 for tests on fields of the span or event itself."""

    kind: Kind
    of_event: bool = False
    where: int = 0
    key: bytes = b""
    values: frozenset[bytes] = frozenset()
    numbers: frozenset[int] = frozenset()
    low: int = 0
    high: int = 0
    memo: Memo | FieldsMemo | None = None
    fields: tuple[Field, ...] = ()
    """What a FIELDS leaf reads; its keys can be encoded."""
    inmost: Where = Where.SPAN
    """Of a FIELDS leaf: the inmost of the messages it reads, once per which it is asked."""


def leaf_of(condition: SpanLeaf, memos: dict[Any, Any]) -> Leaf:  # noqa: PLR0911 - one line a kind of leaf
    """The leaf of a condition; equal matchers share a memo. PlanError where the condition makes no sense."""
    match condition:
        case AttributeIn() | AttributeMatches() | AttributeInRange() | AttributeIs() | AttributeExists():
            return _attribute_leaf(condition, memos)
        case StatusIn(codes):
            return Leaf(Kind.STATUS_IN, numbers=frozenset(codes))
        case KindIn(kinds):
            return Leaf(Kind.KIND_IN, numbers=frozenset(kinds))
        case NameIn(names, of_event):
            return Leaf(Kind.NAME_IN, of_event=of_event, values=_encoded(names))
        case NameMatches(matcher, of_event):
            return Leaf(Kind.NAME_MATCHES, of_event=of_event, memo=_memo(matcher, memos))
        case SpanDurationInRange(low_ns, high_ns, unset_is_zero):
            low, high = _int64(condition, low_ns, high_ns)
            return Leaf(Kind.DURATION_FROM_ZERO if unset_is_zero else Kind.DURATION, low=low, high=high)
        case FlagsAny(mask):
            if not 0 <= mask < 2**32:
                raise PlanError(f"{condition}: the mask must fit 32 bits")
            return Leaf(Kind.FLAGS, low=mask)
        case TraceStateMatches(matcher):
            return Leaf(Kind.TRACESTATE, memo=_memo(matcher, memos))
        case IsRootSpan():
            return Leaf(Kind.ROOT)
        case FieldsMatch():
            return _fields_leaf(condition, memos)
    raise PlanError(f"{condition!r} is no span condition")


def _attribute_leaf(
    condition: AttributeIn | AttributeMatches | AttributeInRange | AttributeIs | AttributeExists,
    memos: dict[Any, Any],
) -> Leaf:
    where = int(condition.where)
    if not 0 < where < 2 * Where.EVENT:
        raise PlanError(f"{condition}: 'where' names no attribute map")
    key = _encode(condition.key)
    of_event = bool(where & Where.EVENT)
    match condition:
        case AttributeIn():
            return Leaf(Kind.STRING_IN, of_event, where, key, values=_encoded(condition.values))
        case AttributeMatches():
            return Leaf(Kind.STRING_MATCHES, of_event, where, key, memo=_memo(condition.matcher, memos))
        case AttributeInRange():
            low, high = _int64(condition, condition.low, condition.high)
            return Leaf(Kind.INT_RANGE, of_event, where, key, low=low, high=high)
        case AttributeIs():
            return Leaf(Kind.BOOL_IS, of_event, where, key, low=int(condition.value))
        case AttributeExists():
            return Leaf(Kind.EXISTS, of_event, where, key)


def _fields_leaf(condition: FieldsMatch, memos: dict[Any, Any]) -> Leaf:
    for field in condition.fields:
        if field.key and field.part not in ATTRIBUTE_PARTS:
            raise PlanError(f"{field}: only an attribute has a key")
        _encode(field.key)
    inmost = max((MESSAGE_OF.get(field.part, Where.SPAN) for field in condition.fields), default=Where.SPAN)
    memo = memos.setdefault(condition.matcher, FieldsMemo(condition.matcher))
    return Leaf(Kind.FIELDS, inmost is Where.EVENT, memo=memo, fields=condition.fields, inmost=inmost)


def _memo(matcher: Matcher, memos: dict[Any, Any]) -> Memo:
    memo: Memo = memos.setdefault(matcher, Memo(matcher))
    return memo


def _encode(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise PlanError(f"{text!r} is no valid Unicode text") from None


def _encoded(texts: frozenset[str]) -> frozenset[bytes]:
    return frozenset(_encode(text) for text in texts)


def _int64(condition: object, low: int, high: int) -> tuple[int, int]:
    if not (INT64_MIN <= low <= INT64_MAX and INT64_MIN <= high <= INT64_MAX):
        raise PlanError(f"{condition}: the bounds must fit 64 bits, signed")
    return low, high
