"""Converters that look into strings or make new ones. Lengths and positions are those of bytes."""
# ruff: noqa: N802 - converters bear the names of OTTL

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from policies.ottl.errors import EvaluationError
from policies.ottl.functions.base import FLAG, TEXT, UNKNOWN, converter, many, optional, prepared
from policies.ottl.functions.lists import index_in_list
from policies.ottl.getters import ANY, INT, STRING, STRING_LIKE
from policies.ottl.gotext import MAX_TEXT, SPACES, bounded, short
from policies.ottl.kinds import PMap, Strings, raw, text_of
from policies.regex import Regex, RegexCache, RegexError

MAX_PARTS = 65_536
"""Parts that Split makes at most; more are an error."""


@prepared(target=STRING_LIKE, pattern=STRING)
def IsMatch(known: Sequence[Any]) -> Callable[[str | None, str], bool]:
    """Whether a value, as a string, matches a regular expression somewhere; nil never does."""
    regex_of = _regex(known[1])

    def is_match(target: str | None, pattern: str) -> bool:
        regex = regex_of(pattern)
        try:
            return target is not None and regex.found_in(raw(target))
        except RegexError as error:
            raise EvaluationError(str(error)) from error

    return is_match


@prepared(target=STRING, pattern=STRING)
def ExtractPatterns(known: Sequence[Any]) -> Callable[[str, str], PMap]:
    """The named groups of a regular expression's first match, as a map; an empty one where nothing matches."""
    regex_of = _regex(known[1])

    def extract(target: str, pattern: str) -> PMap:
        regex = regex_of(pattern)
        if not any(regex.names):
            raise EvaluationError("a regular expression without a named group")
        try:
            found = regex.groups_in(raw(target))
        except RegexError as error:
            raise EvaluationError(str(error)) from error
        groups = zip(regex.names, found or (), strict=found is not None)
        return PMap(list({name: text_of(group or b"") for name, group in groups if name}.items()))

    return extract


def _regex(pattern: Any) -> Callable[[str], Regex]:
    """The expression of a pattern: compiled at load where it is known, else as spans bring it."""
    if pattern is not UNKNOWN:
        try:
            compiled = Regex(pattern)
        except RegexError as error:
            raise ValueError(f"invalid regular expression: {error}") from error
        return lambda _: compiled
    cache = RegexCache()

    def get(text: str) -> Regex:
        try:
            return cache.get(text)
        except RegexError as error:
            raise EvaluationError(f"invalid regular expression: {error}") from error

    return get


@converter(vals=many(STRING_LIKE), delimiter=STRING)
def Concat(vals: list[str | None], delimiter: str) -> str:
    """Values as strings, joined by a delimiter; nil reads `<nil>`."""
    parts = ["<nil>" if part is None else part for part in vals]
    if sum(map(len, parts)) + len(delimiter) * len(parts) > 2 * MAX_TEXT:
        raise EvaluationError(f"a string of more than {MAX_TEXT} characters")
    return bounded(delimiter.join(parts))


@converter(target=STRING, delimiter=STRING)
def Split(target: str, delimiter: str) -> Strings:
    """The parts of a string between delimiters, to be indexed or measured; with "" its characters."""
    if not delimiter:
        if len(target) > MAX_PARTS:
            raise EvaluationError(f"more than {MAX_PARTS} parts")
        return Strings(list(target))
    content, separator = raw(target), raw(delimiter)
    if content.count(separator) >= MAX_PARTS:
        raise EvaluationError(f"more than {MAX_PARTS} parts")
    return Strings([text_of(part) for part in content.split(separator)])


@converter(target=STRING, start=INT, length=INT, utf8_safe=optional(FLAG))
def Substring(target: str, start: int, length: int, utf8_safe: bool | None) -> str:
    """`length` bytes from byte `start` on; an error where the string is shorter. Safe: whole characters only."""
    if start < 0 or length <= 0:
        raise EvaluationError("a substring that begins below 0 or has no length")
    content = raw(target)
    end = start + length
    if end > len(content):
        raise EvaluationError("a substring beyond the end of the string")
    if utf8_safe:
        while start < len(content) and content[start] & 0xC0 == 0x80:
            start += 1
        while start < end < len(content) and content[end] & 0xC0 == 0x80:
            end -= 1
        end = max(end, start)
    return text_of(content[start:end])


@converter(target=STRING, prefix=STRING)
def HasPrefix(target: str, prefix: str) -> bool:
    """Whether a string begins with another one."""
    return raw(target).startswith(raw(prefix))


@converter(target=STRING, suffix=STRING)
def HasSuffix(target: str, suffix: str) -> bool:
    """Whether a string ends with another one."""
    return raw(target).endswith(raw(suffix))


@converter(target=STRING, prefix=STRING)
def TrimPrefix(target: str, prefix: str) -> str:
    """A string without a prefix, where it has it."""
    return text_of(raw(target).removeprefix(raw(prefix)))


@converter(target=STRING, suffix=STRING)
def TrimSuffix(target: str, suffix: str) -> str:
    """A string without a suffix, where it has it."""
    return text_of(raw(target).removesuffix(raw(suffix)))


