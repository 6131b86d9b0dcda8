"""How much a sender may send in a second."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

MOST_SENDERS = 10_000
"""Senders that are remembered; headers may name any number of tenants."""


@dataclass(slots=True)
class _Allowance:
    """What is left, as of `at_s`; below zero what was taken in advance."""

    requests: float
    size: float
    at_s: float


class Rates:
    """Token buckets by sender, of requests and bytes; each holds what one second brings. A rate of 0 is no limit."""

    def __init__(self, requests_per_s: float, bytes_per_s: float) -> None:
        self._requests_per_s = requests_per_s
        self._bytes_per_s = bytes_per_s
        self._most_requests = max(1.0, requests_per_s)
        self._by_sender: OrderedDict[str, _Allowance] = OrderedDict()

    def take(self, sender: str, now_s: float) -> float:
        """Take a request: 0 where it may come, else the seconds to wait."""
        allowance = self._refilled(sender, now_s)
        wait_s = 0.0
        if self._requests_per_s and allowance.requests < 1:
            wait_s = (1 - allowance.requests) / self._requests_per_s
        if self._bytes_per_s and allowance.size <= 0:
            # The size is known only when the request has come: the debt of the one before is paid first.
            wait_s = max(wait_s, (1 - allowance.size) / self._bytes_per_s)
        if not wait_s:
            allowance.requests -= 1
        return wait_s

    def charge(self, sender: str, size: int, now_s: float) -> None:
        """Charge the bytes of a request that was taken."""
        self._refilled(sender, now_s).size -= size

    def _refilled(self, sender: str, now_s: float) -> _Allowance:
        allowance = self._by_sender.get(sender)
        if allowance is None:
            while len(self._by_sender) >= MOST_SENDERS:
                self._by_sender.popitem(last=False)
            allowance = self._by_sender[sender] = _Allowance(self._most_requests, self._bytes_per_s, now_s)
            return allowance
        self._by_sender.move_to_end(sender)
        passed_s = max(0.0, now_s - allowance.at_s)
        allowance.at_s = now_s
        allowance.requests = min(self._most_requests, allowance.requests + passed_s * self._requests_per_s)
        allowance.size = min(self._bytes_per_s, allowance.size + passed_s * self._bytes_per_s)
        return allowance
