"""Keeps traces with a request that took longer than its route may take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from policies import NEVER, Context, Intent, Policy, PolicyConfig, TraceView
from policies.conditions import (
    AllOf,
    AnyOf,
    AttributeExists,
    AttributeIn,
    KindIn,
    Negated,
    SpanCondition,
    SpanDurationInRange,
    Where,
)
from policies.rset import from_percentage
from pydantic import Field, model_validator

SERVER = KindIn(frozenset({2}))
ROUTE = "http.route"

Milliseconds = Annotated[int, Field(ge=0)]


class RouteObjective(Policy):
    """Keeps traces in which a server span took longer than the objective of its `http.route`."""

    type = "route_objective"
    example: ClassVar[Mapping[str, Any]] = {
        "objectives_ms": {"/cart": 200, "/checkout": 800},
        "default_ms": 500,
        "percentage": 50.0,
    }

    class Config(PolicyConfig):
        """Objectives by route, one for all others, or both."""

        objectives_ms: dict[str, Milliseconds] = Field(default={})
        """Longest duration that meets the objective, in milliseconds, by the exact value of `http.route`."""
        default_ms: Milliseconds | None = None
        """The objective of routes that are not named; without, these are not looked at."""
        percentage: float = Field(default=100.0, gt=0, le=100)
        """Share of these traces that is kept."""

        @model_validator(mode="after")
        def _says_something(self) -> RouteObjective.Config:
            if not self.objectives_ms and self.default_ms is None:
                raise ValueError("names no objective: give objectives_ms, default_ms or both")
            return self

    config: Config

    def __init__(self, config: Config, context: Context) -> None:
        """All routes together are one condition: what it costs does not grow with their number at decision time."""
        super().__init__(config, context)
        missed: list[SpanCondition] = [
            AllOf((SERVER, AttributeIn(ROUTE, frozenset({route}), Where.SPAN), longer_than(objective_ms)))
            for route, objective_ms in config.objectives_ms.items()
        ]
        if config.default_ms is not None:
            named = AttributeIn(ROUTE, frozenset(config.objectives_ms), Where.SPAN)
            other = (AttributeExists(ROUTE, Where.SPAN), Negated(named))
            missed.append(AllOf((SERVER, *other, longer_than(config.default_ms))))
        self._missed = AnyOf(tuple(missed))
        self.conditions = (self._missed,)
        self._keep = from_percentage(config.percentage)

    def evaluate(self, trace: TraceView) -> Intent:
        """The share that is kept, as a set of R: the product writes the right weight on what it keeps."""
        return self._keep if trace.matches(self._missed) else NEVER

    def describe(self) -> str:
        """Which traces, in half a sentence."""
        objectives = [f"{route} {limit_ms} ms" for route, limit_ms in self.config.objectives_ms.items()]
        if self.config.default_ms is not None:
            objectives.append(f"others {self.config.default_ms} ms")
        return f"{self.config.percentage:g} % of the requests that miss their objective ({', '.join(objectives)})"


def longer_than(limit_ms: int) -> SpanDurationInRange:
    """A span that took longer than so many milliseconds, by a nanosecond at least."""
    return SpanDurationInRange(low_ns=limit_ms * 1_000_000 + 1)
