"""Comparisons that the scanner answers by itself, without Python: those whose meaning is exactly that of a leaf.

Equality with a string or boolean, names, kinds, status codes and the duration of a span. Numbers of attributes are not
among them, because in OTTL an integer equals a float. Of an attribute that stands twice in one list, which OTLP
forbids, these look at both.
"""

from __future__ import annotations

from policies.conditions import (
    INT64_MAX,
    INT64_MIN,
    AttributeIn,
    AttributeIs,
    IsRootSpan,
    KindIn,
    NameIn,
    Negated,
    SpanCondition,
    SpanDurationInRange,
    StatusIn,
    Where,
)
from policies.ottl.build import ENUMS
from policies.ottl.errors import EvaluationError
from policies.ottl.functions.times import parse_duration
from policies.ottl.paths import CONTEXTS, KINDS
from policies.ottl.syntax import Arithmetic, Call, Comparison, Enum, Literal, Path, Value
from policies.ottl.values import MIRRORED

_WHERE = {
    "span": Where.SPAN,
    "spanevent": Where.EVENT,
    "resource": Where.RESOURCE,
    "scope": Where.SCOPE,
    "instrumentation_scope": Where.SCOPE,
}
_STATUS_CODES = 3


def native_comparison(node: Comparison, own: str) -> SpanCondition | None:
    """The condition that holds exactly where a comparison does, None where there is none."""
    left, operator, right = node.left, node.operator, node.right
    if isinstance(left, Literal | Enum) or (isinstance(left, Call) and isinstance(right, Arithmetic)):
        left, operator, right = right, MIRRORED[operator], left
    if isinstance(left, Call):
        return _root(left, operator, right)
    if isinstance(left, Arithmetic):
        return _duration(left, operator, right, own)
    if not isinstance(left, Path) or operator not in ("==", "!="):
        return None
    condition = _equality(left, right, own)
    return Negated(condition) if condition is not None and operator == "!=" else condition


def _root(call: Call, operator: str, right: Value) -> SpanCondition | None:
    if call.name != "IsRootSpan" or call.keys or operator not in ("==", "!="):
        return None
    if not isinstance(right, Literal) or type(right.value) is not bool:
        return None
    return IsRootSpan() if right.value is (operator == "==") else Negated(IsRootSpan())


def _equality(path: Path, right: Value, own: str) -> SpanCondition | None:  # noqa: PLR0911 - one line a kind
    names, keys, context = _taken_apart(path, own)
    if isinstance(right, Enum):
        value: object = ENUMS.get(right.name)
    elif isinstance(right, Literal):
        value = right.value
    else:
        return None
    if names == ("attributes",) and len(keys) == 1 and isinstance(keys[0], str):
        if type(value) is str:
            return AttributeIn(keys[0], frozenset({value}), _WHERE[context])
        return AttributeIs(keys[0], value, _WHERE[context]) if type(value) is bool else None
    if keys:
        return None
    if names == ("name",) and type(value) is str and context in ("span", "spanevent"):
        return NameIn(frozenset({value}), of_event=context == "spanevent")
    if context == "span" and type(value) is int:
        if names == ("kind",) and 0 <= value < len(KINDS):
            return KindIn(frozenset({value}))
        if names == ("status", "code") and 0 <= value < _STATUS_CODES:
            return StatusIn(frozenset({value}))
    return None


def _taken_apart(path: Path, own: str) -> tuple[tuple[str, ...], tuple[object, ...], str]:
    """(names, literal keys, context) of a path; keys that are no literals are None."""
    segments = path.segments
    context = own
    if len(segments) > 1 and not segments[0].keys and segments[0].name in CONTEXTS[own]:
        context, segments = segments[0].name, segments[1:]
    keys = tuple(key.value if isinstance(key, Literal) else None for segment in segments for key in segment.keys)
    return tuple(segment.name for segment in segments), keys, context


def _duration(left: Arithmetic, operator: str, right: Value, own: str) -> SpanCondition | None:
    """end_time - start_time against a duration, or the same in nanoseconds against an integer."""
    bound = None
    if _is_difference(left, "end_time", "start_time", own):
        bound = _literal_duration(right)
    elif _is_difference(left, "end_time_unix_nano", "start_time_unix_nano", own):
        bound = right.value if isinstance(right, Literal) and type(right.value) is int else None
    if bound is None:
        return None
    low, high = {
        "==": (bound, bound),
        "!=": (bound, bound),
        "<": (INT64_MIN, bound - 1),
        "<=": (INT64_MIN, bound),
        ">": (bound + 1, INT64_MAX),
        ">=": (bound, INT64_MAX),
    }[operator]
    if low > INT64_MAX or high < INT64_MIN:
        return None
    condition = SpanDurationInRange(low, high, unset_is_zero=True)
    return Negated(condition) if operator == "!=" else condition


def _is_difference(value: Arithmetic, end: str, start: str, own: str) -> bool:
    if len(value.rest) != 1 or value.rest[0][0] != "-":
        return False
    sides = (value.first, value.rest[0][1])
    return all(
        isinstance(side, Path) and _taken_apart(side, own) == ((name,), (), "span")
        for side, name in zip(sides, (end, start), strict=True)
    )


def _literal_duration(value: Value) -> int | None:
    if not (isinstance(value, Call) and value.name == "Duration" and not value.keys and len(value.arguments) == 1):
        return None
    argument = value.arguments[0]
    if argument.name not in ("", "duration") or not isinstance(argument.value, Literal):
        return None
    text = argument.value.value
    try:
        return parse_duration(text) if isinstance(text, str) else None
    except EvaluationError:
        return None
