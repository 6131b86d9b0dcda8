"""Messages that the broker has refused, and when they are sent again."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TypeAlias

from sampler.engine.watermark import PendingSettlement

Headers: TypeAlias = list[tuple[str, str | bytes | None]]

FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class Sent:
    """A message of a settlement, `to` a partition (-1: any) of a topic. `source` is the partition it comes from."""

    topic: str
    key: bytes | None
    value: bytes
    to: int
    headers: Headers | None
    pending: PendingSettlement
    source: int


@dataclass(slots=True)
class Refusals:
    """What waits to be sent again: first one message as a probe, with a growing wait before each, and when the broker
    takes one, all the rest.

    `error` says what the broker last refused, and is empty while it takes everything.
    """

    error: str = ""
    _waiting: deque[Sent] = field(default_factory=deque)
    _under_way: int = 0
    _proved: bool = False
    _wait_s: float = FIRST_WAIT_S
    _next_s: float | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, sent: Sent, error: str) -> None:
        """The broker has refused this."""
        self.error = error
        self._waiting.append(sent)
        self._proved = False

    def due(self, now_s: float) -> list[Sent]:
        """What is to be sent again now; each of these is to be followed by `settled`."""
        if not self._waiting or (self._under_way and not self._proved):
            return []
        if self._proved:
            due = list(self._waiting)
            self._waiting.clear()
        else:
            if self._next_s is None:
                self._next_s = now_s + self._wait_s
                self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)
            if now_s < self._next_s:
                return []
            self._next_s = None
            due = [self._waiting.popleft()]
        self._under_way += len(due)
        return due

    def settled(self, taken: bool) -> None:
        """The broker has answered to one that was sent again; call `add` first where it refused it once more."""
        self._under_way -= 1
        if taken:
            self._proved = True
        self._rest()

    def drop(self, *, all_of_them: bool = False) -> list[Sent]:
        """Take out those that nobody waits for any more, or all."""
        dropped = [sent for sent in self._waiting if all_of_them or sent.pending.failed]
        if dropped:
            self._waiting = deque(sent for sent in self._waiting if not (all_of_them or sent.pending.failed))
            self._rest()
        return dropped

    def _rest(self) -> None:
        """Begin as new when nothing is left."""
        if not self._waiting and not self._under_way:
            self.error, self._proved, self._wait_s, self._next_s = "", False, FIRST_WAIT_S, None
