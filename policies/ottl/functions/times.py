"""Converters of times and durations. Times without a zone of their own are in UTC."""
# ruff: noqa: N802 - converters bear the names of OTTL

from __future__ import annotations

from policies.ottl.errors import EvaluationError
from policies.ottl.functions.base import converter, optional
from policies.ottl.getters import DURATION, INT, STRING, TIME
from policies.ottl.gotext import calendar
from policies.ottl.kinds import INT64_MAX, wrapped
from policies.ottl.kinds import Duration as DurationValue
from policies.ottl.kinds import Time as TimeValue

_NS = 1_000_000_000
_YEAR_1_NS = 62_135_596_800 * _NS
"""From the first second of year 1, whence times are rounded, to the epoch."""
_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": _NS,
    "m": 60 * _NS,
    "h": 3600 * _NS,
}
_ZERO = frozenset("0123456789.")


@converter(duration=STRING)
def Duration(duration: str) -> DurationValue:
    """A duration from text like "1.5s", "250ms" or "1h30m"; units ns, us, ms, s, m, h."""
    return DurationValue(parse_duration(duration))


def parse_duration(text: str) -> int:
    """Nanoseconds of a duration as Go writes it; EvaluationError where the text is none."""
    negative = text[:1] == "-"
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    total = 0
    if not rest or len(rest) > 256:
        raise EvaluationError("a string that is no duration")
    while rest:
        whole, rest = _digits(rest)
        fraction = ""
        if rest[:1] == ".":
            fraction, rest = _digits(rest[1:])
        if not whole and not fraction:
            raise EvaluationError("a string that is no duration")
        length = next((at for at, char in enumerate(rest) if char in _ZERO), len(rest))
        unit = _UNITS.get(rest[:length])
        if unit is None:
            raise EvaluationError("a duration without a known unit (ns, us, ms, s, m, h)")
        rest = rest[length:]
        # Beyond 18 digits a fraction no longer changes the sum; the product is rounded as a float, as in Go.
        fraction = fraction[:18]
        total += int(whole or "0") * unit + (int(int(fraction) * (unit / 10 ** len(fraction))) if fraction else 0)
        if total > 2**63:
            raise EvaluationError("a duration of more than 292 years")
    if negative:
        return -total
    if total > INT64_MAX:
        raise EvaluationError("a duration of more than 292 years")
    return total


def _digits(text: str) -> tuple[str, str]:
    """(leading digits, the rest)."""
    length = next((at for at, char in enumerate(text) if char not in "0123456789"), len(text))
    return text[:length], text[length:]


def _toward_zero(number: int, unit: int) -> int:
    return number // unit if number >= 0 else -(-number // unit)


def _in(duration: DurationValue, unit: int) -> float:
    whole = _toward_zero(duration.ns, unit)
    return float(whole) + float(duration.ns - whole * unit) / unit


@converter(duration=DURATION)
def Hours(duration: DurationValue) -> float:
    """The hours of a duration, as a float."""
    return _in(duration, 3600 * _NS)


@converter(duration=DURATION)
def Minutes(duration: DurationValue) -> float:
    """The minutes of a duration, as a float."""
    return _in(duration, 60 * _NS)


@converter(duration=DURATION)
def Seconds(duration: DurationValue) -> float:
    """The seconds of a duration, as a float."""
    return _in(duration, _NS)


@converter(duration=DURATION)
def Milliseconds(duration: DurationValue) -> int:
    """The whole milliseconds of a duration."""
    return _toward_zero(duration.ns, 1_000_000)


@converter(duration=DURATION)
def Microseconds(duration: DurationValue) -> int:
    """The whole microseconds of a duration."""
    return _toward_zero(duration.ns, 1_000)


@converter(duration=DURATION)
def Nanoseconds(duration: DurationValue) -> int:
    """The nanoseconds of a duration."""
    return duration.ns


@converter(time=TIME)
def Year(time: TimeValue) -> int:
    """The year of a time."""
    return calendar(time).year


@converter(time=TIME)
def Month(time: TimeValue) -> int:
    """The month of a time, 1 to 12."""
    return calendar(time).month


@converter(time=TIME)
def Day(time: TimeValue) -> int:
    """The day of the month of a time."""
    return calendar(time).day


@converter(time=TIME)
def Weekday(time: TimeValue) -> int:
    """The day of the week of a time, 0 is Sunday."""
    return calendar(time).isoweekday() % 7


@converter(time=TIME)
def Hour(time: TimeValue) -> int:
    """The hour of a time, 0 to 23."""
    return calendar(time).hour


@converter(time=TIME)
def Minute(time: TimeValue) -> int:
    """The minute of a time."""
    return calendar(time).minute


@converter(time=TIME)
def Second(time: TimeValue) -> int:
    """The second of a time."""
    return calendar(time).second


@converter(time=TIME)
def Nanosecond(time: TimeValue) -> int:
    """The nanoseconds of a time beyond its second."""
    return time.ns % _NS


@converter(seconds=INT, nanoseconds=optional(INT))
def Unix(seconds: int, nanoseconds: int | None) -> TimeValue:
    """The time so many seconds (and nanoseconds) after the Unix epoch, in UTC."""
    return TimeValue(seconds * _NS + (nanoseconds or 0))


@converter(time=TIME)
def UnixSeconds(time: TimeValue) -> int:
    """The seconds from the Unix epoch to a time."""
    return time.ns // _NS


@converter(time=TIME)
def UnixMilli(time: TimeValue) -> int:
    """The milliseconds from the Unix epoch to a time."""
    return wrapped(time.ns // 1_000_000)


@converter(time=TIME)
def UnixMicro(time: TimeValue) -> int:
    """The microseconds from the Unix epoch to a time."""
    return wrapped(time.ns // 1_000)


@converter(time=TIME)
def UnixNano(time: TimeValue) -> int:
    """The nanoseconds from the Unix epoch to a time."""
    return wrapped(time.ns)


@converter(time=TIME, duration=DURATION)
def TruncateTime(time: TimeValue, duration: DurationValue) -> TimeValue:
    """A time rounded down to a multiple of a duration since year 1."""
    if duration.ns <= 0:
        return time
    return TimeValue(time.ns - (time.ns + _YEAR_1_NS) % duration.ns, time.offset_s)
