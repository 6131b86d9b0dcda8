"""Keeps so many spans a second."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from policies.claims import Candidate, Settlement, Tick
from policies.conditions import INT64_MAX
from policies.contract import Context, Limiter, PolicyConfig
from policies.demand import TierParts
from policies.tokens import CAPS_NOTHING, TokenBucket
from policies.trace import TraceView


class RateLimiting(Limiter):
    """Keeps whole traces as long as their spans fit in a token bucket: `spans_per_second`, saved up to the burst.

    Time is stream time. Traces that are decided in the same tick share the tokens by their randomness, so that a kept
    trace has an exact probability; one with more spans than the burst is never kept. The rate is that of all
    partitions together, each of which has an equal part.
    """

    type = "rate_limiting"

    class Config(PolicyConfig):
        """Fields and defaults of the Collector."""

        spans_per_second: int = Field(default=0, ge=0, le=INT64_MAX)
        """How many spans a second are kept in the long run."""
        burst_capacity: int = Field(default=0, ge=0, le=INT64_MAX)
        """How many spans may be saved up, and so be kept at once; 0 is twice `spans_per_second`."""

    config: Config
    exchanges = True

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        self._bucket = TokenBucket(config.spans_per_second, config.burst_capacity or 2 * config.spans_per_second)
        self._parts = TierParts(self)
        self.notes_beside_others = (CAPS_NOTHING,)
        if not config.spans_per_second:
            self.notes = (nothing_after_the_burst("spans_per_second", config.burst_capacity),)

    def cost(self, trace: TraceView) -> float:
        """One token a span that arrived."""
        return trace.span_count

    def initial_state(self) -> dict[str, Any]:
        """A full bucket."""
        return self._bucket.initial_state()

    def settle(self, tick: Tick, candidates: Sequence[Candidate], state: dict[str, Any]) -> Settlement:
        """Shares out what the bucket holds."""
        parts = self._parts.of(tick, state, {"": self._bucket}, {"": candidates})
        return self._bucket.settle(tick, candidates, state, parts.get(""))

    def describe(self) -> str:
        """Says what it keeps."""
        return f"at most {self._bucket.rate} spans a second, {self._bucket.burst} at once"


def nothing_after_the_burst(field: str, burst: int) -> str:
    """The note on a bucket that never refills."""
    return f"`{field}` is 0: keeps nothing" + (" once the burst is spent" if burst else "")
