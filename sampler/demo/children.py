"""Child processes of the demo: started with a log of their own, asked to end, always reaped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from sampler.supervisor import PARENT_VARIABLE

STOP_S = 15.0
LOG_LINES = 20
"""Lines of the end of a log that an error shows."""


class ChildError(RuntimeError):
    """A child did not come up, or ended before its time; the message holds the end of its log."""


class Child:
    """`tailsampler ARGUMENTS` as a process of its own session, so that a Ctrl-C reaches it only through us."""

    def __init__(self, name: str, arguments: Sequence[str], folder: Path) -> None:
        """Start it; what it says goes to a file in `folder`."""
        self.name = name
        self.log = folder / f"{name}.log"
        # Settings of the surroundings are meant for other commands than those of the demo.
        env = {key: value for key, value in os.environ.items() if not key.startswith("TAILSAMPLER_")}
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603  # the command line is our own
                [sys.executable, "-m", "sampler.cli", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**env, PARENT_VARIABLE: str(os.getpid())},
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def check(self) -> None:
        """ChildError if it has ended."""
        code = self._process.poll()
        if code is not None:
            how = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
            raise ChildError(f"the {self.name} ended with {how}; the end of its log:\n{self.tail()}")

    def tail(self) -> str:
        """The last lines of its log."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-LOG_LINES:]) or "  (empty)"

    def stop(self) -> None:
        """Ask it to end, kill it if it does not in time, and reap it."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
