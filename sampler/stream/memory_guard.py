"""How much a worker may grow: what to do at a resident size, given a limit."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

SLACK = 0.05
"""A level is left only when the size has fallen by this share of the limit below where it began."""


class Level(IntEnum):
    """How near the limit a process is."""

    CALM = 0
    SOFT = 1
    """Fetch in small portions, spill what is above a lower memory limit."""
    HARD = 2
    """Fetch nothing, spill all, and where that is not enough for long decide the oldest traces early."""


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """Where the levels begin, in bytes; 0 is no limit."""

    limit_bytes: int = 0
    soft_share: float = 0.75
    hard_share: float = 0.9

    @property
    def soft_bytes(self) -> int:
        """The size at which the soft measures begin."""
        return int(self.limit_bytes * self.soft_share)

    @property
    def hard_bytes(self) -> int:
        """The size at which the hard measures begin."""
        return int(self.limit_bytes * self.hard_share)


class MemoryGuard:
    """The level of a process, from its sizes one after another.

    `exhausted` is true while it is at the hard level and nothing that could be given up is left: then the limit is too
    small for the process, and to hold it still would end nothing.
    """

    def __init__(self, limits: MemoryLimits) -> None:
        self.limits = limits
        self.level = Level.CALM
        self.exhausted = False

    def look(self, used_bytes: int) -> Level:
        """The level at this size."""
        limits = self.limits
        if not limits.limit_bytes:
            return self.level
        slack = int(limits.limit_bytes * SLACK)
        stays_hard = self.level == Level.HARD and used_bytes > limits.hard_bytes - slack
        stays_soft = self.level >= Level.SOFT and used_bytes > limits.soft_bytes - slack
        if used_bytes > limits.hard_bytes or stays_hard:
            self.level = Level.HARD
        elif used_bytes > limits.soft_bytes or stays_soft:
            self.level = Level.SOFT
        else:
            self.level = Level.CALM
        self.exhausted = self.exhausted and self.level == Level.HARD
        return self.level

    def nothing_left(self) -> None:
        """At this level there was nothing that could be given up."""
        self.exhausted = self.level == Level.HARD

    @property
    def stops_fetching(self) -> bool:
        """Whether nothing is to be fetched: what still can be given up will make room."""
        return self.level == Level.HARD and not self.exhausted

    @property
    def table_share(self) -> float:
        """The share of the configured memory of the trace table that may be used."""
        return (1.0, 0.5, 0.0)[self.level]

    @property
    def fetch_share(self) -> float:
        """The share of the usual size of a fetch."""
        return (1.0, 0.25, 0.25)[self.level]
