"""The memory of this process, and the limit that its container sets, as Linux tells them."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

NO_LIMIT_BYTES = 1 << 60
"""cgroup v1 writes a huge number where there is no limit."""


class Cgroup:
    """The memory controller of a cgroup, version 1 or 2. `limit_bytes` is the smallest up to the root, 0 for none."""

    def __init__(self, folder: Path, limit_bytes: int, *, version: int) -> None:
        self._folder = folder
        self._version = version
        self.limit_bytes = limit_bytes

    def used_bytes(self) -> int:
        """What cannot be taken back from the processes of the group: file cache is left out. 0 where it is not told."""
        wanted = "anon" if self._version == 2 else "total_rss"
        try:
            for line in (self._folder / "memory.stat").read_text(encoding="ascii").splitlines():
                name, _, value = line.partition(" ")
                if name == wanted:
                    return int(value)
        except (OSError, ValueError):
            pass
        return 0


def own_cgroup(proc: Path = Path("/proc/self/cgroup"), mounted: Path = Path("/sys/fs/cgroup")) -> Cgroup | None:
    """The memory cgroup of this process; None where there is none or it cannot be read."""
    try:
        lines = proc.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    paths = {
        controllers: path for _, controllers, path in (line.split(":", 2) for line in lines if line.count(":") > 1)
    }
    v1 = next((path for controllers, path in paths.items() if "memory" in controllers.split(",")), None)
    if v1 is not None:
        return _read(mounted / "memory", v1, "memory.limit_in_bytes", 1)
    return _read(mounted, paths[""], "memory.max", 2) if "" in paths else None


def _read(root: Path, path: str, file: str, version: int) -> Cgroup | None:
    own = root / path.lstrip("/")
    if not own.is_dir():
        # In a container the path is often the host's, while only the container's own group is mounted, as the root.
        own = root
    limits = []
    folder = own
    while True:
        limits.append(_limit(folder / file))
        if folder == root:
            break
        folder = folder.parent
    found = [limit for limit in limits if limit]
    return Cgroup(own, min(found, default=0), version=version) if own.is_dir() else None


def _limit(file: Path) -> int:
    """The bytes in a limit file, 0 for no limit."""
    try:
        text = file.read_text(encoding="ascii").strip()
    except OSError:
        return 0
    if not text.isdigit():
        return 0  # "max"
    return int(text) if int(text) < NO_LIMIT_BYTES else 0


def resident_bytes() -> int:
    """The resident size of this process, librdkafka's and RocksDB's memory included; 0 where Linux does not tell it."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def trim() -> None:
    """Give memory that was freed back to the system: the C library keeps it otherwise, and the size stays."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "malloc_trim"):
            libc.malloc_trim(0)
