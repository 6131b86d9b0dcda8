"""Stands in for the supervisor of `tailsampler run`: starts a worker again when it has ended."""

from __future__ import annotations

import threading

from tests.harness.process import TestProcess

RESTART_S = 1.0


class Keeper:
    """Starts a process again about a second after its end, while `with` lasts; `ends` counts how often it ended."""

    def __init__(self, process: TestProcess) -> None:
        self.ends = 0
        self._process = process
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def __enter__(self) -> Keeper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stop.wait(RESTART_S):
            if not self._process.running:
                self.ends += 1
                self._process.wait(1)
                self._process.start()
