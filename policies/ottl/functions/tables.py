"""Converters of rows and of lists of maps."""
# ruff: noqa: N802 - converters bear the names of OTTL

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from policies.ottl.errors import EvaluationError
from policies.ottl.functions.base import TEXT, TEXTS, optional, prepared
from policies.ottl.getters import SLICE, STRING
from policies.ottl.gotext import short
from policies.ottl.kinds import PMap, PSlice

_MODES = ("strict", "lazyQuotes", "ignoreQuotes")


@prepared(target=SLICE, key_path=optional(TEXTS), value_path=optional(TEXTS))
def SliceToMap(known: Sequence[Any]) -> Callable[..., PMap]:
    """A list as a map: keys from a path in the elements, else their numbers; values from a path, else the elements."""
    key_path, value_path = known[1], known[2]

    def convert(target: PSlice, *_: Any) -> PMap:
        pairs: dict[str, Any] = {}
        for place, element in enumerate(target.items):
            if not isinstance(element, PMap) and (key_path is not None or value_path is not None):
                raise EvaluationError("an element that is no map")
            key = str(place) if key_path is None else _at(element, key_path)
            if not isinstance(key, str):
                raise EvaluationError("a key that is no string")
            value = element if value_path is None else _at(element, value_path)
            pairs[key] = value
        return PMap(list(pairs.items()))

    return convert


def _at(element: Any, path: Sequence[str]) -> Any:
    if not path:
        raise EvaluationError("an empty path")
    for name in path:
        if not isinstance(element, PMap) or name not in element.first:
            raise EvaluationError("a path that the element does not have")
        element = element.first[name]
    return element


@prepared(
    target=STRING,
    header=STRING,
    delimiter=optional(TEXT),
    header_delimiter=optional(TEXT),
    mode=optional(TEXT),
)
def ParseCSV(known: Sequence[Any]) -> Callable[..., PMap]:
    """A row as a map by the names of a header; modes "strict" (where left out), "lazyQuotes" and "ignoreQuotes"."""
    for name, given in (("delimiter", known[2]), ("header_delimiter", known[3])):
        if given is not None and len(given) != 1:
            raise ValueError(f"{name} must be one character")
    delimiter = "," if known[2] is None else known[2]
    header_delimiter = delimiter if known[3] is None else known[3]
    mode = "strict" if known[4] is None else known[4]
    if mode not in _MODES:
        raise ValueError(f"invalid mode {mode!r}: one of {', '.join(_MODES)}")

    def parse(target: str, header: str, *_: Any) -> PMap:
        if not header:
            raise EvaluationError("an empty header")
        names = header.split(header_delimiter)
        row = short(target)
        fields = row.split(delimiter) if mode == "ignoreQuotes" else _fields(row, delimiter, lazy=mode == "lazyQuotes")
        if len(fields) != len(names):
            raise EvaluationError("a row with another number of fields than the header")
        return PMap(list(dict(zip(names, fields, strict=True)).items()))

    return parse


def _fields(row: str, delimiter: str, *, lazy: bool) -> list[str]:
    """The fields of a text whose lines are one row: a line break outside quotes belongs to the field it stands in."""
    if delimiter in '"\r\n\ufffd':
        raise EvaluationError("a delimiter that is none")
    lines = _Lines(row)
    joined: list[str] | None = None
    while (record := _record(lines, delimiter, lazy=lazy)) is not None:
        if joined is None:
            joined = record
        else:
            joined[-1] += "\n" + record[0]
            joined += record[1:]
    if joined is None:
        raise EvaluationError("no row")
    return joined


class _Lines:
    """The lines of a text, each with its line break, "" after the last."""

    def __init__(self, text: str) -> None:
        self._lines = _split(text)
        self._at = 0

    def next(self) -> str:
        """The next line."""
        if self._at >= len(self._lines):
            return ""
        self._at += 1
        return self._lines[self._at - 1]


def _split(text: str) -> list[str]:
    lines = [line + "\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    cut = [line[:-2] + "\n" if line.endswith("\r\n") else line for line in lines if line]
    if cut and cut[-1].endswith("\r"):
        cut[-1] = cut[-1][:-1]
    return cut


def _record(lines: _Lines, delimiter: str, *, lazy: bool) -> list[str] | None:
    line = lines.next()
    while line == "\n":
        line = lines.next()
    if not line:
        return None
    fields: list[str] = []
    try:
        _collect(fields, line, lines, delimiter, lazy=lazy)
    except EvaluationError:
        # As in the Collector, a fault behind the first field of a line cuts the line off there.
        if not fields:
            raise
    return fields


def _collect(fields: list[str], line: str, lines: _Lines, delimiter: str, *, lazy: bool) -> None:
    """Adds the fields of the record that begins with a line."""
    while True:
        if not line.startswith('"'):
            field, found, line = line.partition(delimiter)
            if not found:
                field = field.removesuffix("\n")
            if not lazy and '"' in field:
                raise EvaluationError("a quote inside a field")
            fields.append(field)
            if not found:
                return
            continue
        field, rest = _quoted(line[1:], lines, delimiter, lazy=lazy)
        fields.append(field)
        if rest is None:
            return
        line = rest


def _quoted(line: str, lines: _Lines, delimiter: str, *, lazy: bool) -> tuple[str, str | None]:
    """(a quoted field, what follows its delimiter); None where the row ends with it."""
    parts: list[str] = []
    while True:
        before, quote, rest = line.partition('"')
        parts.append(before)
        if quote:
            if rest.startswith('"'):
                parts.append('"')
                line = rest[1:]
            elif rest.startswith(delimiter):
                return "".join(parts), rest[len(delimiter) :]
            elif rest in ("", "\n"):
                return "".join(parts), None
            elif lazy:
                parts.append('"')
                line = rest
            else:
                raise EvaluationError("a quote inside a quoted field")
            continue
        line = lines.next()
        if not line:
            if not lazy:
                raise EvaluationError("a quote that is not closed")
            return "".join(parts), None
