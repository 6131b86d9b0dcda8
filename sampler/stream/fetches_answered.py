"""Up to when everything is known that was in the partitions of a broker, told from librdkafka's statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

_TROUBLE = ("rxerrs", "txerrs", "req_timeouts", "disconnects")
_UNREACHABLE = frozenset({"DOWN", "TRY_CONNECT", "CONNECT"})
UNREACHABLE_S = 45.0
"""Longer than Kafka waits for a follower that is gone (`replica.lag.time.max.ms`, 30 s, or the broker's session)."""


class _Look(NamedTuple):
    at_s: float
    sent: int
    trouble: int


class FetchesAnswered:
    """Tells until when a broker's answers to fetches are known to be complete, from how many it was sent.

    A broker gets one fetch after the other: when two more were sent, the first of them was sent after the look before
    and has been answered whole. That some bytes came lately would not do: they may be the beginning of a long answer.
    """

    def __init__(self) -> None:
        self._looks: dict[int, _Look] = {}
        self._unreachable_s: dict[int, float] = {}

    def look(self, brokers: Sequence[Mapping[str, Any]], now_s: float) -> dict[int, float]:
        """By broker: everything that was in its partitions at this time is known; brokers of which nothing new is known
        are absent.

        While a broker has just become unreachable, nothing is known of any: records that it has not copied yet lie in
        the partitions of others with earlier timestamps, and are shown when it is no longer waited for.
        """
        gone = {broker["nodeid"] for broker in brokers if broker["nodeid"] >= 0 and broker["state"] in _UNREACHABLE}
        self._unreachable_s = {broker: self._unreachable_s.get(broker, now_s) for broker in gone}
        known = {broker["nodeid"]: self.answered(broker, now_s) for broker in brokers}
        if any(now_s - since_s < UNREACHABLE_S for since_s in self._unreachable_s.values()):
            return {}
        return {broker: known_s for broker, known_s in known.items() if known_s is not None}

    def answered(self, statistics: Mapping[str, Any], now_s: float) -> float | None:
        """Everything that was in a broker's partitions at the returned time is known; None where nothing new is known.

        `statistics` are those of the broker, made at `now_s`.
        """
        broker = statistics["nodeid"]
        look = _Look(now_s, statistics["req"].get("Fetch", 0), sum(statistics.get(name, 0) for name in _TROUBLE))
        before = self._looks.get(broker)
        if before is None or look.trouble != before.trouble:
            # A fetch that failed is followed by another one, as if it had been answered.
            self._looks[broker] = look
            return None
        if look.sent < before.sent + 2:
            return None
        self._looks[broker] = look
        return before.at_s
