"""Keeps the processes of one machine running: starts them, starts them again, and stops them together."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Final

from sampler.clock import monotonic_s

log = logging.getLogger(__name__)

WRONG_INPUT: Final = 2
"""Exit code of a part that cannot work with its configuration: starting it again would not help, unless it has worked
before and somebody is editing the files."""
LOOK_EVERY_S: Final = 0.1
PARENT_VARIABLE: Final = "TAILSAMPLER_SUPERVISOR"
"""Names the supervisor's process to the parts it starts."""
_PR_SET_PDEATHSIG: Final = 1


@dataclass(frozen=True, slots=True)
class Part:
    """A process to keep running."""

    name: str
    argv: tuple[str, ...]
    takes_hangup: bool = False
    """Whether SIGHUP is passed on to it; others end by that signal."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait before a part is started again, and for it to end. Seconds."""

    first_s: float = 1.0
    longest_s: float = 30.0
    stable_s: float = 60.0
    """A part that ran so long begins with `first_s` again."""
    grace_s: float = 30.0
    """Time between the request to end and the kill."""


@dataclass(slots=True)
class _Child:
    part: Part
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    wait_s: float = 0.0
    restarts: int = field(default=0)
    worked: bool = False


class Supervisor:
    """Runs parts until told to stop. Signals are taken over only by `run`, in the main thread."""

    def __init__(
        self,
        parts: Sequence[Part],
        patience: Patience = Patience(),
        now: Callable[[], float] = monotonic_s,
    ) -> None:
        self._children = [_Child(part) for part in parts]
        self._patience = patience
        self._now = now
        self._stop = threading.Event()
        self._kill = threading.Event()
        self._hangup = threading.Event()
        self._code = 0

    def run(self) -> int:
        """Until SIGTERM, SIGINT or `stop()`; all parts have ended on return.

        0 after a clean stop, 1 where a part had to be killed, 2 where a part refused its configuration at the first
        start. After that a part is started again whatever it ends with. SIGHUP goes to the parts that take it.
        """
        in_main = threading.current_thread() is threading.main_thread()
        before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS} if in_main else {}
        try:
            while not self._stop.is_set():
                self._look()
                self._pass_hangup_on()
                self._stop.wait(LOOK_EVERY_S)
        finally:
            self._end_all()
            for number, handler in before.items():
                signal.signal(number, handler)
        return self._code

    def stop(self) -> None:
        """Ask for the end, from any thread."""
        self._stop.set()

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the parts that run now."""
        return {c.part.name: c.process.pid for c in self._children if c.process and c.process.poll() is None}

    @property
    def restarts(self) -> dict[str, int]:
        """How often each part had ended and was, or will be, started again."""
        return {child.part.name: child.restarts for child in self._children}

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            self._hangup.set()
            return
        # The second request means now.
        (self._kill if self._stop.is_set() else self._stop).set()

    def _pass_hangup_on(self) -> None:
        if not self._hangup.is_set():
            return
        self._hangup.clear()
        for child in self._children:
            if child.part.takes_hangup and child.process:
                child.process.send_signal(signal.SIGHUP)

    def _look(self) -> None:
        for child in self._children:
            if child.process is None:
                if self._now() >= child.start_at:
                    self._start(child)
                continue
            code = child.process.poll()
            if code is not None:
                self._ended(child, code)

    def _start(self, child: _Child) -> None:
        # A session of its own: a Ctrl-C in the terminal reaches the parts once, through us.
        child.process = subprocess.Popen(  # noqa: S603  # the command line is our own
            child.part.argv, start_new_session=True, env={**os.environ, PARENT_VARIABLE: str(os.getpid())}
        )
        child.started_at = self._now()
        log.info("%s: started, process %d", child.part.name, child.process.pid)

    def _ended(self, child: _Child, code: int) -> None:
        child.process = None
        if code == WRONG_INPUT and not child.worked:
            log.error("%s: refused its configuration (exit code 2); stopping", child.part.name)
            self._code = WRONG_INPUT
            self._stop.set()
            return
        child.worked = True
        ran_s = self._now() - child.started_at
        fresh = child.wait_s == 0 or ran_s >= self._patience.stable_s
        child.wait_s = self._patience.first_s if fresh else min(child.wait_s * 2, self._patience.longest_s)
        child.start_at = self._now() + child.wait_s
        child.restarts += 1
        log.warning(
            "%s: ended after %.1f s with %s; starting again in %g s", child.part.name, ran_s, _said(code), child.wait_s
        )

    def _end_all(self) -> None:
        running = [child for child in self._children if child.process and child.process.poll() is None]
        for child in running:
            assert child.process
            child.process.send_signal(signal.SIGTERM)
        deadline = self._now() + self._patience.grace_s
        while any(_alive(child) for child in running) and self._now() < deadline and not self._kill.is_set():
            self._kill.wait(LOOK_EVERY_S)
        for child in running:
            assert child.process
            if _alive(child):
                log.error("%s: did not end in time; killed", child.part.name)
                child.process.kill()
                self._code = self._code or 1
            child.process.wait()
            log.info("%s: stopped", child.part.name)


_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def _alive(child: _Child) -> bool:
    return child.process is not None and child.process.poll() is None


def _said(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def end_with_parent() -> None:
    """For a part, first thing: ask Linux for SIGTERM when the supervisor dies, so that kill -9 leaves no orphans.

    Does nothing in a process that no supervisor started.
    """
    parent = os.environ.pop(PARENT_VARIABLE, None)
    if parent is None or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit("the supervisor has ended")
