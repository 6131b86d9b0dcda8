"""Keeps traces by their root span."""

from __future__ import annotations

from policies.conditions import INT64_MAX, AllOf, IsRootSpan, SpanCondition, SpanDurationInRange, StatusIn, Where
from policies.contract import Context, Policy, PolicyConfig
from policies.fields import Milliseconds, StatusNames, status_numbers
from policies.intent import Intent
from policies.patterns import Patterns, attribute_like, either, name_like
from policies.rset import ALWAYS, NEVER
from policies.trace import TraceView

NS_PER_MS = 1_000_000


class Root(Policy):
    """Keeps a trace with a root span that meets every condition given; a trace whose root never came is not kept.

    Of several roots one must meet them all.
    """

    type = "root"

    class Config(PolicyConfig):
        """At least one of them; durations are those of the root span, end - start, both bounds inclusive."""

        services: Patterns = ()
        """Its `service.name`, a resource attribute, is one of these."""
        operations: Patterns = ()
        """Its name is one of these."""
        status_codes: StatusNames = ()
        """Its status is one of these: OK, ERROR, UNSET."""
        min_duration_ms: Milliseconds | None = None
        """It takes so many milliseconds or longer."""
        max_duration_ms: Milliseconds | None = None
        """It takes so many milliseconds or shorter."""

    config: Config

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        terms: list[SpanCondition] = [IsRootSpan()]
        if config.services:
            terms.append(attribute_like("service.name", config.services, Where.RESOURCE))
        if config.operations:
            terms.append(name_like(config.operations))
        if config.status_codes:
            terms.append(StatusIn(status_numbers(config.status_codes)))
        if config.min_duration_ms is not None or config.max_duration_ms is not None:
            low = (config.min_duration_ms or 0) * NS_PER_MS
            high = INT64_MAX if config.max_duration_ms is None else config.max_duration_ms * NS_PER_MS
            terms.append(SpanDurationInRange(low, high))
            if low > high:
                self.notes = ("keeps nothing: min_duration_ms is above max_duration_ms",)
        if len(terms) == 1:
            known = ", ".join(type(config).model_fields)
            raise ValueError(f"says nothing of the root span: give at least one of {known}")
        self._condition = AllOf(tuple(terms))
        self.conditions = (self._condition,)

    def evaluate(self, trace: TraceView) -> Intent:
        """ALWAYS or NEVER."""
        return ALWAYS if trace.matches(self._condition) else NEVER

    def describe(self) -> str:
        """Says what it keeps."""
        config = self.config
        parts = [
            f"of service {either(config.services)}" if config.services else "",
            f"named {either(config.operations)}" if config.operations else "",
            f"with status {' or '.join(config.status_codes)}" if config.status_codes else "",
            f"of {config.min_duration_ms} ms or longer" if config.min_duration_ms is not None else "",
            f"of {config.max_duration_ms} ms or shorter" if config.max_duration_ms is not None else "",
        ]
        return "a root span " + ", ".join(part for part in parts if part)