@converter(target=STRING, replacement=optional(TEXT))
def Trim(target: str, replacement: str | None) -> str:
    """A string without the characters of `replacement` (spaces where it is left out) at both ends."""
    return target.strip(" " if replacement is None else replacement)


@prepared(target=STRING, to_case=TEXT)
def ConvertCase(known: Sequence[Any]) -> Callable[[str, str], str]:
    """A string in another case: "lower", "upper", "snake" or "camel"."""
    cases = {"lower": lower, "upper": upper, "snake": snake, "camel": camel}
    if known[1] not in cases:
        raise ValueError(f"invalid case {known[1]!r}: one of lower, upper, snake, camel")
    change = cases[known[1]]
    return lambda target, _: change(target)


@converter(target=STRING)
def ToLowerCase(target: str) -> str:
    """A string in lower case."""
    return lower(target)


@converter(target=STRING)
def ToUpperCase(target: str) -> str:
    """A string in upper case."""
    return upper(target)


@converter(target=STRING)
def ToSnakeCase(target: str) -> str:
    """A string in snake case: someName becomes some_name."""
    return snake(target)


@converter(target=STRING)
def ToCamelCase(target: str) -> str:
    """A string in camel case: some_name becomes SomeName."""
    return camel(target)


@converter(target=STRING_LIKE)
def IsValidLuhn(target: str | None) -> bool:
    """Whether digits pass the check of credit card numbers; other characters than digits and spaces are an error."""
    if target is None:
        raise EvaluationError("nil has no digits")
    return luhn(short(target))


def luhn(text: str) -> bool:
    """The Luhn check of a string of digits and spaces."""
    digits = text.replace(" ", "")
    if not digits:
        return False
    if not (digits.isascii() and digits.isdigit()):
        raise EvaluationError("a string with something else than digits and spaces")
    total = 0
    for place, digit in enumerate(reversed(digits)):
        number = int(digit) * (2 if place % 2 else 1)
        total += number - 9 if number > 9 else number
    return total % 10 == 0


def lower(text: str) -> str:
    """Each character in lower case, one for one, as Go's strings.ToLower."""
    changed = text.replace("\u03a3", "\u03c3").lower()  # str.lower knows the form of a sigma at the end of a word
    return changed if len(changed) == len(text) else "".join(map(_lower, short(text)))


def upper(text: str) -> str:
    """Each character in upper case, one for one, as Go's strings.ToUpper."""
    changed = text.upper()
    return changed if len(changed) == len(text) else "".join(map(_upper, short(text)))


def _lower(char: str) -> str:
    changed = char.lower()
    return changed if len(changed) == 1 else changed[0]


def _upper(char: str) -> str:
    changed = char.upper()
    if len(changed) == 1:
        return changed
    title = char.title()
    return title if len(title) == 1 else char


_SEPARATORS = frozenset(" _-.")


def snake(text: str) -> str:
    """snake_case by the rules of the library that the Collector uses: acronyms and numbers are words."""
    text = short(text).strip(SPACES)
    out: list[str] = []
    for at, char in enumerate(text):
        following = text[at + 1] if at + 1 < len(text) else ""
        is_cap, is_low, is_num = "A" <= char <= "Z", "a" <= char <= "z", "0" <= char <= "9"
        next_cap, next_low = "A" <= following <= "Z", "a" <= following <= "z"
        next_num = "0" <= following <= "9"
        low = char.lower() if is_cap else char
        changes = (
            (is_cap and (next_low or next_num))
            or (is_low and (next_cap or next_num))
            or (is_num and (next_cap or next_low))
        )
        if following and changes:
            if is_cap and next_low and at and "A" <= text[at - 1] <= "Z":
                out.append("_")
            out.append(low)
            if is_low or is_num or next_num:
                out.append("_")
        else:
            out.append("_" if char in _SEPARATORS else low)
    return "".join(out)


def camel(text: str) -> str:
    """CamelCase by the rules of the library that the Collector uses; all but ASCII letters and digits fall away."""
    text = short(text).strip(SPACES)
    if text == "ID":
        return "Id"
    out: list[str] = []
    capital_next, previous_cap = True, False
    for char in text:
        is_cap, is_low, is_num = "A" <= char <= "Z", "a" <= char <= "z", "0" <= char <= "9"
        shown = char
        if capital_next:
            shown = char.upper() if is_low else char
        elif previous_cap and is_cap:
            shown = char.lower()
        previous_cap = is_cap
        if is_cap or is_low:
            out.append(shown)
            capital_next = False
        elif is_num:
            out.append(shown)
            capital_next = True
        else:
            capital_next = char in _SEPARATORS
    return "".join(out)


@converter(target=ANY, value=ANY)
def Index(target: Any, value: Any) -> int:
    """The position of a string in a string, or of a value in a list; -1 where it is not there."""
    if isinstance(target, str):
        if not isinstance(value, str):
            raise EvaluationError("only a string can be looked for in a string")
        return raw(target).find(raw(value))
    return index_in_list(target, value)
