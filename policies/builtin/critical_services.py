"""Keeps the traces of the services that matter most."""

from __future__ import annotations

from pydantic import Field

from policies.conditions import AllOf, StatusIn, Where
from policies.contract import Context, Policy, PolicyConfig
from policies.fields import Percentage
from policies.intent import Intent
from policies.patterns import Patterns, attribute_like, either
from policies.rset import NEVER, from_percentage
from policies.trace import TraceView

_ERROR = frozenset({2})


class CriticalServices(Policy):
    """Keeps traces, or a share of them, that have a span of one of the services (resource attribute `service.name`).

    With `only_errors` a span of such a service must have the status ERROR itself.
    """

    type = "critical_services"

    class Config(PolicyConfig):
        """Which services, and how much of them."""

        services: Patterns = Field(min_length=1)
        """Their names: each a text, {glob: "pay-*"} or {regex: "^pay-"}."""
        only_errors: bool = False
        """Keep only traces in which a span of such a service has the status ERROR."""
        sampling_percentage: Percentage = 100.0
        """Share of these traces that is kept."""

    config: Config

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        of_service = attribute_like("service.name", config.services, Where.RESOURCE)
        self._condition = AllOf((of_service, StatusIn(_ERROR))) if config.only_errors else of_service
        self._keep = from_percentage(config.sampling_percentage)
        self.conditions = (self._condition,)
        if not config.sampling_percentage:
            self.notes = ("keeps nothing: sampling_percentage is 0",)

    def evaluate(self, trace: TraceView) -> Intent:
        """The same threshold for every trace it speaks of."""
        return self._keep if trace.matches(self._condition) else NEVER

    def describe(self) -> str:
        """Says what it keeps."""
        percentage = self.config.sampling_percentage
        share = "" if percentage == 100 else f"{percentage:g} % of those with "
        what = "an error" if self.config.only_errors else "a span"
        return f"{share}{what} of service {either(self.config.services)}"
