"""Conditions of events that hold only where there is one."""

from __future__ import annotations

from policies.conditions import (
    AllOf,
    AnyOf,
    AttributeExists,
    AttributeIn,
    AttributeInRange,
    AttributeIs,
    AttributeMatches,
    FieldsMatch,
    NameIn,
    NameMatches,
    Negated,
    SpanCondition,
    Where,
)

_ANY_EVENT = Negated(NameIn(frozenset(), of_event=True))
"""Holds for every event: its name is not among none."""


def on_an_event(condition: SpanCondition) -> SpanCondition:
    """A condition that is asked once per event, also where it names nothing of the event."""
    return condition if _names_an_event(condition) else AllOf((_ANY_EVENT, condition))


def _names_an_event(condition: SpanCondition) -> bool:
    match condition:
        case AllOf(terms) | AnyOf(terms):
            return any(map(_names_an_event, terms))
        case Negated(term):
            return _names_an_event(term)
        case NameIn() | NameMatches() | FieldsMatch():
            return condition.of_event
        case AttributeIn() | AttributeMatches() | AttributeInRange() | AttributeIs() | AttributeExists():
            return bool(condition.where & Where.EVENT)
        case _:
            return False
