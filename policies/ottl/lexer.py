"""Cuts an OTTL expression into tokens: the rules and their order are those of the Collector's lexer.

The first rule that matches wins, not the longest, so `IsMatch` is four tokens (`I`, `s`, `M`, `atch`) that the parser
puts together again.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from policies.ottl.errors import OttlError

MAX_LENGTH = 16_384
"""Characters of one expression."""


class Kind(enum.Enum):
    """What a token is; the value is how it is called in messages."""

    BYTES = "bytes literal"
    FLOAT = "float"
    INT = "integer"
    STRING = "string"
    NIL = "nil"
    NOT = "not"
    OR = "or"
    AND = "and"
    COMPARISON = "comparison operator"
    ARROW = "=>"
    ADD_SUB = "operator + or -"
    MULT_DIV = "operator * or /"
    BOOLEAN = "boolean"
    EQUAL = "="
    LPAREN = "("
    RPAREN = ")"
    LBRACE = "{"
    RBRACE = "}"
    COLON = ":"
    PUNCT = "punctuation"
    UPPER = "name in capitals"
    LOWER = "name"
    UNDERSCORE = "_"
    END = "end of the expression"


_WORD_END = r"(?![0-9A-Za-z_])"
_RULES = (
    ("BYTES", r"0x[a-fA-F0-9]+"),
    ("FLOAT", r"([0-9]+\.[0-9]*|[0-9]*\.[0-9]+)([eE][-+]?[0-9]+)?"),
    ("INT", r"[0-9]+"),
    ("STRING", r'"(\\.|[^\\"])*"'),
    ("NIL", "nil" + _WORD_END),
    ("NOT", "not" + _WORD_END),
    ("OR", "or" + _WORD_END),
    ("AND", "and" + _WORD_END),
    ("COMPARISON", "==|!=|>=|<=|>|<"),
    ("ARROW", "=>"),
    ("ADD_SUB", r"[+\-]"),
    ("MULT_DIV", "[/*]"),
    ("BOOLEAN", "(true|false)" + _WORD_END),
    ("EQUAL", "="),
    ("LPAREN", r"\("),
    ("RPAREN", r"\)"),
    ("LBRACE", r"\{"),
    ("RBRACE", r"\}"),
    ("COLON", ":"),
    ("PUNCT", r"[,.\[\]]"),
    ("UPPER", "[A-Z][A-Z0-9_]*"),
    ("LOWER", "[a-z][a-z0-9_]*"),
    ("SPACE", r"[\t\n\f\r ]+"),
    ("UNDERSCORE", "_" + _WORD_END),
)
_TOKEN = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in _RULES))

_SIMPLE_ESCAPES = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    '"': '"',
}
_HEX_ESCAPES = {"x": 2, "u": 4, "U": 8}
_HINTS = {
    "'": 'strings stand in double quotes: "…"',
    "&": "write `and`",
    "|": "write `or`",
    "!": "write `not` before a condition, `!=` between values",
    "`": 'strings stand in double quotes: "…"',
    '"': "the string is not closed",
    "%": "there is no remainder operator",
    "$": "there are no variables; in a Collector's file `$$` stands for `$`",
}


@dataclass(frozen=True, slots=True)
class Token:
    """One token; `text` is its wording, that of a string without quotes and escapes."""

    kind: Kind
    text: str
    at: int


def tokens_of(text: str) -> list[Token]:
    """The tokens of an expression, the last of kind END; raises OttlError."""
    if len(text) > MAX_LENGTH:
        raise OttlError(f"the expression is longer than {MAX_LENGTH} characters", text[:MAX_LENGTH], MAX_LENGTH)
    tokens = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            hint = _HINTS.get(text[at])
            shown = text[at : at + 16]
            raise OttlError(f"cannot read {shown!r}{': ' + hint if hint else ''}", text, at)
        name = str(match.lastgroup)
        if name == "STRING":
            tokens.append(Token(Kind.STRING, _unquoted(text, at, match.end()), at))
        elif name != "SPACE":
            tokens.append(Token(Kind[name], match.group(), at))
        at = match.end()
    tokens.append(Token(Kind.END, "", len(text)))
    return tokens


def _unquoted(text: str, start: int, end: int) -> str:
    """The content of the string literal text[start:end]."""
    parts: list[str] = []
    at, stop = start + 1, end - 1
    while at < stop:
        char = text[at]
        if char != "\\":
            if "\ud800" <= char <= "\udfff":
                raise OttlError("the string holds half a surrogate pair", text, at)
            parts.append(char)
            at += 1
            continue
        part, length = _escape(text, at, stop)
        parts.append(part)
        at += length
    return "".join(parts)


def _escape(text: str, at: int, stop: int) -> tuple[str, int]:
    r"""(what the escape at `at` stands for, its length). As in the Collector, `\x` and octal give a code point."""
    char = text[at + 1]
    if char in _SIMPLE_ESCAPES:
        return _SIMPLE_ESCAPES[char], 2
    if char in _HEX_ESCAPES:
        digits = text[at + 2 : min(at + 2 + _HEX_ESCAPES[char], stop)]
        if len(digits) == _HEX_ESCAPES[char] and re.fullmatch("[0-9a-fA-F]+", digits):
            code = int(digits, 16)
            if code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF:
                return chr(code), 2 + len(digits)
    elif char in "01234567":
        digits = text[at + 1 : min(at + 4, stop)]
        if re.fullmatch("[0-7]{3}", digits) and int(digits, 8) <= 0xFF:
            return chr(int(digits, 8)), 4
    raise OttlError(f"unknown escape {text[at : at + 2]!r}: a backslash itself is written \\\\", text, at)
