"""Converters between times and text, by the directives that the Collector takes over from strptime.

Left out, as errors at load: directives that need a database of zones or a locale (`%Z`), formats without a year, which
the Collector completes from its clock, and literal text that Go's layouts would read as a part of a time.
"""
# ruff: noqa: N802 - converters bear the names of OTTL

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from policies.ottl.errors import EvaluationError
from policies.ottl.functions.base import TEXT, Param, optional, prepared
from policies.ottl.getters import STRING, TIME
from policies.ottl.gotext import calendar
from policies.ottl.kinds import Time as TimeValue

_NS = 1_000_000_000
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_DIRECTIVE = re.compile("%(.)", re.DOTALL)
_FRACTION = re.compile("[^.,]%[Lfs]|^%[Lfs]")
_READ_AS_TIME = re.compile("Jan|Mon|MST|PM|pm|Z07|_2|Z$(?<=%Z)")
_DECIMALS = {"L": 3, "f": 6, "s": 9}

_WRITERS: dict[str, Callable[[datetime], str]] = {
    "Y": lambda at: f"{at.year:04d}",
    "y": lambda at: f"{at.year % 100:02d}",
    "m": lambda at: f"{at.month:02d}",
    "o": lambda at: f"{at.month:2d}",
    "q": lambda at: str(at.month),
    "b": lambda at: _MONTHS[at.month - 1][:3],
    "h": lambda at: _MONTHS[at.month - 1][:3],
    "B": lambda at: _MONTHS[at.month - 1],
    "d": lambda at: f"{at.day:02d}",
    "e": lambda at: f"{at.day:2d}",
    "g": lambda at: str(at.day),
    "a": lambda at: _DAYS[at.weekday()][:3],
    "A": lambda at: _DAYS[at.weekday()],
    "H": lambda at: f"{at.hour:02d}",
    "l": lambda at: str(at.hour % 12 or 12),
    "I": lambda at: f"{at.hour % 12 or 12:02d}",
    "p": lambda at: "PM" if at.hour >= 12 else "AM",
    "P": lambda at: "pm" if at.hour >= 12 else "am",
    "M": lambda at: f"{at.minute:02d}",
    "S": lambda at: f"{at.second:02d}",
    "n": lambda _: "\n",
    "t": lambda _: "\t",
    "%": lambda _: "%",
}
_ZONES = {
    "z": "{:02d}{:02d}",
    "w": "{:02d}{:02d}{:02d}",
    "i": "{:02d}",
    "j": "{:02d}:{:02d}",
    "k": "{:02d}:{:02d}:{:02d}",
}
"""Directives that write the offset of a time's zone: hours, minutes and seconds."""
_WHOLE = {
    "D": "%m/%d/%Y",
    "x": "%m/%d/%Y",
    "F": "%Y-%m-%d",
    "T": "%H:%M:%S",
    "X": "%H:%M:%S",
    "r": "%I:%M:%S %P",
    "R": "%H:%M",
    "c": "%a %b %d %H:%M:%S %Y",
}
"""Directives that stand for several."""

_SPACE = r"[\t\n\f\r ]*"
"""May stand before any number."""
_READERS = {
    "Y": _SPACE + "(?P<Y>[0-9]{4})",
    "y": _SPACE + "(?P<y>[0-9]{2})",
    **dict.fromkeys("moq", _SPACE + "(?P<m>[0-9]{1,2})"),
    **dict.fromkeys("deg", _SPACE + "(?P<d>[0-9]{1,2})"),
    "b": "(?P<b>[A-Za-z]{3})",
    "h": "(?P<b>[A-Za-z]{3})",
    "B": "(?P<b>[A-Za-z]{3,9})",
    "a": "[A-Za-z]{3}",
    "A": "[A-Za-z]{6,9}",
    "H": _SPACE + "(?P<H>[0-9]{1,2})",
    "M": _SPACE + "(?P<M>[0-9]{1,2})",
    "S": _SPACE + "(?P<S>[0-9]{1,2})(?P<S_>[.,][0-9]+)?",
    "z": _SPACE + "(?P<z>Z|[+-][0-9]{2}(?::?[0-9]{2})?)",
    "%": "%",
}


def _expanded(layout: str) -> str:
    return _DIRECTIVE.sub(lambda found: _WHOLE.get(found[1], found[0]), layout)


def _checked(layout: str, known: Any) -> str:
    """The format with directives that stand for several written out; ValueError where it cannot be used."""
    if not layout:
        raise ValueError("the format is empty")
    if re.search("[0-9]", layout):
        raise ValueError("a format holds no digits")
    if _FRACTION.search(layout):
        raise ValueError("%L, %f and %s stand after a point or comma")
    layout = _expanded(layout)
    for directive in _DIRECTIVE.findall(layout):
        if directive not in known and directive not in _DECIMALS:
            raise ValueError(f"the directive %{directive} is not supported")
    literal = _DIRECTIVE.sub("\0", layout)
    if _READ_AS_TIME.search(literal) or literal.endswith("%"):
        raise ValueError("the text between the directives would be read as a part of a time")
    return layout


