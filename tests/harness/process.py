"""Processes of a test: started in a group of their own, their log kept, always ended and reaped."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

REPOSITORY = Path(__file__).parents[2]
POLL_S = 0.05
TERMINATE_S = 20.0
LOG_SHOWN = 6000
"""Characters of the end of a log that an error shows."""


class ConditionTimeoutError(AssertionError):
    """What was waited for did not come to pass in time."""


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str, detail: Callable[[], str] = str) -> None:
    """Return as soon as `condition` holds; ConditionTimeoutError naming `what`, with `detail()`, after `timeout_s`."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise ConditionTimeoutError(f"not within {timeout_s:g} s: {what}\n{detail()}")
        time.sleep(POLL_S)


def free_ports(count: int) -> list[int]:
    """Different loopback ports that nobody listens on at this moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


class TestProcess:
    """A command in a process group of its own, running after `start`; its output goes to the file `log`.

    The group is killed at `stop`, at the end of a `with` block and at the interpreter's exit, whatever happened before.
    """

    __test__ = False  # the name begins as a test class does, and pytest would collect it

    def __init__(
        self, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None, cwd: Path = REPOSITORY
    ) -> None:
        """Prepare; `env` is added to this process's environment."""
        self.command = list(command)
        self.log = log
        self._env = {**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})}
        self._cwd = cwd
        self._process: subprocess.Popen[bytes] | None = None
        self._group_gone = False

    def __enter__(self) -> Self:
        """Start it."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop it, at once if the test has failed already."""
        if error is None:
            self.terminate()
        else:
            self.kill()

    def start(self) -> Self:
        """Start the command; its output is appended to the log, so that a restart keeps what came before."""
        if self.running:
            raise RuntimeError(f"already running: {' '.join(self.command)}")
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,
            )
        self._group_gone = False
        atexit.register(self.kill)
        return self

    @property
    def running(self) -> bool:
        """Started and not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the command."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""
        return None if self._process is None else self._process.poll()

    def output(self) -> str:
        """All it has written so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def terminate(self, timeout_s: float = TERMINATE_S) -> int:
        """SIGTERM and wait; SIGKILL after `timeout_s`. Returns the exit status."""
        if self.running:
            os.kill(self.pid, signal.SIGTERM)
        return self.wait(timeout_s)

    def kill(self) -> None:
        """SIGKILL to the whole group, and reap."""
        if self._process is None or self._group_gone:
            return
        # The group may have ended by itself. Its number is not used again after this: it may be another's by then.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._group_gone = True
        atexit.unregister(self.kill)

    def signal(self, number: int) -> None:
        """Send a signal to the command alone."""
        os.kill(self.pid, number)

    def wait(self, timeout_s: float) -> int:
        """Wait for its end and return the exit status; SIGKILL to the group after `timeout_s`."""
        assert self._process is not None, "not started"
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return -signal.SIGKILL
        finally:
            self.kill()  # children that outlive the command belong to it too

    def wait_until(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Wait for a condition; an error with the end of the log after `timeout_s`, or as soon as the process ends."""

        def held_or_ended() -> bool:
            return condition() or not self.running

        wait_until(held_or_ended, timeout_s, what, self._tail)
        if not self.running and not condition():
            raise ConditionTimeoutError(f"ended with {self.returncode} before: {what}\n{self._tail()}")

    def wait_for_log(self, text: str, timeout_s: float = 30.0) -> None:
        """Wait until `text` is in the log."""
        self.wait_until(lambda: text in self.output(), timeout_s, f"{text!r} in the log")

    def wait_for_http(self, url: str, timeout_s: float = 30.0) -> None:
        """Wait until `url` answers with a status of 200 to 299."""
        self.wait_until(lambda: http_ok(url), timeout_s, f"2xx from {url}")

    def _tail(self) -> str:
        """The command and the end of its log, for an error."""
        return f"--- {' '.join(self.command)}\n{self.output()[-LOG_SHOWN:]}"


def http_ok(url: str) -> bool:
    """Whether `url` answers with a status of 200 to 299 within a second."""
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except (urllib.error.URLError, OSError):
        return False


def sampler_process(arguments: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> TestProcess:
    """`tailsampler ARGUMENTS` of this tree, with the interpreter of the tests; not started yet."""
    return TestProcess([sys.executable, "-m", "sampler.cli", *arguments], log, env)
