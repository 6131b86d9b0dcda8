"""Keeps so many spans a second."""

from __future__ import annotations

from pydantic import Field

from policies.builtin._bucket import BucketLimiter
from policies.conditions import INT64_MAX
from policies.contract import Context, PolicyConfig
from policies.trace import TraceView


class RateLimiting(BucketLimiter):
    """Keeps whole traces as long as their spans fit in a token bucket: `spans_per_second`, saved up to the burst.

    Time is stream time. Traces that are decided in the same tick share the tokens by their randomness, so that a kept
    trace has an exact probability; one with more spans than the burst is never kept. The rate is that of all
    partitions together, each of which has the part that it has in the demand.
    """

    type = "rate_limiting"

    class Config(PolicyConfig):
        """Fields and defaults of the Collector."""

        spans_per_second: int = Field(default=0, ge=0, le=INT64_MAX)
        """How many spans a second are kept in the long run."""
        burst_capacity: int = Field(default=0, ge=0, le=INT64_MAX)
        """How many spans may be saved up, and so be kept at once; 0 is twice `spans_per_second`."""

    config: Config

    def __init__(self, config: Config, context: Context) -> None:
        rate, burst = config.spans_per_second, config.burst_capacity
        super().__init__(config, context, rate=rate, burst=burst, field="spans_per_second")

    def cost(self, trace: TraceView) -> float:
        """One token a span that arrived."""
        return trace.span_count

    def describe(self) -> str:
        """Says what it keeps."""
        return f"at most {self._bucket.rate} spans a second, {self._bucket.burst} at once"
