"""Keeps so many bytes a second."""

from __future__ import annotations

from pydantic import Field

from policies.builtin._bucket import BucketLimiter
from policies.conditions import INT64_MAX
from policies.contract import Context, PolicyConfig
from policies.trace import TraceView


class BytesLimiting(BucketLimiter):
    """Keeps whole traces as long as they fit in a token bucket: `bytes_per_second`, saved up to the burst.

    A trace counts with its size on the wire as it arrived, protobuf, the resource of each received piece included.
    All else is as for `rate_limiting`.
    """

    type = "bytes_limiting"

    class Config(PolicyConfig):
        """Fields and defaults of the Collector."""

        bytes_per_second: int = Field(default=0, ge=0, le=INT64_MAX)
        """How many bytes a second are kept in the long run."""
        burst_capacity: int = Field(default=0, ge=0, le=INT64_MAX)
        """How many bytes may be saved up, and so be kept at once; 0 is twice `bytes_per_second`."""

    config: Config

    def __init__(self, config: Config, context: Context) -> None:
        rate, burst = config.bytes_per_second, config.burst_capacity
        super().__init__(config, context, rate=rate, burst=burst, field="bytes_per_second")

    def cost(self, trace: TraceView) -> float:
        """One token a byte."""
        return trace.size_bytes

    def describe(self) -> str:
        """Says what it keeps."""
        return f"at most {self._bucket.rate} bytes a second, {self._bucket.burst} at once"
