"""Why spans are not fetched at this moment: told once when it begins and once when it ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

OUTPUTS_REFUSED = "outputs_refused"
OUTPUTS_SLOW = "outputs_slow"
DECISIONS_SLOW = "decisions_slow"
DISK_FULL = "disk_full"
MEMORY = "memory"
REASONS = (OUTPUTS_REFUSED, OUTPUTS_SLOW, DECISIONS_SLOW, DISK_FULL, MEMORY)

SAY_AFTER_S = {OUTPUTS_REFUSED: 0.0, OUTPUTS_SLOW: 5.0, DECISIONS_SLOW: 0.0, DISK_FULL: 0.0, MEMORY: 5.0}
"""A catch-up waits for its own outputs and for its spill now and then, for moments: that is no news."""
LONGEST_STEP_S = 5.0
"""A process that was stopped for longer was not held by what held it before and after."""


@dataclass(slots=True)
class _Pull:
    since_s: float
    detail: str
    said: bool = False


class Brakes:
    """The reasons in force. `seconds` is how long each has held, in all, until the last `update`."""

    def __init__(self) -> None:
        self._pulled: dict[str, _Pull] = {}
        self._looked_s: float | None = None
        self.seconds: Counter[str] = Counter()

    def update(self, now_s: float, holding: Mapping[str, str]) -> list[str]:
        """What holds now, with its details by reason. Returns what is to be said in the log."""
        step_s = 0.0 if self._looked_s is None else min(now_s - self._looked_s, LONGEST_STEP_S)
        self._looked_s = now_s
        lines = []
        for reason, pull in list(self._pulled.items()):
            self.seconds[reason] += step_s  # type: ignore[assignment]  # a Counter of seconds
            if reason not in holding:
                del self._pulled[reason]
                if pull.said:
                    lines.append(f"no longer held back by {reason}, after {now_s - pull.since_s:.1f} s")
        for reason, detail in holding.items():
            pull = self._pulled.setdefault(reason, _Pull(now_s, detail))
            pull.detail = detail
            if not pull.said and now_s - pull.since_s >= SAY_AFTER_S[reason]:
                pull.said = True
                lines.append(f"not fetching spans ({reason}): {detail}")
        return lines

    @property
    def holding(self) -> frozenset[str]:
        """The reasons that hold."""
        return frozenset(self._pulled)

    @property
    def said(self) -> str:
        """For readiness: what holds for long enough to be told, empty where nothing does."""
        return "; ".join(f"{reason}: {pull.detail}" for reason, pull in sorted(self._pulled.items()) if pull.said)
