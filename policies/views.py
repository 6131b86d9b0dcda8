"""Views of a trace that hold a policy to what it declares to read.

Answers of `Reads.CONDITIONS` policies are memoised by the outcome of the declared conditions; one that looked at
anything else would give a wrong answer for the next trace, silently. So it cannot look.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from policies.conditions import Condition
from policies.errors import ContractError
from policies.trace import TraceView


class ConditionsView(TraceView):
    """A trace of which only declared conditions can be asked; everything else raises ContractError."""

    __slots__ = ("_declared", "_view")

    def __init__(self, view: TraceView, declared: frozenset[Condition]) -> None:
        self._view = view  # the slots of the base class stay empty: reading one ends in __getattr__
        self._declared = declared

    def matches(self, condition: Condition) -> bool:
        """Whether a declared condition holds."""
        if condition not in self._declared:
            raise ContractError(f"asks for a condition that is not among its `conditions`: {condition}")
        return self._view.matches(condition)

    def __getattr__(self, name: str) -> NoReturn:
        """What the base class would offer."""
        raise ContractError(f"reads trace.{name.lstrip('_')}: declare `reads = Reads.SUMMARY` (Reads.SPANS for spans)")


def no_spans() -> Sequence[Any]:
    """The loader of views for policies that have not declared that they read spans."""
    raise ContractError("reads trace.spans: declare `reads = Reads.SPANS`")


class Loader:
    """Loads the spans of a trace once, and tells a failing store from a failing policy."""

    __slots__ = ("_clock_s", "_load", "failure", "seconds")

    def __init__(self, load: Callable[[], Sequence[Any]], clock_s: Callable[[], float] | None = None) -> None:
        self._load = load
        self._clock_s = clock_s
        self.failure: Exception | None = None
        self.seconds = 0.0
        """Time that loading took, where there is a clock: it is not the policy's either."""

    def __call__(self) -> Sequence[Any]:
        """The spans; a failure is kept for the caller of the policy, because it is not the policy's."""
        began_s = self._clock_s() if self._clock_s else 0.0
        try:
            return self._load()
        except Exception as failure:
            self.failure = failure
            raise
        finally:
            if self._clock_s:
                self.seconds += self._clock_s() - began_s