@prepared(time=TIME, format=TEXT)
def FormatTime(known: Sequence[Any]) -> Callable[[TimeValue, str], str]:
    """A time as text, by directives like %Y-%m-%dT%H:%M:%S."""
    layout = _checked(known[1], {*_WRITERS, *_ZONES})

    def write(time: TimeValue, _: str) -> str:
        moment = calendar(time)
        text = re.sub("([.,])%([Lfs])", lambda found: _fraction(found[1], time.ns % _NS, _DECIMALS[found[2]]), layout)
        return _DIRECTIVE.sub(
            lambda found: _zone(time.offset_s, found[1]) if found[1] in _ZONES else _WRITERS[found[1]](moment), text
        )

    return write


def _fraction(point: str, nanoseconds: int, decimals: int) -> str:
    digits = f"{nanoseconds:09d}"[:decimals].rstrip("0")
    return point + digits if digits else ""


def _zone(offset_s: int, directive: str) -> str:
    if directive == "z" and not offset_s:
        return "Z"
    hours, minutes = divmod(abs(offset_s) // 60, 60)
    return ("-" if offset_s < 0 else "+") + _ZONES[directive].format(hours, minutes, abs(offset_s) % 60)


@prepared(time=Param(form=STRING), format=TEXT, location=optional(TEXT), locale=optional(TEXT))
def Time(known: Sequence[Any]) -> Callable[..., TimeValue]:
    """A time from text, by directives like %Y-%m-%dT%H:%M:%S; in UTC where the text names no zone."""
    if known[2] not in (None, "", "UTC"):
        raise ValueError(f"the location {known[2]!r} is not supported: UTC only")
    if known[3] is not None:
        raise ValueError("locales are not supported")
    layout = _checked(known[1], _READERS)
    pattern = re.compile(_reader(layout), re.ASCII)
    if not {"Y", "y"} & set(pattern.groupindex):
        raise ValueError("a format without a year would depend on the clock")

    def read(time: str, *_: Any) -> TimeValue:
        if len(time) > 256:
            raise EvaluationError("a text too long for a time")
        found = pattern.fullmatch(time)
        if found is None:
            raise EvaluationError("a text that is not of the format")
        return _assembled({name: value for name, value in found.groupdict().items() if value is not None})

    return read


def _reader(layout: str) -> str:
    """The regular expression of a format: each of its directives stands there once, so it takes linear time."""
    parts: list[str] = []
    seen: set[str] = set()
    at = 0
    for found in _DIRECTIVE.finditer(layout):
        directive = found[1]
        literal = layout[at : found.start()]
        at = found.end()
        if directive in _DECIMALS:
            # A fraction may be missing, with its point, and may have any number of digits.
            parts += [_literal(literal[:-1]), "(?P<fraction>[.,][0-9]+)?"]
        else:
            parts += [_literal(literal), _READERS[directive]]
        names = re.findall(r"\?P<(\w+)>", parts[-1])
        if seen & set(names):
            raise ValueError(f"%{directive} and another directive say the same")
        seen.update(names)
    parts.append(_literal(layout[at:]))
    expression = "".join(parts)
    return expression.replace("(?P<S_>[.,][0-9]+)?(?P<fraction>", "(?P<fraction>")


def _literal(text: str) -> str:
    return re.sub(r"(\\ )+", "[ ]+", re.escape(text))


def _assembled(parts: dict[str, str]) -> TimeValue:
    year = int(parts["Y"]) if "Y" in parts else int(parts["y"]) + (1900 if int(parts["y"]) >= 69 else 2000)
    month = int(parts.get("m", "1"))
    if "b" in parts:
        names = [name for name in _MONTHS if parts["b"].lower() in (name.lower(), name[:3].lower())]
        month = _MONTHS.index(names[0]) + 1 if names else 0
    fraction = parts.get("fraction", parts.get("S_", ".0"))[1:10]
    try:
        moment = datetime(
            year,
            month,
            int(parts.get("d", "1")),
            int(parts.get("H", "0")),
            int(parts.get("M", "0")),
            int(parts.get("S", "0")),
            tzinfo=UTC,
        )
    except ValueError as error:
        raise EvaluationError("a date or time that does not exist") from error
    offset = _offset(parts.get("z", "Z"))
    return TimeValue((int(moment.timestamp()) - offset) * _NS + int(fraction.ljust(9, "0")), offset)


def _offset(zone: str) -> int:
    if zone == "Z":
        return 0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 24 or minutes >= 60:
        raise EvaluationError("a zone that does not exist")
    return (hours * 3600 + minutes * 60) * (-1 if zone[0] == "-" else 1)
