"""Numbers, times and JSON as the Collector writes them, wherever a value becomes a string.

JSON: keys sorted, no spaces, `<`, `>` and `&` escaped, numbers in the shortest form, bytes in base64; bytes by
themselves are hexadecimal digits. This is the output of goccy/go-json, which differs from the standard library's in
exponents.
"""

from __future__ import annotations

import base64
import math
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from policies.ottl.errors import EvaluationError
from policies.ottl.kinds import Duration, Identifier, Opaque, PlainInt, PMap, PSlice, Strings, Time, type_name

MAX_TEXT = 1 << 20
"""Characters of a string that an expression makes; a longer one is an error."""
MAX_SHORT = 16_384
"""Characters of a string that a converter goes through one by one in Python; a longer one is an error."""
MAX_DEPTH = 100
SPACES = (
    " \t\n\v\f\r\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""What Go calls white space."""
_NS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MIN_SECONDS = int((datetime(1, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds())
_MAX_SECONDS = int((datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - _EPOCH).total_seconds())
_ESCAPED = re.compile('["\\\\<>&\\x00-\\x1f\\u2028\\u2029\\ud800-\\udfff]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def bounded(text: str) -> str:
    """A string an expression made, if it is not too long."""
    if len(text) > MAX_TEXT:
        raise EvaluationError(f"a string of more than {MAX_TEXT} characters")
    return text


def short(text: str) -> str:
    """A string, if it can be gone through character by character."""
    if len(text) > MAX_SHORT:
        raise EvaluationError(f"a string of more than {MAX_SHORT} characters")
    return text


def text_like(value: Any) -> str:
    """A value that is not nil as a string: strings as they are, bytes in hexadecimal, everything else as JSON."""
    if type(value) is str:
        return value
    if type(value) is bytes:
        return value.hex()
    return bounded(json_text(value))


def json_text(value: Any, depth: int = 0) -> str:  # noqa: PLR0911, PLR0912 - one line a type
    """A value as JSON; raises EvaluationError for NaN, infinities and what is nested too deeply."""
    if depth > MAX_DEPTH:
        raise EvaluationError(f"a value nested deeper than {MAX_DEPTH} levels")
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return float_text(value)
        case str():
            return _quoted(value)
        case bytes():
            return f'"{base64.b64encode(value).decode()}"' if value else "null"
        case PSlice() if depth:
            return "{}"  # inside a list of an expression: a structure without exported fields
        case PMap() if depth:
            return "{}"
        case PSlice():
            return _data_text(value, depth)
        case PMap():
            return _data_text(value, depth)
        case list():
            return "[" + ",".join(json_text(item, depth + 1) for item in value) + "]"
        case Strings():
            return "[" + ",".join(map(_quoted, value.items)) + "]"
        case dict():
            return _object({key: json_text(item, depth + 1) for key, item in value.items()})
        case Time():
            return f'"{rfc3339(value)}"'
        case Duration():
            return str(value.ns)
        case Identifier():
            return "[" + ",".join(map(str, value.content)) + "]"
        case Opaque():
            return "{}"
        case PlainInt():
            return str(value.number)
        case _:
            raise EvaluationError(f"{type_name(value)} cannot become a string")


def _data_text(value: Any, depth: int) -> str:
    """A value of the data as JSON."""
    if depth > MAX_DEPTH:
        raise EvaluationError(f"a value nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, PSlice):
        return "[" + ",".join(_data_text(item, depth + 1) for item in value.items) + "]"
    if isinstance(value, PMap):
        return _object({key: _data_text(item, depth + 1) for key, item in value.pairs})
    return json_text(value)


def _object(items: dict[str, str]) -> str:
    keys = sorted(items, key=lambda key: key.encode("utf-8", "surrogateescape"))
    return "{" + ",".join(f"{_quoted(key)}:{items[key]}" for key in keys) + "}"


def _quoted(text: str) -> str:
    return '"' + _ESCAPED.sub(_escape, text) + '"'


def _escape(match: re.Match[str]) -> str:
    char = match.group()
    if char in _SHORT:
        return _SHORT[char]
    return "\\ufffd" if "\ud800" <= char <= "\udfff" else f"\\u{ord(char):04x}"


def float_text(number: float) -> str:
    """A float in the shortest form that reads back the same: with an exponent below 1e-6 and from 1e21 on."""
    if math.isnan(number) or math.isinf(number):
        raise EvaluationError("NaN and infinities cannot become JSON")
    if number and not 1e-6 <= abs(number) < 1e21:
        mantissa, _, exponent = f"{Decimal(repr(number)):e}".lower().partition("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return f"{mantissa}e{exponent[0]}{exponent[1:].zfill(2)}"
    text = format(Decimal(repr(number)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def calendar(time: Time) -> datetime:
    """A time in its zone, to the second; EvaluationError outside the years 1 to 9999."""
    seconds = time.ns // _NS
    if not _MIN_SECONDS <= seconds + time.offset_s <= _MAX_SECONDS or not _MIN_SECONDS <= seconds <= _MAX_SECONDS:
        raise EvaluationError("a time outside the years 1 to 9999")
    return (_EPOCH + timedelta(seconds=seconds + time.offset_s)).replace(tzinfo=None)


def rfc3339(time: Time) -> str:
    """A time as RFC 3339 with as many decimals as it has."""
    moment = calendar(time)
    nanoseconds = time.ns % _NS
    fraction = f".{nanoseconds:09d}".rstrip("0") if nanoseconds else ""
    hours, minutes = divmod(abs(time.offset_s) // 60, 60)
    zone = f"{'-' if time.offset_s < 0 else '+'}{hours:02d}:{minutes:02d}" if time.offset_s else "Z"
    return moment.isoformat(sep="T", timespec="seconds") + fraction + zone
