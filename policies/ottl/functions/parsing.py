"""Converters that read structured text."""
# ruff: noqa: N802 - converters bear the names of OTTL

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from policies.ottl.errors import EvaluationError
from policies.ottl.functions.base import TEXT, UNKNOWN, Param, converter, optional, prepared
from policies.ottl.getters import ANY, INT, STRING
from policies.ottl.gotext import MAX_TEXT, SPACES, bounded, short
from policies.ottl.kinds import INT64_MAX, INT64_MIN, PMap, PSlice, raw, text_of, type_name

MAX_JSON_DEPTH = 64
"""Levels of lists and objects inside one another; deeper JSON is an error."""
_NESTING = re.compile(r'[\[{\]}]|"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BASE64 = {
    "base64": (b"+/", True),
    "base64-raw": (b"+/", False),
    "base64-url": (b"-_", True),
    "base64-raw-url": (b"-_", False),
}
_TEXT_ENCODINGS = frozenset({"utf-8", "utf8", "ascii", "us-ascii", ""})
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@converter(target=STRING)
def ParseJSON(target: str) -> PMap | PSlice:
    """A JSON object or array as a map or list; all numbers are floats. What is no JSON is an error."""
    if len(target) > MAX_TEXT:
        raise EvaluationError(f"JSON of more than {MAX_TEXT} characters")
    if target.count("[") + target.count("{") > MAX_JSON_DEPTH and _depth(target) > MAX_JSON_DEPTH:
        raise EvaluationError(f"JSON nested deeper than {MAX_JSON_DEPTH} levels")
    if "\0" in target:
        raise EvaluationError("a string that is no JSON")
    try:
        parsed = _DECODER.decode(target)
    except ValueError:
        try:
            parsed = _DECODER.decode(_LOOSE.sub(_strict, target))
        except ValueError as error:
            raise EvaluationError("a string that is no JSON") from error
    if not isinstance(parsed, PMap | list):
        raise EvaluationError("JSON that is no object or array")
    result = _data(parsed)
    assert isinstance(result, PMap | PSlice)
    return result


def _depth(text: str) -> int:
    """How deep brackets are nested outside strings."""
    depth = deepest = 0
    for match in _NESTING.finditer(text):
        mark = match.group()
        if mark in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif mark in "]}":
            depth -= 1
    return deepest


