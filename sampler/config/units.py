"""Durations in Go's form (`30s`, `1m30s`, `500ms`) and sizes with a binary suffix (`256KiB`), as pydantic types."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any

from pydantic import BeforeValidator, InstanceOf, PlainSerializer, WithJsonSchema

_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:h|ms|m|s|us|µs|ns))+")
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|m|s|us|µs|ns)")
_MS = {
    "h": Fraction(3_600_000),
    "m": Fraction(60_000),
    "s": Fraction(1000),
    "ms": Fraction(1),
    "us": Fraction(1, 1000),
    "µs": Fraction(1, 1000),
    "ns": Fraction(1, 1_000_000),
}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(B|KiB|MiB|GiB|TiB)?")
_SIZE_UNITS = {None: 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """A length of time in whole milliseconds, never negative. `str()` is Go's form."""

    ms: int

    @property
    def seconds(self) -> float:
        """The same in seconds."""
        return self.ms / 1000

    def __str__(self) -> str:
        if self.ms == 0:
            return "0s"
        hours, rest = divmod(self.ms, 3_600_000)
        minutes, rest = divmod(rest, 60_000)
        seconds, millis = divmod(rest, 1000)
        parts = ((hours, "h"), (minutes, "m"), (seconds, "s"), (millis, "ms"))
        return "".join(f"{count}{unit}" for count, unit in parts if count)


def parse_duration(value: Any) -> Duration:
    """A Duration from Go's form; ValueError with what to write instead. A bare 0 needs no unit."""
    if isinstance(value, Duration):
        return value
    if value in (0, "0") and not isinstance(value, bool):
        return Duration(0)
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"a duration needs a unit: write {value:g}s or {value:g}ms")
    if not isinstance(value, str):
        raise ValueError("must be a duration such as 30s, 500ms or 1m30s")
    if re.fullmatch(r"[0-9.]+", value):
        raise ValueError(f"a duration needs a unit: write {value}s or {value}ms")
    if value.startswith("-"):
        raise ValueError("a duration cannot be negative")
    if not _DURATION.fullmatch(value):
        raise ValueError("must be a duration such as 30s, 500ms or 1m30s (units h, m, s, ms)")
    total = sum(Fraction(number) * _MS[unit] for number, unit in _DURATION_PART.findall(value))
    if total.denominator != 1:
        raise ValueError("a duration must be a whole number of milliseconds")
    return Duration(int(total))


def parse_size(value: Any) -> int:
    """Bytes from a whole number or a text such as 256KiB; ValueError with what to write instead."""
    if isinstance(value, int) and not isinstance(value, bool):
        size = value
    elif isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        exact = Fraction(match.group(1)) * _SIZE_UNITS[match.group(2)]
        if exact.denominator != 1:
            raise ValueError("must be a whole number of bytes")
        size = int(exact)
    else:
        raise ValueError(
            "must be a size in bytes or with a suffix, such as 262144, 256KiB or 16MiB (KiB, MiB, GiB, TiB)"
        )
    if size < 0:
        raise ValueError("a size cannot be negative")
    return size


def positive_duration(value: Any) -> Duration:
    """As parse_duration, and more than nothing."""
    duration = parse_duration(value)
    if duration.ms == 0:
        raise ValueError("must be more than 0")
    return duration


_DURATION_SCHEMA = {
    "type": ["string", "integer"],
    "pattern": "^(0|([0-9]+(\\.[0-9]+)?(h|ms|m|s|us|µs|ns))+)$|^\\$\\{",
    "maximum": 0,
    "minimum": 0,
    "examples": ["30s", "500ms", "1m30s"],
}
_TO_TEXT = PlainSerializer(str, return_type=str, when_used="always")

DurationField = Annotated[
    InstanceOf[Duration], BeforeValidator(parse_duration), _TO_TEXT, WithJsonSchema(_DURATION_SCHEMA)
]
"""A duration that may be 0."""

PositiveDuration = Annotated[
    InstanceOf[Duration], BeforeValidator(positive_duration), _TO_TEXT, WithJsonSchema(_DURATION_SCHEMA)
]
"""A duration above 0."""

Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema(
        {
            "type": ["integer", "string"],
            "minimum": 0,
            "pattern": "^[0-9]+(\\.[0-9]+)?\\s*(B|KiB|MiB|GiB|TiB)?$|^\\$\\{",
            "examples": [262144, "256KiB", "16MiB"],
        }
    ),
]
"""A size in bytes."""
