"""What holds a worker back: brokers that refuse or are slow, a full disk, memory. Each says so, and ends by itself."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from sampler.engine.chunk_store import ChunkStore
from sampler.stream import brakes
from sampler.stream.brakes import Brakes
from sampler.stream.memory_guard import Level, MemoryGuard
from sampler.stream.outputs import Outputs
from sampler.stream.pipeline import Pipeline
from sampler.stream.span_source import SpanSource
from sampler.stream.watchdog import Timers
from sampler.web.health import Health

logger = logging.getLogger(__name__)

MIB = 1024 * 1024
MAX_UNACKNOWLEDGED_BYTES = 64 * MIB
"""Spans are not fetched while more than this waits for the broker, however few records it is."""
DECISIONS_WAIT_S = 10.0
"""Spans are not fetched while no decision has reached the brokers for so long, though some are on their way."""
LOOK_S = 0.25
DISK_LOOK_S = 1.0
SPILL_AGAIN_S = 5.0
SHED_STEP_BYTES = 8 * MIB
"""How much goes to disk in one step: more would hold the event loop too long."""
SHED_AGAIN_S = 5.0
PATIENCE_S = 10.0
"""How long the hard level must last before traces are decided early: what took the memory may give it back, and to wait
costs only time."""
TRIM_S = 2.0
FETCHING_PART = "fetching"
MEMORY_PART = "memory"
DISK_PART = "disk"


@dataclass(frozen=True, slots=True)
class PressureSettings:
    """Bytes of the trace table's memory limit, free disk below which nothing is fetched, and the outputs' limit."""

    table_memory_bytes: int
    disk_reserve_bytes: int
    max_unacknowledged: int


@dataclass(frozen=True, slots=True)
class Surroundings:
    """How the process sees its machine: bytes used against the memory limit, bytes free on the disk; and `trim` gives
    freed memory back.
    """

    used_bytes: Callable[[], int]
    free_disk_bytes: Callable[[], int]
    trim: Callable[[], None]


class Pressure:
    """Looks at all that may hold the worker back. `allows_fetching` may be asked from any thread."""

    def __init__(
        self,
        settings: PressureSettings,
        machine: Surroundings,
        guard: MemoryGuard,
        outputs: Outputs,
        source: SpanSource,
        store: ChunkStore,
        health: Health,
    ) -> None:
        self._settings = settings
        self._machine = machine
        self.guard = guard
        self._outputs = outputs
        self._source = source
        self._store = store
        self._health = health
        self.brakes = Brakes()
        self._recording = Timers()
        self._held: dict[str, str] = {}
        self._looked_s: float | None = None
        self._next_s: dict[str, float] = {}
        self._said_spill = False
        self._level_since_s = 0.0
        self.free_disk_bytes = 0
        self.used_bytes = 0

    def allows_fetching(self) -> bool:
        """Whether spans may be fetched as far as the broker's answers, the disk and memory go."""
        outputs, settings = self._outputs, self._settings
        return (
            len(outputs) < settings.max_unacknowledged
            and outputs.unacknowledged_bytes < MAX_UNACKNOWLEDGED_BYTES
            and not outputs.refused
            and not self._held
        )

    @property
    def lets_go(self) -> bool:
        """Whether what was read ahead is to be given up."""
        return self.guard.stops_fetching

    def look(self, now_s: float, pipeline: Pipeline) -> None:
        """See how things are and do what is to be done; call it often, it sees to its pace itself.

        It may decide traces early: what the pipeline works on must be ours at this moment.
        """
        if self._looked_s is not None and now_s - self._looked_s < LOOK_S:
            return
        step_s = 0.0 if self._looked_s is None else now_s - self._looked_s
        self._looked_s = now_s
        held: dict[str, str] = {}
        self._look_at_disk(now_s, held)
        self._look_at_memory(now_s, pipeline, held)
        self._look_at_decisions(step_s, pipeline, held)
        self._held = held
        for line in self.brakes.update(now_s, {**held, **self._of_outputs()}):
            logger.warning("%s", line)
        self._health.set_ready(FETCHING_PART, not self.brakes.said, self.brakes.said)

    def _of_outputs(self) -> dict[str, str]:
        outputs = self._outputs
        if outputs.refused:
            return {brakes.OUTPUTS_REFUSED: outputs.refused}
        waiting, waiting_bytes = len(outputs), outputs.unacknowledged_bytes
        if waiting >= self._settings.max_unacknowledged or waiting_bytes >= MAX_UNACKNOWLEDGED_BYTES:
            detail = f"{waiting} outputs, {waiting_bytes / MIB:.1f} MiB, wait for the broker's acknowledgement"
            return {brakes.OUTPUTS_SLOW: detail}
        return {}

    def _look_at_decisions(self, step_s: float, pipeline: Pipeline, held: dict[str, str]) -> None:
        waiting = {str(partition): finished for partition, finished in pipeline.recording.items()}
        longest_s = max(self._recording.stand(step_s, waiting).values(), default=0.0)
        if longest_s >= DECISIONS_WAIT_S:
            held[brakes.DECISIONS_SLOW] = f"decisions have waited {DECISIONS_WAIT_S:g} s and more for the brokers"

    def _look_at_disk(self, now_s: float, held: dict[str, str]) -> None:
        if self._is_time("disk", now_s, DISK_LOOK_S):
            self.free_disk_bytes = self._machine.free_disk_bytes()
        reserve, free = self._settings.disk_reserve_bytes, self.free_disk_bytes
        # Out of it only with some room, so that it does not begin again at once.
        if free < reserve * (2 if brakes.DISK_FULL in self._held else 1):
            held[brakes.DISK_FULL] = f"the disk of the data folder has {free / MIB:.1f} MiB free: make room"
        if self._store.trouble and self._is_time("spill", now_s, SPILL_AGAIN_S):
            self._store.try_again()
        trouble = self._store.trouble
        self._health.set_ready(DISK_PART, not trouble, trouble)
        if bool(trouble) != self._said_spill:
            self._said_spill = bool(trouble)
            if trouble:
                logger.warning("waiting spans stay in memory: %s", trouble)
            else:
                logger.warning("waiting spans can be put on disk again")

    def _look_at_memory(self, now_s: float, pipeline: Pipeline, held: dict[str, str]) -> None:
        guard = self.guard
        if not guard.limits.limit_bytes:
            return
        before, exhausted = guard.level, guard.exhausted
        self.used_bytes = self._machine.used_bytes()
        level = guard.look(self.used_bytes)
        if level != before:
            logger.warning(
                "memory: %d of %d MiB used, level %s",
                self.used_bytes // MIB,
                guard.limits.limit_bytes // MIB,
                level.name,
            )
            self._level_since_s = now_s
            self._next_s.pop("shed", None)
            self._source.fetch_share = guard.fetch_share
            self._store.limit_memory(int(self._settings.table_memory_bytes * guard.table_share))
        if level != Level.CALM:
            self._make_smaller(now_s, pipeline)
        if guard.exhausted != exhausted and guard.exhausted:
            logger.error("memory: nothing is left to give up, and it is still above the limit: raise worker.memory")
        self._health.set_ready(MEMORY_PART, not guard.exhausted, "above the limit with nothing left to give up")
        if guard.stops_fetching:
            used, limit = self.used_bytes // MIB, guard.limits.limit_bytes // MIB
            held[brakes.MEMORY] = f"{used} of {limit} MiB of memory are used"

    def _make_smaller(self, now_s: float, pipeline: Pipeline) -> None:
        """One step: to disk what can go there, and where that does not help in time decide the oldest traces early."""
        guard, limit = self.guard, int(self._settings.table_memory_bytes * self.guard.table_share)
        shed = 0
        if now_s >= self._next_s.get("shed", now_s):
            shed = pipeline.shed_memory(limit, SHED_STEP_BYTES)
            if not shed:
                # To find nothing means to have looked at every trace.
                self._next_s["shed"] = now_s + SHED_AGAIN_S
                self._next_s.pop("trim", None)
        if self._is_time("trim", now_s, TRIM_S):
            self._machine.trim()
            return
        if guard.level < Level.HARD or now_s - self._level_since_s < PATIENCE_S:
            return
        if shed or self._outputs.unacknowledged_bytes:
            return
        if not pipeline.decide_oldest():
            guard.nothing_left()

    def _is_time(self, what: str, now_s: float, every_s: float) -> bool:
        if now_s < self._next_s.get(what, now_s):
            return False
        self._next_s[what] = now_s + every_s
        return True
