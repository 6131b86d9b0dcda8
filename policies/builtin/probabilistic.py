"""Keeps a share of all traces."""

from __future__ import annotations

from pydantic import Field

from policies.contract import Context, Policy, PolicyConfig
from policies.intent import Intent
from policies.rset import from_percentage
from policies.trace import TraceView


class Probabilistic(Policy):
    """Keeps `sampling_percentage` per cent of all traces: those whose R is at or above T = (1 - p/100) * 2**56.

    All policies share R, so a trace that 5 % keep is also among any 10 %. `hash_salt` counts for the whole set.
    """

    type = "probabilistic"

    class Config(PolicyConfig):
        """Fields and defaults of the Collector; 0 and below keep nothing, 100 and above everything."""

        sampling_percentage: float = Field(default=0.0, allow_inf_nan=False)
        """Share of the traces that is kept, 0 to 100."""
        hash_salt: str = ""
        """Salt of the hash that the randomness of a trace is made of; without, "default-hash-seed"."""

    config: Config

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        self.hash_salt = config.hash_salt
        self._keep = from_percentage(config.sampling_percentage)
        clamped = min(max(config.sampling_percentage, 0.0), 100.0)
        if clamped != config.sampling_percentage:
            self.notes = (
                f"sampling_percentage {config.sampling_percentage:g} is not within 0 to 100: {clamped:g} counts",
            )

    def evaluate(self, trace: TraceView) -> Intent:
        """The same threshold for every trace."""
        return self._keep

    def describe(self) -> str:
        """Says what it keeps."""
        return f"{min(max(self.config.sampling_percentage, 0.0), 100.0):g} % of all traces"
