"""Follows the sampling priority that Datadog's tracers give a trace."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from pydantic import Field

from policies.conditions import (
    AllOf,
    AnyOf,
    AttributeExists,
    FieldsMatch,
    FieldsMatcher,
    Matcher,
    Part,
    SpanCondition,
    TraceStateMatches,
    Where,
)
from policies.conditions import Field as SpanField
from policies.contract import Context, Policy, PolicyConfig
from policies.fields import Percentage
from policies.intent import Intent, first_of
from policies.rset import ALWAYS, NEVER, from_percentage
from policies.trace import TraceView

USER_KEEP, AUTO_KEEP, USER_REJECT = 2, 1, -1
ATTRIBUTES = ("_sampling_priority_v1", "sampling.priority")

_NUMBER = re.compile(r"[+-]?[0-9]{1,9}(?:\.0{0,9})?")
_DIGITS = re.compile(r"-?[0-9]{1,9}")


class Priority(Policy):
    """Keeps traces by sampling priority: 2 user keep, 1 automatic keep, 0 automatic reject, -1 user reject.

    Any span may carry it; what a user decided goes before what a tracer decided, and keep before reject: 2, -1, 1, 0.
    """

    type = "priority"

    class Config(PolicyConfig):
        """What the priorities mean, and where they stand."""

        auto_keep_percentage: Percentage = 100.0
        """Share of the traces of priority 1 that is kept."""
        user_reject: Literal["drop", "none"] = "drop"
        """What becomes of traces of priority -1: `drop` goes before all other policies, `none` leaves them to these."""
        attributes: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(strict=False)] = ATTRIBUTES
        """Span attributes that hold the priority, as integer, double or text."""
        tracestate: bool = True
        """Whether the tracestate entry `dd=s:<priority>` is read too."""

    config: Config

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        if not config.attributes and not config.tracestate:
            raise ValueError("no place to read the priority from: give attributes or tracestate: true")
        self._user_keep = carries(USER_KEEP, config.attributes, tracestate=config.tracestate)
        self._user_reject = carries(USER_REJECT, config.attributes, tracestate=config.tracestate)
        self._auto_keep = carries(AUTO_KEEP, config.attributes, tracestate=config.tracestate)
        self.conditions = (self._user_keep, self._user_reject, self._auto_keep)
        self._auto = from_percentage(config.auto_keep_percentage)
        if config.user_reject == "drop":
            self.veto = UserReject(self._user_keep, self._user_reject, context)

    def evaluate(self, trace: TraceView) -> Intent:
        """ALWAYS, the share of automatic keeps, or NEVER, under the name of the priority."""
        if trace.matches(self._user_keep):
            return first_of([("user_keep", ALWAYS)])
        if not trace.matches(self._user_reject) and trace.matches(self._auto_keep):
            return first_of([("auto_keep", self._auto)])
        return NEVER

    def describe(self) -> str:
        """Says what it keeps."""
        share = f"{self.config.auto_keep_percentage:g} % of those of priority 1 (automatic keep)"
        dropped = "; drops those of -1 (user reject)" if self.config.user_reject == "drop" else ""
        return f"traces of sampling priority 2 (user keep) and {share}{dropped}"


class UserReject(Policy):
    """Drops traces of priority -1 that no span gives priority 2."""

    type = "priority_user_reject"
    drops: ClassVar[bool] = True

    def __init__(self, keep: SpanCondition, reject: SpanCondition, context: Context) -> None:
        super().__init__(PolicyConfig(), context)
        self._keep, self._reject = keep, reject
        self.conditions = (keep, reject)

    def evaluate(self, trace: TraceView) -> Intent:
        """The R for which the trace is dropped: all or none."""
        rejected = trace.matches(self._reject) and not trace.matches(self._keep)
        return first_of([("user_reject", ALWAYS if rejected else NEVER)])

    def describe(self) -> str:
        """Says what it drops."""
        return "drops traces of sampling priority -1 (user reject)"


def carries(priority: int, attributes: tuple[str, ...], *, tracestate: bool) -> SpanCondition:
    """A span gives the priority; beyond both ends of the scale a number means the end."""

    def test(found: int | None) -> bool:
        return found is not None and min(max(found, USER_REJECT), USER_KEEP) == priority

    terms: list[SpanCondition] = [
        AllOf(
            (
                AttributeExists(name, Where.SPAN),  # few spans carry one, and this is cheaper to ask
                FieldsMatch(
                    (SpanField(Part.SPAN_ATTRIBUTE, name),),
                    FieldsMatcher(f"sampling priority {priority}", _on_value(test)),
                ),
            )
        )
        for name in attributes
    ]
    if tracestate:
        matcher = Matcher(f"dd=s:{priority}", lambda header: test(of_tracestate(header)))
        terms.append(TraceStateMatches(matcher))
    return terms[0] if len(terms) == 1 else AnyOf(tuple(terms))


def _on_value(test: Callable[[int | None], bool]) -> Callable[[tuple[bytes | None, ...]], bool]:
    return lambda values: values[0] is not None and test(of_value(AnyValue.FromString(values[0])))


def of_value(value: Any) -> int | None:
    """The priority that an attribute holds: a whole number as integer, double or text ("1", "1.000000"), else None."""
    match value.WhichOneof("value"):
        case "int_value":
            return int(value.int_value)
        case "double_value":
            return int(value.double_value) if value.double_value.is_integer() else None
        case "string_value":
            return int(float(value.string_value)) if _NUMBER.fullmatch(value.string_value) else None
        case _:
            return None


def of_tracestate(header: str) -> int | None:
    """The priority in the first `dd=` member of a tracestate header, e.g. `dd=s:2;o:rum`; None where there is none."""
    for member in header.split(","):
        key, _, value = member.strip(" \t").partition("=")
        if key == "dd":
            for field in value.split(";"):
                name, _, text = field.partition(":")
                if name == "s":
                    return int(text) if _DIGITS.fullmatch(text) else None
            return None
    return None
