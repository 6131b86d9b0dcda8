"""Keeps so many bytes a second."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from policies.builtin.rate_limiting import nothing_after_the_burst
from policies.claims import Candidate, Settlement, Tick
from policies.conditions import INT64_MAX
from policies.contract import Context, Limiter, PolicyConfig
from policies.demand import TierParts
from policies.tokens import CAPS_NOTHING, TokenBucket
from policies.trace import TraceView


class BytesLimiting(Limiter):
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
    exchanges = True

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        self._bucket = TokenBucket(config.bytes_per_second, config.burst_capacity or 2 * config.bytes_per_second)
        self._parts = TierParts(self)
        self.notes_beside_others = (CAPS_NOTHING,)
        if not config.bytes_per_second:
            self.notes = (nothing_after_the_burst("bytes_per_second", config.burst_capacity),)

    def cost(self, trace: TraceView) -> float:
        """One token a byte."""
        return trace.size_bytes

    def initial_state(self) -> dict[str, Any]:
        """A full bucket."""
        return self._bucket.initial_state()

    def settle(self, tick: Tick, candidates: Sequence[Candidate], state: dict[str, Any]) -> Settlement:
        """Shares out what the bucket holds."""
        parts = self._parts.of(tick, state, {"": self._bucket}, {"": candidates})
        return self._bucket.settle(tick, candidates, state, parts.get(""))

    def describe(self) -> str:
        """Says what it keeps."""
        return f"at most {self._bucket.rate} bytes a second, {self._bucket.burst} at once"
