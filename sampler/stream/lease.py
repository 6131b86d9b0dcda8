"""Whether this worker may still decide for its partitions."""

from __future__ import annotations


class Lease:
    """Holds while the last heartbeat the group coordinator answered is younger than half the session timeout.

    Outputs leave through a plain idempotent producer, which the group does not fence: a worker that may have lost its
    partitions without noticing must stop deciding before another one can have begun.
    """

    def __init__(self, session_timeout_s: float) -> None:
        self._limit_s = session_timeout_s / 2
        self._renewed_s: float | None = None

    def renew(self, now_s: float) -> None:
        """A request of this time proved our membership."""
        self._renewed_s = now_s if self._renewed_s is None else max(self._renewed_s, now_s)

    def holds(self, now_s: float) -> bool:
        """Whether deciding is safe. Before the first assignment there is nothing to decide, and it does not hold."""
        return self._renewed_s is not None and now_s - self._renewed_s < self._limit_s
