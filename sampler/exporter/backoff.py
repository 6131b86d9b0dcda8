"""How long to wait before a request is tried again."""

from __future__ import annotations

import random
from collections.abc import Callable

from sampler.config.exporter import Retry


class Backoff:
    """The waits of one request: they grow exponentially up to a limit and are spread by chance.

    The nth wait is min(initial * multiplier^(n-1), max), times a random number of [1 - f, 1 + f]. `draw` gives numbers
    of [0, 1).
    """

    def __init__(self, retry: Retry, draw: Callable[[], float] = random.random) -> None:
        self._initial_s = self._interval_s = retry.initial_interval.seconds
        self._max_s = retry.max_interval.seconds
        self._multiplier = retry.multiplier
        self._spread = retry.randomization_factor
        self._draw = draw

    def next_s(self, asked_s: float | None = None) -> float:
        """The next wait in seconds.

        A backend that asked for `asked_s` gets that, and a little more by chance, but never less than the first wait.
        """
        wait_s = self._interval_s * (1 + self._spread * (2 * self._draw() - 1))
        self._interval_s = min(self._max_s, self._interval_s * self._multiplier)
        if asked_s is None:
            return wait_s
        return max(asked_s * (1 + 0.1 * self._spread * self._draw()), min(wait_s, self._initial_s))
