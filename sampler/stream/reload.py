"""Policies are taken anew while the worker runs: the file is looked at again and again, and read when it has changed.

It is known by its content, not by its time: a ConfigMap changes behind a link, and a file that is written again with
the same policies is no news. A change is believed when two looks one after another have found the same bytes, because
half a YAML file may be a whole one with fewer policies.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from policies.discovery import plugin_files
from sampler.config import PolicyFile, load_policies
from sampler.config.collector import split_selector
from sampler.config.errors import ConfigError
from sampler.otlp import ScanPlan
from sampler.scan_plan import plan_of

logger = logging.getLogger(__name__)

SETTLE_S = 0.5
"""A change is looked at again after so long, where the interval is not shorter."""
UNREADABLE = b""
"""Stands for the bytes of a file that cannot be read."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Another policy set is to be run from now on."""

    policies: PolicyFile
    plan: ScanPlan


@dataclass(frozen=True, slots=True)
class Refused:
    """The file as it is now cannot be used; `error` says what is wrong with it, a line for each mistake."""

    error: str


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The file has changed, but says the same as the running set."""


Outcome = Taken | Refused | Unchanged


class PolicyWatch:
    """What to run after each look at the policy file that `running` came from, and at the files of its plugins.

    One thread at a time.
    """

    def __init__(
        self,
        running: PolicyFile,
        load: Callable[[str], PolicyFile] | None = None,
        taken: Callable[[PolicyFile], None] = lambda _: None,
    ) -> None:
        """`taken` is told of every file that is to be run."""
        self._path = running.path
        self._file = split_selector(running.path)[0]
        self._running = running.identity
        self._plugins = running.plugins
        self._taken = taken
        self._load = load or partial(load_policies, plugins=running.given_plugins)
        self._judged: bytes | None = None
        self._refused: str | None = None
        self._noticed: bytes | None = None

    @property
    def watchable(self) -> bool:
        """Whether the file can be read again: it is no pipe."""
        return self._file.is_file()

    @property
    def settling(self) -> bool:
        """Whether a change was noticed and is to be looked at once more."""
        return self._noticed is not None

    def look(self, *, at_once: bool = False) -> Outcome | None:
        """What has become of the file; None where there is nothing new, or nothing yet.

        `at_once`: somebody says that the file is ready, and gets an answer even if it has not changed. Never raises.
        """
        content = self._content()
        if not at_once:
            if content == self._judged:
                self._noticed = None
                # What a refused file needs may lie elsewhere, such as a plugin that it names and that is being mended.
                return self._judge_again() if self._refused is not None else None
            if content != self._noticed:
                self._noticed = content
                return None
        outcome = self._judge()
        if self._content() != content:
            # It was written while it was read: what was read may be half of it.
            self._noticed = None
            return None
        first = self._judged is None
        self._judged, self._noticed = content, None
        self._note(outcome)
        # That the file is still the one the worker began with is no news.
        return None if first and not at_once and isinstance(outcome, Unchanged) else outcome

    def _judge_again(self) -> Outcome | None:
        """The outcome for a file that has not changed since it was refused, where it is another one by now."""
        outcome, refused = self._judge(), self._refused
        self._note(outcome)
        return None if isinstance(outcome, Refused) and outcome.error == refused else outcome

    def _note(self, outcome: Outcome) -> None:
        self._refused = outcome.error if isinstance(outcome, Refused) else None
        if isinstance(outcome, Taken):
            self._running, self._plugins = outcome.policies.identity, outcome.policies.plugins
            self._judged = self._content()
            self._taken(outcome.policies)

    def _content(self) -> bytes:
        """What tells one content of the file from another."""
        try:
            # What is no file, such as a pipe, could be waited for without end.
            digest = hashlib.sha256(self._file.read_bytes() if self.watchable else UNREADABLE)
        except OSError:
            return UNREADABLE
        for file in plugin_files(self._plugins, Path()):
            digest.update(str(file).encode())
            with suppress(OSError):
                digest.update(file.read_bytes())
        return digest.digest()

    def _judge(self) -> Outcome:
        if self._file.exists() and not self.watchable:
            return Refused(f"{self._path}: is not a file any more")
        try:
            policies = self._load(self._path)
            plan = plan_of(policies)
        except ConfigError as error:
            return Refused(str(error))
        except (Exception, SystemExit) as error:
            logger.debug("%s could not be loaded", self._path, exc_info=True)
            return Refused(f"{self._path}: {type(error).__name__}: {error}")
        if policies.identity == self._running:
            return Unchanged()
        return Taken(policies, plan)


class PolicyReloader:
    """Looks at the policy file for as long as the worker runs, and whenever it gets SIGHUP.

    `tell` is called with every outcome, on the event loop and so between two batches, never in the middle of one.
    """

    def __init__(self, watch: PolicyWatch, interval_s: float, tell: Callable[[Outcome], None]) -> None:
        """`interval_s` is the time between two looks; 0 looks only at SIGHUP."""
        self._watch = watch
        self._interval_s = interval_s
        self._tell = tell
        self._asked = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        if not self._watch.watchable:
            logger.warning("the policies came from a pipe or a device: they are not reloaded while the worker runs")
            return
        # Not possible outside the main thread, nor on every system.
        with suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(signal.SIGHUP, self._asked.set)
        while True:
            at_once = await self._wait()
            # Reading and building policies takes some milliseconds, in which spans go on.
            outcome = await loop.run_in_executor(None, partial(self._watch.look, at_once=at_once))
            if outcome is not None:
                self._tell(outcome)

    async def _wait(self) -> bool:
        """Until the next look; says whether somebody asked for it."""
        wait_s = min(self._interval_s, SETTLE_S) if self._watch.settling else self._interval_s
        try:
            async with asyncio.timeout(wait_s or None):
                await self._asked.wait()
        except TimeoutError:
            return False
        self._asked.clear()
        return True
