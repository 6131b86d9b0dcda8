"""What is wrong with a policy file, said so that the place can be found and the cure is known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TypeAlias

Loc: TypeAlias = tuple[str | int, ...]


class PolicyConfigError(ValueError):
    """A policy list that cannot be used.

    `loc` is the path of the culprit inside the list of policies, e.g. (2, "latency", "threshold_ms"); `suggestion` the
    nearest name where a name is unknown.
    """

    def __init__(self, loc: Loc, message: str, suggestion: str | None = None) -> None:
        super().__init__(f"{message}; did you mean {suggestion!r}?" if suggestion else message)
        self.loc = loc
        self.message = message
        self.suggestion = suggestion


class ContractError(RuntimeError):
    """A policy did what it has not declared: a fault of the policy, not of the trace."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that resembles `name` most, None where none does."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


PLAIN_WORDS = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be text (put it in quotes)",
    "string_too_short": "must not be empty",
    "list_type": "must be a list",
    "too_short": "must not be empty",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "finite_number": "must be a finite number",
}
"""What pydantic's kinds of errors mean to somebody who writes YAML."""
