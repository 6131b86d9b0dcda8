"""Keeps traces by an integer attribute."""

from __future__ import annotations

from pydantic import Field

from policies.conditions import INT64_MAX, INT64_MIN, AttributeInRange
from policies.contract import Context, Policy, PolicyConfig
from policies.intent import Intent
from policies.rset import ALWAYS, NEVER
from policies.trace import TraceView


class NumericAttribute(Policy):
    """Keeps a trace with a span, or a resource of one, whose integer attribute `key` lies in the bounds, inclusive.

    With `invert_match` it keeps exactly the other traces, those without the attribute included.
    """

    type = "numeric_attribute"

    class Config(PolicyConfig):
        """Fields and defaults of the Collector: a bound of 0 is not set, so 0 cannot be a bound."""

        key: str = Field(min_length=1)
        """Name of the attribute; values that are no integers do not count."""
        min_value: int = Field(default=0, ge=INT64_MIN, le=INT64_MAX)
        """Lowest value; 0 is no lower bound."""
        max_value: int = Field(default=0, ge=INT64_MIN, le=INT64_MAX)
        """Highest value; 0 is no upper bound."""
        invert_match: bool = False
        """Keep the traces that have no such span."""

    config: Config

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        if not config.min_value and not config.max_value:
            raise ValueError(
                "at least one of min_value and max_value must be set to something other than 0 (0 means not set; "
                "write min_value: 1 for 'greater than 0', max_value: -1 for 'less than 0')"
            )
        low, high = config.min_value or INT64_MIN, config.max_value or INT64_MAX
        if low > high:
            self.notes = ("no value lies in the bounds: min_value is above max_value",)
        self._condition = AttributeInRange(config.key, low, high)
        self._hit, self._miss = (NEVER, ALWAYS) if config.invert_match else (ALWAYS, NEVER)
        self.conditions = (self._condition,)

    def evaluate(self, trace: TraceView) -> Intent:
        """ALWAYS or NEVER."""
        return self._hit if trace.matches(self._condition) else self._miss

    def describe(self) -> str:
        """Says what it keeps."""
        low = f"{self.config.min_value} <= " if self.config.min_value else ""
        high = f" <= {self.config.max_value}" if self.config.max_value else ""
        return f"{'no span' if self.config.invert_match else 'a span'} with {low}{self.config.key}{high}"
