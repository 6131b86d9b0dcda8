"""Ends a process whose event loop stands still: nothing that runs in that loop could."""

from __future__ import annotations

import faulthandler
import sys
import threading
from collections.abc import Callable

from sampler.stream.fatal import die
from sampler.stream.watchdog import LONGEST_STEP_S

LOOK_S = 1.0
GRACE_S = 10.0
LIMIT_S = 300.0
"""Far more than the longest work that is done in one piece: taking up a partition with many decisions."""


def end(reason: str) -> None:
    """End the process with the stacks of all threads on standard error, also where the log is what it hangs at."""
    faulthandler.dump_traceback_later(GRACE_S, exit=True)
    faulthandler.dump_traceback(sys.stderr, all_threads=True)
    die(reason)


class LoopWatch:
    """A thread that wants to hear `beat` now and then, once it is started."""

    def __init__(
        self, monotonic_s: Callable[[], float], limit_s: float = LIMIT_S, on_silence: Callable[[str], None] = end
    ) -> None:
        self._clock = monotonic_s
        self._limit_s = limit_s
        self._on_silence = on_silence
        self._beats = 0
        self._seen = 0
        self._silent_s = 0.0
        self._looked_s: float | None = None

    def start(self) -> None:
        """Begin to watch, until the process ends."""
        threading.Thread(target=self._run, name="loop-watch", daemon=True).start()

    def beat(self) -> None:
        """The loop turns."""
        self._beats += 1

    def look(self, now_s: float) -> None:
        """Count silence, but not the time for which this thread did not run either: then the process was stopped."""
        step_s = 0.0 if self._looked_s is None else min(now_s - self._looked_s, LONGEST_STEP_S)
        self._looked_s = now_s
        beats = self._beats
        self._silent_s = self._silent_s + step_s if beats == self._seen else 0.0
        self._seen = beats
        if self._silent_s >= self._limit_s:
            self._on_silence(f"the event loop has stood still for {self._silent_s:.0f} s")

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(LOOK_S):
            self.look(self._clock())
