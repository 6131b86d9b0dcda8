"""The levels of memory, and how limit and size are read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampler.stream.memory_guard import SLACK, Level, MemoryGuard, MemoryLimits
from sampler.stream.resident import own_cgroup, resident_bytes

LIMITS = MemoryLimits(1000, 0.75, 0.9)


def test_levels_begin_and_end_with_a_distance() -> None:
    """A size that swings around a border does not make the level swing."""
    guard = MemoryGuard(LIMITS)
    sizes = [700, 751, 740, 701, 699, 901, 890, 851, 849, 701, 690]
    levels = [Level.CALM, Level.SOFT, Level.SOFT, Level.SOFT, Level.CALM, Level.HARD, Level.HARD, Level.HARD,
              Level.SOFT, Level.SOFT, Level.CALM]  # fmt: skip
    assert [guard.look(size) for size in sizes] == levels


@given(st.lists(st.integers(0, 2000), max_size=100))
def test_a_level_never_lies(sizes: list[int]) -> None:
    """Above a border the level is at least its own; below the border and the distance it is less."""
    guard = MemoryGuard(LIMITS)
    for size in sizes:
        level = guard.look(size)
        assert level == Level.HARD or size <= LIMITS.hard_bytes
        assert level != Level.CALM or size <= LIMITS.soft_bytes
        assert level < Level.HARD or size > LIMITS.hard_bytes - SLACK * LIMITS.limit_bytes
        assert level < Level.SOFT or size > LIMITS.soft_bytes - SLACK * LIMITS.limit_bytes


def test_without_a_limit_all_is_calm() -> None:
    """Whatever the size."""
    assert MemoryGuard(MemoryLimits()).look(1 << 60) == Level.CALM


def test_where_nothing_is_left_to_give_up_work_goes_on() -> None:
    """To hold the worker still would end nothing; when the level is left, the next time is a new one."""
    guard = MemoryGuard(LIMITS)
    guard.look(950)
    assert guard.stops_fetching
    guard.nothing_left()
    guard.look(960)
    assert guard.exhausted
    assert not guard.stops_fetching
    guard.look(500)
    assert not guard.exhausted
    guard.look(950)
    assert guard.stops_fetching


def files(folder: Path, **contents: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in contents.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


@pytest.mark.parametrize("path", ["/pod/app", "/somewhere/on/the/host"])
def test_the_limit_of_a_cgroup_of_version_2(tmp_path: Path, path: str) -> None:
    """The smallest limit up to the root counts; in a container, whose path is the host's, that of the mounted root."""
    root = files(tmp_path / "fs", memory__max="max\n", memory__stat="anon 7\nfile 9\n")
    files(root / "pod", memory__max="5000\n")
    files(root / "pod" / "app", memory__max="9000\n", memory__stat="anon 1234\nfile 99\n")
    (tmp_path / "cgroup").write_text(f"0::{path}\n")
    found = own_cgroup(tmp_path / "cgroup", root)
    assert found is not None
    expected = (5000, 1234) if path == "/pod/app" else (0, 7)
    assert (found.limit_bytes, found.used_bytes()) == expected


def test_the_limit_of_a_cgroup_of_version_1(tmp_path: Path) -> None:
    """Also beside an empty hierarchy of version 2; the huge number at the root is no limit."""
    root = files(tmp_path / "fs" / "memory", memory__limit_in_bytes="9223372036854771712\n")
    files(root / "docker" / "x", memory__limit_in_bytes="4096\n", memory__stat="cache 5\ntotal_rss 77\n")
    (tmp_path / "cgroup").write_text("9:name=systemd:/\n4:memory:/docker/x\n0::/\n")
    found = own_cgroup(tmp_path / "cgroup", tmp_path / "fs")
    assert found is not None
    assert (found.limit_bytes, found.used_bytes()) == (4096, 77)


def test_no_cgroup_is_no_limit(tmp_path: Path) -> None:
    """On a system that has none, or does not show it."""
    assert own_cgroup(tmp_path / "nothing", tmp_path) is None
    (tmp_path / "cgroup").write_text("9:name=systemd:/\n")
    assert own_cgroup(tmp_path / "cgroup", tmp_path) is None


def test_the_size_of_this_process_is_known() -> None:
    """It holds at least what was just made."""
    before, ballast = resident_bytes(), bytearray(b"x" * (32 << 20))
    assert resident_bytes() - before > 16 << 20
    del ballast
