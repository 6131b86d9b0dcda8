"""From tokens to the tree of a condition: the grammar of the Collector's `pkg/ottl` (version 0.155), by descent.

`and` binds tighter than `or`, `not` tightest and at most once; comparisons do not chain; `*` and `/` bind tighter than
`+` and `-`. Whatever the input, the only exception is OttlError, and the depth of nesting is bounded.
"""

from __future__ import annotations

import math

from policies.ottl.errors import OttlError
from policies.ottl.lexer import Kind, Token, tokens_of
from policies.ottl.syntax import (
    And,
    Argument,
    Arithmetic,
    Asked,
    Call,
    Comparison,
    Condition,
    Constant,
    Enum,
    ListOf,
    Literal,
    MapOf,
    Minus,
    Not,
    Or,
    Path,
    Segment,
    Value,
)

MAX_NESTING = 32
"""Levels of brackets of all kinds inside one another."""
_INT64_MAX = 2**63 - 1
_OPERATORS = frozenset({Kind.ADD_SUB, Kind.MULT_DIV})


def parse(text: str) -> Condition:
    """The tree of one condition; raises OttlError."""
    parser = _Parser(text)
    condition = parser.condition()
    parser.end()
    return condition


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens_of(text)
        self._at = 0
        self._depth = 0

    # Conditions

    def condition(self) -> Condition:
        """One or more terms joined by `or`."""
        start = self._token.at
        terms = [self._conjunction()]
        while self._taken(Kind.OR):
            terms.append(self._conjunction())
        return terms[0] if len(terms) == 1 else Or(tuple(terms), start)

    def end(self) -> None:
        """Nothing may follow."""
        if self._token.kind is not Kind.END:
            raise self._unexpected("`and`, `or` or the end of the expression")

    def _conjunction(self) -> Condition:
        start = self._token.at
        terms = [self._term()]
        while self._taken(Kind.AND):
            terms.append(self._term())
        return terms[0] if len(terms) == 1 else And(tuple(terms), start)

    def _term(self) -> Condition:
        start = self._token.at
        if self._taken(Kind.NOT):
            if self._token.kind is Kind.NOT:
                raise self._error("`not` stands only once before a condition; write not (not …)")
            return Not(self._single(), start)
        return self._single()

    def _single(self) -> Condition:
        if self._token.kind is not Kind.LPAREN:
            return self._comparison()
        # A bracket opens either a value, as in (a + b) > c, or a condition: the reading that gets further is right.
        start, depth = self._at, self._depth
        try:
            return self._comparison()
        except OttlError as error:
            as_value, failed_at = error, self._at
        self._at, self._depth = start, depth
        try:
            self._open(Kind.LPAREN)
            inner = self.condition()
            self._close(Kind.RPAREN, "`)`")
        except OttlError:
            if failed_at > self._at:
                raise as_value from None
            raise
        return inner

    def _comparison(self) -> Condition:
        start = self._token.at
        left = self._value()
        operator = self._token
        if operator.kind is Kind.COMPARISON:
            self._at += 1
            return Comparison(left, operator.text, self._value(), start)
        if isinstance(left, Literal) and isinstance(left.value, bool):
            return Constant(left.value, start)
        if isinstance(left, Call) and self._text[start] == left.name[0]:  # a sign or bracket makes it a number
            return Asked(left, start)
        if operator.kind in _OPERATORS and isinstance(left, Literal) and isinstance(left.value, str):
            raise self._error('strings are joined by Concat(["a", "b"], "")')
        if operator.kind is Kind.EQUAL:
            raise self._error("comparison is written ==", "==")
        if operator.kind is Kind.UPPER and operator.at and self._text[operator.at - 1].islower():
            raise self._error("names of paths are written in small letters with underscores")
        raise self._unexpected("a comparison operator (==, !=, <, <=, >, >=)")

    # Values

    def _value(self) -> Value:  # noqa: PLR0911 - one line a kind of value
        token = self._token
        match token.kind:
            case Kind.NIL:
                self._at += 1
                return Literal(None, token.at)
            case Kind.STRING:
                self._at += 1
                return Literal(token.text, token.at)
            case Kind.BOOLEAN:
                self._at += 1
                return Literal(token.text == "true", token.at)
            case Kind.BYTES:
                self._at += 1
                if len(token.text) % 2:
                    raise OttlError("a bytes literal has two digits a byte", self._text, token.at)
                return Literal(bytes.fromhex(token.text[2:]), token.at)
            case Kind.LBRACE:
                return self._map()
            case Kind.UPPER if not self._call_ahead():
                return self._enum()
        if token.kind is Kind.PUNCT and token.text == "[":
            return self._list()
        return self._sum()

    def _enum(self) -> Enum:
        token = self._next()
        if self._token.kind is Kind.LOWER:
            name = token.text
            while self._token.kind in (Kind.UPPER, Kind.LOWER):
                name += self._next().text
            raise OttlError(f"{name} is called with brackets: {name}(…)", self._text, token.at)
        return Enum(token.text, token.at)

    def _list(self) -> ListOf:
        start = self._token.at
        self._open_punct("[")
        items: list[Value] = []
        while not self._is_punct("]") and not self._is_punct(","):
            items.append(self._value())
        while self._is_punct(","):
            self._at += 1
            items.append(self._value())
        self._close_punct()
        return ListOf(tuple(items), start)

    def _map(self) -> MapOf:
        start = self._token.at
        self._open(Kind.LBRACE)
        items: list[tuple[str, Value]] = []
        while self._token.kind is Kind.STRING:
            key = self._next().text
            if not self._taken(Kind.COLON):
                raise self._unexpected("`:` after the key of a map")
            items.append((key, self._value()))
            if self._is_punct(","):
                self._at += 1
        self._close(Kind.RBRACE, "a string as key, or `}`")
        return MapOf(tuple(items), start)

    def _sum(self) -> Value:
        start = self._token.at
        first = self._product()
        rest: list[tuple[str, Value]] = []
        while self._token.kind is Kind.ADD_SUB:
            operator = self._next().text
            rest.append((operator, self._product()))
        return Arithmetic(first, tuple(rest), start) if rest else first

    def _product(self) -> Value:
        start = self._token.at
        first = self._signed()
        rest: list[tuple[str, Value]] = []
        while self._token.kind is Kind.MULT_DIV:
            operator = self._next().text
            rest.append((operator, self._signed()))
        return Arithmetic(first, tuple(rest), start) if rest else first

    def _signed(self) -> Value:
        start = self._token.at
        sign = self._next().text if self._token.kind is Kind.ADD_SUB else ""
        if self._token.kind is Kind.LPAREN:
            self._open(Kind.LPAREN)
            inner = self._sum()
            self._close(Kind.RPAREN, "an operator or `)`")
            return Minus(inner, start) if sign == "-" else inner
        operand = self._operand()
        if sign and isinstance(operand, Literal):
            number = operand.value
            assert isinstance(number, int | float)
            return Literal(-number if sign == "-" else number, start)
        return Minus(operand, start) if sign == "-" else operand

    def _operand(self) -> Value:
        """A number, a call or a path."""
        token = self._token
        if token.kind is Kind.FLOAT:
            self._at += 1
            number = float(token.text)
            if math.isinf(number):
                raise OttlError("the number is too large for a float", self._text, token.at)
            return Literal(number, token.at)
        if token.kind is Kind.INT:
            self._at += 1
            if len(token.text) > 19 or int(token.text) > _INT64_MAX:
                raise OttlError("the number does not fit 64 bits, signed", self._text, token.at)
            return Literal(int(token.text), token.at)
        if token.kind is Kind.LOWER:
            if self._call_ahead():
                name = self._name()
                raise OttlError(
                    f"{name} is no converter: their names begin with a capital, and conditions change nothing",
                    self._text,
                    token.at,
                    None if name.islower() else name[0].upper() + name[1:],
                )
            return self._path()
        if token.kind is Kind.UPPER and self._call_ahead():
            return self._call()
        raise self._unexpected("a value")

    # Paths and calls

    def _path(self) -> Path:
        start = self._token.at
        segments = [self._segment()]
        while self._is_punct("."):
            self._at += 1
            if self._token.kind is not Kind.LOWER:
                raise self._unexpected("a name after the point")
            segments.append(self._segment())
        return Path(tuple(segments), start)

    def _segment(self) -> Segment:
        token = self._next()
        return Segment(token.text, self._keys(), token.at)

    def _keys(self) -> tuple[Value, ...]:
        keys: list[Value] = []
        while self._is_punct("["):
            self._open_punct("[")
            token = self._token
            if token.kind is Kind.STRING:
                self._at += 1
                keys.append(Literal(token.text, token.at))
            elif token.kind is Kind.INT:
                keys.append(self._operand())
            else:
                keys.append(self._sum())
            self._close_punct()
        return tuple(keys)

    def _call(self) -> Call:
        start = self._token.at
        name = self._name()
        self._open(Kind.LPAREN)
        arguments: list[Argument] = []
        if self._token.kind is not Kind.RPAREN:
            arguments.append(self._argument())
            while self._is_punct(","):
                self._at += 1
                arguments.append(self._argument())
        self._close(Kind.RPAREN, "`,` or `)`")
        return Call(name, tuple(arguments), self._keys(), start)

    def _argument(self) -> Argument:
        start = self._token.at
        end = self._at
        while self._tokens[end].kind in (Kind.UPPER, Kind.LOWER):
            end += 1
        name = ""
        if self._token.kind is Kind.LOWER and self._tokens[end].kind is Kind.EQUAL:
            name = self._name()
            self._at += 1
        return Argument(name, self._value(), start)

    def _name(self) -> str:
        """A name of one or more tokens, as the lexer cuts them."""
        name = ""
        while self._token.kind in (Kind.UPPER, Kind.LOWER):
            name += self._next().text
        return name

    def _call_ahead(self) -> bool:
        at = self._at
        while self._tokens[at].kind in (Kind.UPPER, Kind.LOWER):
            at += 1
        return self._tokens[at].kind is Kind.LPAREN

    # Tokens

    @property
    def _token(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _taken(self, kind: Kind) -> bool:
        if self._token.kind is not kind:
            return False
        self._at += 1
        return True

    def _is_punct(self, text: str) -> bool:
        return self._token.kind is Kind.PUNCT and self._token.text == text

    def _open(self, kind: Kind) -> None:
        assert self._token.kind is kind
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise self._error(f"more than {MAX_NESTING} brackets inside one another")
        self._at += 1

    def _close(self, kind: Kind, expected: str) -> None:
        if self._token.kind is not kind:
            raise self._unexpected(expected)
        self._at += 1
        self._depth -= 1

    def _open_punct(self, text: str) -> None:
        assert self._is_punct(text)
        self._open(Kind.PUNCT)

    def _close_punct(self) -> None:
        if not self._is_punct("]"):
            raise self._unexpected("`]`")
        self._at += 1
        self._depth -= 1

    def _unexpected(self, expected: str) -> OttlError:
        token = self._token
        if token.kind is Kind.ARROW:
            return self._error("lambda expressions are not supported; in a Collector they need a feature gate too")
        found = token.kind.value if token.kind is Kind.END else repr(self._text[token.at : self._end_of(token)])
        return self._error(f"expected {expected}, found {found}")

    def _end_of(self, token: Token) -> int:
        following = self._tokens[self._at + 1].at
        return min(token.at + len(self._text[token.at : following].rstrip()), token.at + 32)

    def _error(self, message: str, suggestion: str | None = None) -> OttlError:
        return OttlError(message, self._text, self._token.at, suggestion)
