"""Notices that a worker stands still though it could go on: Faust has stalls of which it says nothing.

What Kafka does not let happen is no stall: while it cannot be reached, refuses outputs or rebalances the group, nothing
is counted here, and readiness and the log say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

LONGEST_STEP_S = 5.0
"""Of the time between two looks no more counts: a process that was stopped, or starved, could not go on either."""


@dataclass(frozen=True, slots=True)
class WatchdogLimits:
    """For how long each may last, in seconds; 0 is for ever."""

    stall_s: float = 120.0
    commit_s: float = 300.0
    recovery_s: float = 600.0


@dataclass(frozen=True, slots=True)
class PartitionView:
    """One partition of the span topic at one moment.

    `position` is the offset that is read next, `end` the one after the last record. `heard` says whether its broker was
    heard of lately, so that `end` is true. `stream_ms` is stream time, -1 before the first record, and `undecided` the
    number of traces that wait for it. `watermark` may be committed, `committed` is.
    """

    position: int
    end: int
    heard: bool
    stream_ms: int = -1
    undecided: int = 0
    watermark: int = 0
    committed: int = 0


@dataclass(frozen=True, slots=True)
class View:
    """What the watchdog sees. `fetches` counts those that have come back, `may_fetch` says whether spans are wanted.

    `member` says whether the group coordinator answers. `recovering` is how much of the tables is still to be read
    back, None where they are.
    """

    now_s: float
    wall_ms: int
    member: bool
    may_fetch: bool
    fetches: int
    recovering: int | None = None
    partitions: Mapping[int, PartitionView] = field(default_factory=dict)


class Timers:
    """For how long each of some things has stood at the same value, of the time that was looked at."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[object, float]] = {}

    def stand(self, step_s: float, values: Mapping[str, object]) -> dict[str, float]:
        """Seconds for which each value has not changed; what is not named begins anew when it is named again."""
        before = self._values
        self._values = {
            name: (value, before[name][1] + step_s if name in before and before[name][0] == value else 0.0)
            for name, value in values.items()
        }
        return {name: stood_s for name, (_, stood_s) in self._values.items()}


class Watchdog:
    """Looks at a worker about once a second."""

    def __init__(self, limits: WatchdogLimits) -> None:
        self._limits = limits
        self._looked_s: float | None = None
        self._fetching, self._commits, self._recovery = Timers(), Timers(), Timers()

    def look(self, view: View) -> str:
        """Why the process is to be ended; empty while all is well."""
        step_s = 0.0 if self._looked_s is None else min(view.now_s - self._looked_s, LONGEST_STEP_S)
        self._looked_s = view.now_s
        stalls = (
            (self._limits.stall_s, self._fetching.stand(step_s, self._what_should_move(view))),
            (self._limits.commit_s, self._commits.stand(step_s, self._what_should_be_committed(view))),
            (self._limits.recovery_s, self._recovery.stand(step_s, self._what_should_recover(view))),
        )
        for limit_s, stood in stalls:
            for what, stood_s in stood.items():
                if limit_s and stood_s >= limit_s:
                    return f"{what} for {stood_s:.0f} s"
        return ""

    @staticmethod
    def _what_should_move(view: View) -> dict[str, object]:
        """Values that stay the same only in a stall, by the sentence that says so."""
        if not (view.may_fetch and view.member and view.partitions):
            return {}
        values: dict[str, object] = {"no fetch of spans has come back": view.fetches}
        for number, partition in view.partitions.items():
            if not partition.heard or partition.position < 0:
                continue
            if partition.end > partition.position:
                values[f"partition {number}: nothing was read though records lie there"] = partition.position
            elif partition.undecided and 0 <= partition.stream_ms < view.wall_ms - 1000:
                values[f"partition {number}: its time stands still though traces wait"] = (
                    partition.position, partition.stream_ms,
                )  # fmt: skip
        return values

    @staticmethod
    def _what_should_be_committed(view: View) -> dict[str, object]:
        if not view.member or view.recovering is not None:
            return {}
        return {
            f"partition {number}: offset {partition.committed} is committed though more may be": partition.committed
            for number, partition in view.partitions.items()
            if partition.watermark > partition.committed
        }

    @staticmethod
    def _what_should_recover(view: View) -> dict[str, object]:
        if not view.member or view.recovering is None:
            return {}
        return {"the decision tables are not read back further": view.recovering}
