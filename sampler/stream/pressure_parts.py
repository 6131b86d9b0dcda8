"""Makes what guards a worker against too much, and against standing still, from its configuration."""

from __future__ import annotations

import os
from pathlib import Path

from sampler.config.processes import Worker
from sampler.engine.chunk_store import ChunkStore
from sampler.stream.memory_guard import MemoryGuard, MemoryLimits
from sampler.stream.outputs import Outputs
from sampler.stream.pressure import Pressure, PressureSettings, Surroundings
from sampler.stream.resident import own_cgroup, resident_bytes, trim
from sampler.stream.span_source import SpanSource
from sampler.stream.watchdog import WatchdogLimits
from sampler.web.health import Health

MIB = 1024 * 1024
RESERVE_OF_OTHERS = 4
"""One in this many bytes of the disk's reserve is for the decision tables: with less nothing is fetched at all."""


def make_pressure(
    worker: Worker, data_dir: Path, outputs: Outputs, source: SpanSource, store: ChunkStore, health: Health
) -> Pressure:
    """The guard over what may hold this worker back."""
    memory, table = worker.memory, worker.trace_table
    cgroup = None if memory.limit_mib else own_cgroup()
    limit = memory.limit_mib * MIB or (cgroup.limit_bytes if cgroup else 0)

    def used_bytes() -> int:
        # The container's limit is for all that runs in it.
        return max(resident_bytes(), cgroup.used_bytes() if cgroup else 0)

    return Pressure(
        PressureSettings(
            table.memory_limit_mib * MIB,
            table.disk_reserve_mib * MIB // RESERVE_OF_OTHERS,
            worker.max_unacknowledged,
        ),
        Surroundings(used_bytes, lambda: free_bytes(data_dir), trim),
        MemoryGuard(MemoryLimits(limit, memory.soft_percent / 100, memory.hard_percent / 100)),
        outputs,
        source,
        store,
        health,
    )


def watchdog_limits(worker: Worker) -> WatchdogLimits:
    """How long a worker may stand still."""
    watchdog = worker.watchdog
    return WatchdogLimits(
        watchdog.stall_timeout.seconds, watchdog.commit_timeout.seconds, watchdog.recovery_timeout.seconds
    )


def free_bytes(folder: Path) -> int:
    """What a process without privileges may still write to the disk of a folder."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize
