"""Keeps traces by what went wrong: the type of an exception, an HTTP status, a gRPC status."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, Field

from policies.aliases import SEMCONV
from policies.conditions import (
    AllOf,
    AnyOf,
    AttributeInRange,
    AttributeMatches,
    Matcher,
    NameIn,
    SpanCondition,
    Where,
)
from policies.contract import Context, Policy, PolicyConfig
from policies.intent import Intent, first_of
from policies.patterns import Patterns, attribute_like, either
from policies.rset import ALWAYS, NEVER
from policies.trace import TraceView

HTTP_ATTRIBUTES = SEMCONV.names("http.response.status_code")
GRPC_ATTRIBUTES = ("rpc.response.status_code", "rpc.grpc.status_code", "grpc.status_code")

GRPC_CODES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
# The statuses that OpenTelemetry's conventions for gRPC servers call errors of the server.
_SERVER_ERRORS = frozenset({2, 4, 12, 13, 14, 15})
GRPC_CLASSES = {
    "server_error": _SERVER_ERRORS,
    "client_error": frozenset(range(1, 17)) - _SERVER_ERRORS,
    "error": frozenset(range(1, 17)),
}


def http_statuses(wanted: Sequence[int | str]) -> frozenset[int]:
    """Statuses from codes and classes such as "5xx"; ValueError for anything else."""
    found: set[int] = set()
    for one in wanted:
        text = str(one)
        if len(text) == 3 and text[0] in "12345" and text[1:] in ("xx", "XX"):
            found.update(range(int(text[0]) * 100, int(text[0]) * 100 + 100))
        elif len(text) == 3 and text.isascii() and text.isdigit() and text[0] in "12345":
            found.add(int(text))
        else:
            raise ValueError(f"{one!r} is no HTTP status: write a code such as 503 or a class such as 5xx")
    return frozenset(found)


def grpc_statuses(wanted: Sequence[int | str]) -> frozenset[int]:
    """Statuses from names, numbers 0 to 16 and classes; ValueError for anything else."""
    found: set[int] = set()
    for one in wanted:
        text = str(one)
        if text in GRPC_CLASSES:
            found |= GRPC_CLASSES[text]
        elif text.upper() in GRPC_CODES:
            found.add(GRPC_CODES.index(text.upper()))
        elif text.isascii() and text.isdigit() and int(text) < len(GRPC_CODES):
            found.add(int(text))
        else:
            raise ValueError(
                f"{one!r} is no gRPC status: write a name such as UNAVAILABLE, a number from 0 to 16, "
                f"or one of the classes {', '.join(GRPC_CLASSES)}"
            )
    return frozenset(found)


def _checked_http(wanted: tuple[int | str, ...]) -> tuple[int | str, ...]:
    http_statuses(wanted)
    return wanted


def _checked_grpc(wanted: tuple[int | str, ...]) -> tuple[int | str, ...]:
    grpc_statuses(wanted)
    return wanted


class ErrorDetail(Policy):
    """Keeps a trace with a span of a listed exception type, HTTP status or gRPC status; any one is enough.

    Attributes are read under their old and new names, and as integer or text, whatever `attribute_aliases` says.
    """

    type = "error_detail"

    class Config(PolicyConfig):
        """At least one of the three lists."""

        exception_types: Patterns = ()
        """The attribute `exception.type` of an event named `exception`, or the span attribute `error.type`."""
        http_status: Annotated[tuple[int | str, ...], Field(strict=False), AfterValidator(_checked_http)] = ()
        """Codes such as 429 and classes such as 5xx."""
        grpc_status: Annotated[tuple[int | str, ...], Field(strict=False), AfterValidator(_checked_grpc)] = ()
        """Names such as UNAVAILABLE, numbers, and the classes error (all but OK), server_error, client_error."""

    config: Config

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        self._found: list[tuple[str, SpanCondition]] = []
        if config.exception_types:
            in_event = attribute_like("exception.type", config.exception_types, Where.EVENT)
            # One condition each: an expression that speaks of an event cannot hold for a span without events.
            self._found.append(("exception", AllOf((NameIn(frozenset({"exception"}), of_event=True), in_event))))
            self._found.append(("exception", attribute_like("error.type", config.exception_types, Where.SPAN)))
        if config.http_status:
            codes = http_statuses(config.http_status)
            self._found.append(("http_status", _status(HTTP_ATTRIBUTES, codes, {})))
        if config.grpc_status:
            codes = grpc_statuses(config.grpc_status)
            numbers = {name: number for number, name in enumerate(GRPC_CODES)}
            self._found.append(("grpc_status", _status(GRPC_ATTRIBUTES, codes, numbers)))
        if not self._found:
            raise ValueError("names no error: give at least one of exception_types, http_status and grpc_status")
        self.conditions = tuple(condition for _, condition in self._found)

    def evaluate(self, trace: TraceView) -> Intent:
        """ALWAYS or NEVER, under the name of the first list that fits."""
        return first_of([(kind, ALWAYS if trace.matches(condition) else NEVER) for kind, condition in self._found])

    def describe(self) -> str:
        """Says what it keeps."""
        config = self.config
        parts = [
            f"an exception of type {either(config.exception_types)}" if config.exception_types else "",
            f"HTTP status {' or '.join(map(str, config.http_status))}" if config.http_status else "",
            f"gRPC status {' or '.join(map(str, config.grpc_status))}" if config.grpc_status else "",
        ]
        return "a span with " + ", or ".join(part for part in parts if part)


def _status(names: Sequence[str], codes: frozenset[int], spelled: dict[str, int]) -> SpanCondition:
    """A span attribute of one of the names holds one of the codes, as integer, in digits or spelled out."""
    ranges = _ranges(codes)

    def test(value: str) -> bool:
        code = spelled.get(value.upper())
        if code is None and len(value) <= 3 and value.isascii() and value.isdigit():
            code = int(value)
        return code in codes

    matcher = Matcher(f"status {ranges} of {sorted(spelled)}", test)
    numbers = [AttributeInRange(name, low, high, Where.SPAN) for name in names for low, high in ranges]
    return AnyOf((*numbers, *(AttributeMatches(name, matcher, Where.SPAN) for name in names)))


def _ranges(codes: frozenset[int]) -> list[tuple[int, int]]:
    """The codes as inclusive ranges, in order."""
    ranges: list[tuple[int, int]] = []
    for code in sorted(codes):
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1] = (ranges[-1][0], code)
        else:
            ranges.append((code, code))
    return ranges
