"""What limiters of one rate have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from policies.claims import Candidate, Settlement, Tick
from policies.contract import Context, Limiter
from policies.demand import TierParts
from policies.tokens import CAPS_NOTHING, TokenBucket


class BucketLimiter(Limiter):
    """Shares out the tokens of one bucket, which all partitions have together."""

    exchanges = True

    def __init__(self, config: Any, context: Context, *, rate: int, burst: int, field: str) -> None:
        """`burst` 0 is twice the `rate`, which the config calls `field`."""
        super().__init__(config, context)
        self._bucket = TokenBucket(rate, burst or 2 * rate)
        self._parts = TierParts(self)
        self.notes_beside_others = (CAPS_NOTHING,)
        if not rate:
            self.notes = (nothing_after_the_burst(field, burst),)

    def initial_state(self) -> dict[str, Any]:
        """A full bucket."""
        return self._bucket.initial_state()

    def settle(self, tick: Tick, candidates: Sequence[Candidate], state: dict[str, Any]) -> Settlement:
        """Shares out what the bucket holds."""
        parts = self._parts.of(tick, state, {"": self._bucket}, {"": candidates})
        return self._bucket.settle(tick, candidates, state, parts.get(""))


def nothing_after_the_burst(field: str, burst: int) -> str:
    """The note on a bucket that never refills."""
    return f"`{field}` is 0: keeps nothing" + (" once the burst is spent" if burst else "")
