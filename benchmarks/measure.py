"""Processor time and memory of another process, read from outside."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil

POLL_S = 0.01


class Usage(NamedTuple):
    """`cpu_s`: user and system time of the process with all its threads; `wall_s`: when it was read."""

    cpu_s: float
    wall_s: float


def usage(pid: int) -> Usage:
    """What a process has used so far. The system counts in hundredths of a second."""
    times = psutil.Process(pid).cpu_times()
    return Usage(times.user + times.system, time.perf_counter())


def peak_rss_mb(pid: int) -> float:
    """The most memory a process has ever had resident, in MB (10**6 bytes); Linux only."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"the system does not tell the peak memory of process {pid}")


def usage_when(pid: int, condition: Callable[[], bool], timeout_s: float, what: str, *, before: bool = False) -> Usage:
    """Usage as soon as `condition` holds; with `before`, the last reading taken while it did not hold yet.

    TimeoutError naming `what` after `timeout_s`, or when the process ends.
    """
    end_s = time.perf_counter() + timeout_s
    last = usage(pid)
    while True:
        reading = usage(pid)
        if condition():
            return last if before else usage(pid)
        last = reading
        if not _alive(pid) or reading.wall_s > end_s:
            raise TimeoutError(f"not within {timeout_s:g} s: {what}")
        time.sleep(POLL_S)


def _alive(pid: int) -> bool:
    process = psutil.Process(pid)
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
