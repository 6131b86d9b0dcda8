"""Overload: a partition that has fallen far behind refuses a share of its new traces before it holds anything of them.

A trace is refused by its R alone, the lower ones, so that no trace is split and none is judged by what one of its
records says. A refused trace is decided there and then, and remembered as any decision. Of a trace that is let in at a
share s, the set of R for which it is kept is cut to the upper 1 - s: so counts stay right. Traces that wait already are
left alone. The share follows how far behind the partition is, and so ends by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from policies.randomness import Randomness, RandomnessSource
from policies.rset import SPACE, upper
from policies.trace import Summary
from policies.verdict import Verdict

if TYPE_CHECKING:
    from sampler.engine.gathering import Record

REASON = "overload"
STEPS = 32
"""Shares are multiples of 1 / STEPS: few thresholds, so few different verdicts to remember."""


@dataclass(frozen=True, slots=True)
class OverloadRule:
    """When new traces are refused: from `lag_ms` behind on, until half of it is made good."""

    lag_ms: int
    """Between the time a record was written and now, when it is read."""
    max_share: float = 0.9
    """Largest share of new traces that is refused."""

    def share(self, lag_ms: int, *, active: bool) -> float:
        """What to refuse at this lag; `active` where something was refused until now."""
        if lag_ms < (self.lag_ms // 2 if active else self.lag_ms):
            return 0.0
        excess = (lag_ms - self.lag_ms / 2) / self.lag_ms
        return min(self.max_share, max(1, round(STEPS * excess * self.max_share)) / STEPS)


class Overload:
    """Refuses new traces of one partition, and knows of those that were let in meanwhile."""

    def __init__(self) -> None:
        self.share = 0.0
        """What is refused now, 0 to 1."""
        self.threshold = 0
        """The lowest R that is let in now; 0 lets everything in."""
        self.admitted: dict[bytes, int] = {}
        """The threshold at which each undecided trace was let in, where it was not 0."""
        self._verdicts: dict[tuple[int, RandomnessSource], Verdict] = {}

    def read(self, rule: OverloadRule | None, records: Sequence[Record], wall_ms: int) -> None:
        """These records are read now. How far behind that is the middle one of their times says: a few may be wrong."""
        times = sorted([record[1] for record in records]) if rule is not None else []
        self.update(rule, wall_ms - times[len(times) // 2] if times else 0)

    def update(self, rule: OverloadRule | None, lag_ms: int) -> None:
        """The partition is so far behind now."""
        self.share = rule.share(lag_ms, active=self.share > 0) if rule is not None else 0.0
        self.threshold = upper(round(self.share * SPACE))

    def refused(self, trace_id: bytes, summary: Summary, randomness: Randomness) -> Verdict | None:
        """The verdict on a new trace that is refused; None where it is let in, which is remembered."""
        value, source = randomness.of(trace_id, summary.rv, summary.has_threshold)
        if value >= self.threshold:
            self.admitted[trace_id] = self.threshold
            return None
        verdict = self._verdicts.get((self.threshold, source))
        if verdict is None:
            verdict = Verdict("not_sampled", self.threshold, None, source, REASON)
            self._verdicts[self.threshold, source] = verdict
        return verdict

    def take(self, trace_ids: Collection[bytes]) -> dict[bytes, int]:
        """The thresholds of these traces, which are decided now."""
        if not self.admitted:
            return {}
        taken = {trace_id: self.admitted[trace_id] for trace_id in trace_ids if trace_id in self.admitted}
        for trace_id in taken:
            del self.admitted[trace_id]
        return taken