def _number(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number out of range")
    return number


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")


def _strict(match: re.Match[str]) -> str:
    """A number that the Collector's reader takes too (01, 1., -.5) as JSON has it; strings as they are."""
    text = match.group()
    return text if text[0] == '"' else repr(_number(text))


def _object(pairs: list[tuple[str, Any]]) -> PMap:
    """Of a key that stands there twice the last one counts."""
    return PMap([(_sound(key), _data(value)) for key, value in dict(pairs).items()])


def _data(value: Any) -> Any:
    if isinstance(value, list):
        return PSlice([_data(item) for item in value])
    return _sound(value) if isinstance(value, str) else value


def _sound(text: str) -> str:
    """A string without halves of surrogate pairs."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


_SURROGATE = re.compile("[\ud800-\udfff]")
_LOOSE = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?|-\.[0-9]+(?:[eE][+-]?[0-9]+)?', re.DOTALL)
# As lenient as the Collector's reader: control characters may stand in strings.
_DECODER = json.JSONDecoder(
    parse_float=_number, parse_int=_number, parse_constant=_no_constant, object_pairs_hook=_object, strict=False
)


@prepared(target=STRING, delimiter=optional(TEXT), pair_delimiter=optional(TEXT))
def ParseKeyValue(known: Sequence[Any]) -> Callable[..., PMap]:
    """`a=1 b="x y"` as a map; other delimiters than `=` and space can be given. A part without one is an error."""
    delimiter = "=" if known[1] is None else known[1]
    between = " " if known[2] is None else known[2]
    if not delimiter or not between:
        raise ValueError("delimiters cannot be empty")
    if delimiter == between:
        raise ValueError(f"the delimiters of pairs and of key and value are both {delimiter!r}")

    def parse(target: str, *_: Any) -> PMap:
        if not target:
            raise EvaluationError("no key-value pairs in an empty string")
        pairs: dict[str, Any] = {}
        for part in _unquoted_parts(short(target), between):
            key, found, value = part.partition(delimiter)
            if not found:
                raise EvaluationError(f"a part without the delimiter {delimiter!r}")
            pairs[_trimmed(key)] = _trimmed(value)
        return PMap(list(pairs.items()))

    return parse


def _trimmed(text: str) -> str:
    return text.strip(SPACES)


def _unquoted_parts(text: str, delimiter: str) -> list[str]:
    """The parts between delimiters, quotes taken off; a quote after a backslash neither opens nor closes."""
    parts: list[str] = []
    current: list[str] = []
    quote, escaped, at = "", False, 0
    while at < len(text):
        char = text[at]
        if not quote and text.startswith(delimiter, at):
            if current:
                parts.append("".join(current))
                current = []
            at += len(delimiter)
            continue
        at += 1
        if not escaped:
            if not quote and char in "\"'":
                quote = char
                continue
            if char == quote:
                quote = ""
                continue
            escaped = char == "\\"
        else:
            escaped = False
        current.append(char)
    if quote:
        raise EvaluationError("a quote that is not closed")
    if current:
        parts.append("".join(current))
    return parts


@converter(target=STRING, base=INT)
def ParseInt(target: str, base: int) -> int:
    """An integer written in a base of 2 to 36 (0: by its prefix 0x, 0o, 0b); what is none is an error."""
    digits = target[1:] if target[:1] in ("+", "-") else target
    digits = digits.lower()
    if base == 0:
        prefix = {"0x": 16, "0o": 8, "0b": 2}.get(digits[:2])
        base = prefix or (8 if digits[:1] == "0" and len(digits) > 1 else 10)
        if "_" in digits:
            if not re.fullmatch(r"0[xob](_?[0-9a-f])+|[0-9](_?[0-9])*", digits) or len(digits) > 128:
                raise EvaluationError("a string that is no integer")
            digits = digits.replace("_", "")
        digits = digits[2:] if prefix else digits
    if not 2 <= base <= 36:
        raise EvaluationError(f"{base} is no base of numbers")
    significant = digits.lstrip("0")
    if not digits or len(significant) > 64 or not set(digits) <= set(_DIGITS[:base]):
        raise EvaluationError("a string that is no integer")
    number = int(significant or "0", base)
    number = -number if target[0] == "-" else number
    if not INT64_MIN <= number <= INT64_MAX:
        raise EvaluationError("an integer that does not fit 64 bits")
    return number


@converter(target=STRING)
def Base64Decode(target: str) -> str:
    """The string whose base64 this is; what is no base64 is an error. Superseded by Decode."""
    return _from_base64(raw(target), "base64")


@converter(target=STRING, variant=optional(STRING))
def Base64Encode(target: str, variant: str | None) -> str:
    """A string in "base64" (where left out), "base64-raw", "base64-url" or "base64-raw-url"."""
    name = "base64" if variant is None else variant
    if name not in _BASE64:
        raise EvaluationError(f"{name!r} is no variant of base64")
    alphabet, padded = _BASE64[name]
    encoded = base64.b64encode(raw(target), altchars=alphabet).decode()
    return bounded(encoded if padded else encoded.rstrip("="))


@prepared(target=ANY, encoding=Param(form=STRING))
def Decode(known: Sequence[Any]) -> Callable[[Any, str], str]:
    """A string or bytes decoded from "base64" (also -raw, -url, -raw-url) or "utf-8"; no other encodings."""
    if known[1] is not UNKNOWN and known[1] not in _BASE64 and known[1].lower() not in _TEXT_ENCODINGS:
        raise ValueError(f"the encoding {known[1]!r} is not supported: {', '.join(_BASE64)}, utf-8")
    return _decode


def _decode(target: Any, encoding: str) -> str:
    if not isinstance(target, str | bytes):
        raise EvaluationError(f"{type_name(target)} cannot be decoded")
    content = raw(target) if isinstance(target, str) else target
    if encoding in _BASE64:
        return _from_base64(content, encoding)
    if encoding.lower() not in _TEXT_ENCODINGS:
        raise EvaluationError(f"the encoding {encoding!r} is not supported")
    return content.decode("utf-8", "replace")


def _from_base64(content: bytes, name: str) -> str:
    alphabet, padded = _BASE64[name]
    content = content.replace(b"\r", b"").replace(b"\n", b"")
    digits = content.rstrip(b"=") if padded else content
    padding = len(content) - len(digits)
    if alphabet == b"-_":
        valid = not digits.translate(None, _URL_DIGITS)
        digits = digits.translate(_FROM_URL)
    else:
        valid = not digits.translate(None, _STANDARD_DIGITS)
    missing = -len(digits) % 4
    if not valid or missing == 3 or (padded and padding != missing):
        raise EvaluationError("a string that is no base64")
    return bounded(text_of(base64.b64decode(digits + b"=" * missing)))


_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_STANDARD_DIGITS, _URL_DIGITS = _LETTERS + b"+/", _LETTERS + b"-_"
_FROM_URL = bytes.maketrans(b"-_", b"+/")
