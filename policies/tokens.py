"""A bucket of tokens in stream time, for limiters that grant a rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from policies.claims import Admission, Candidate, Chance, Settlement, Tick, admit, give_chances

CAPS_NOTHING = (
    "caps nothing here: a trace is kept if any policy of the list keeps it, so this one only adds traces to those of "
    "the others. To limit what another policy keeps, put both into an `and`"
)
"""The note on a limiter that stands beside other policies."""
BUDGET_HELPS = "; `budget` limits all that is kept together"
"""What follows it where there is no budget."""


@dataclass(frozen=True, slots=True)
class Part:
    """The part of a bucket that one partition has: `share` since `since_ms` of stream time, `before` until then."""

    share: float
    before: float
    since_ms: int

    def share_ms(self, from_ms: int, to_ms: int) -> float:
        """The share, added up over each millisecond of a span of stream time."""
        changed_ms = min(max(self.since_ms, from_ms), max(to_ms, from_ms))
        return (changed_ms - from_ms) * self.before + max(0, to_ms - changed_ms) * self.share


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """`rate` tokens per second of stream time, of which up to `burst` are saved; it starts full.

    Both are of all partitions together; one partition refills and saves its part of them, which may be less than one
    trace costs. So a partition that has only a share goes into debt for the topmost trace of a tick. In debt it gives
    every trace a chance, at which all together take half of what was refilled, and pays back with the other half. In
    the long run it grants its share of `rate`.
    """

    rate: float
    burst: float

    def initial_state(self) -> dict[str, Any]:
        """A full bucket, whatever the share."""
        return {"tokens_milli": None, "at_ms": None}

    def settle(
        self, tick: Tick, candidates: Sequence[Candidate], state: dict[str, Any], part: Part | None = None
    ) -> Settlement:
        """Refills the bucket up to the tick, shares it out, and takes from it what the kept candidates cost.

        `part` is the partition's part of the tokens, without it `tick.share`. Thousandths are counted, so that whole
        rates and whole milliseconds lose nothing to rounding.
        """
        part = part or Part(tick.share, tick.share, tick.ms)
        full = level = self.burst * 1000 * part.share
        refilled = 0.0
        if state["tokens_milli"] is not None:
            refilled = part.share_ms(state["at_ms"], tick.ms) * self.rate
            level = min(full, state["tokens_milli"] + refilled)
        settlement: Admission | Chance
        if tick.share < 1 and level <= 0:
            settlement = give_chances(candidates, refilled / 2000, self.burst)
        else:
            settlement = admit(candidates, level / 1000, self.burst, debt=tick.share < 1)
        at_ms = tick.ms if state["at_ms"] is None else max(tick.ms, state["at_ms"])
        state.update(tokens_milli=level - settlement.spent * 1000, at_ms=at_ms)
        return settlement
