"""Whether the process lives and is ready, told by its parts.

A part that loops *beats*; a process is live while every such part has beaten within its own time limit. A part may also
be not ready for a stated reason (recovering, not assigned); the process is ready when it is live and every part is.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One part's answer; `detail` says why it is not ok, or is empty."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Status:
    """The answer for the process and the parts it follows from, sorted by name."""

    ok: bool
    parts: tuple[PartStatus, ...]

    def text(self, what: str, verbose: bool) -> str:
        """Lines for people and probes; the parts that fail are always named."""
        lines = [
            f"[{'+' if part.ok else '-'}]{part.name} {'ok' if part.ok else 'failed: ' + part.detail}"
            for part in self.parts
            if verbose or not part.ok
        ]
        return "\n".join([*lines, f"{what} {'ok' if self.ok else 'failed'}", ""])


@dataclass(slots=True)
class _Part:
    timeout_s: float | None = None
    beaten_at: float = 0.0
    ready: bool = True
    reason: str = ""


class Health:
    """Collects beats and readiness from any thread. Times are seconds of one monotonic clock, given by the caller."""

    def __init__(self) -> None:
        self._parts: dict[str, _Part] = {}
        self._lock = threading.Lock()

    def register(self, name: str, timeout_s: float, now: float) -> None:
        """From now on `name` has to beat at least every `timeout_s` seconds; it counts as having beaten now."""
        with self._lock:
            part = self._parts.setdefault(name, _Part())
            part.timeout_s = timeout_s
            part.beaten_at = now

    def unregister(self, name: str) -> None:
        """`name` has ended as it should and is asked nothing more."""
        with self._lock:
            self._parts.pop(name, None)

    def beat(self, name: str, now: float) -> None:
        """`name` turns. KeyError where it was never registered: its limit would be unknown."""
        with self._lock:
            self._parts[name].beaten_at = now

    def set_ready(self, name: str, ready: bool, reason: str = "") -> None:
        """Say whether `name` can do its work, and if not, why. Needs no registration."""
        with self._lock:
            part = self._parts.setdefault(name, _Part())
            part.ready = ready
            part.reason = "" if ready else reason or "not ready"

    def live(self, now: float) -> Status:
        """Ok while every registered part has beaten within its limit."""
        with self._lock:
            return _status(
                PartStatus(name, not silence, silence)
                for name, part in self._parts.items()
                for silence in (_silence(part, now),)
            )

    def ready(self, now: float) -> Status:
        """Ok while the process is live and every part is ready."""
        with self._lock:
            return _status(
                PartStatus(name, not why, why)
                for name, part in self._parts.items()
                for why in (_silence(part, now) or part.reason,)
            )


def _silence(part: _Part, now: float) -> str:
    """Why a part counts as standing still; empty while it beats."""
    if part.timeout_s is None or now - part.beaten_at <= part.timeout_s:
        return ""
    return f"no sign of life for {now - part.beaten_at:.1f} s (limit {part.timeout_s:g} s)"


def _status(parts: Iterable[PartStatus]) -> Status:
    ordered = tuple(sorted(parts, key=lambda part: part.name))
    return Status(all(part.ok for part in ordered), ordered)
