"""Log lines that come at most once a minute each."""

from __future__ import annotations

import logging

from sampler.clock import monotonic_s

EVERY_S = 60.0


class Say:
    """Logs the first line of a kind at once, then at most one a minute, with the number of those left out."""

    def __init__(self, log: logging.Logger, about: str) -> None:
        self._log = log
        self._about = about
        self._next_s: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def __call__(
        self, kind: str, text: str, level: int = logging.WARNING, about: dict[str, str | int] | None = None
    ) -> None:
        """Log `text`, unless a line of this kind was logged within the last minute; `about` are fields of the line."""
        now_s = monotonic_s()
        if now_s < self._next_s.get(kind, now_s):
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return
        self._next_s[kind] = now_s + EVERY_S
        more = self._left_out.pop(kind, 0)
        repeated = f" (and {more} times more since the last line)" if more else ""
        self._log.log(level, "%s: %s%s", self._about, text, repeated, extra=about)

    def forget(self, kind: str) -> None:
        """The next line of this kind is news again."""
        self._next_s.pop(kind, None)
        self._left_out.pop(kind, None)
