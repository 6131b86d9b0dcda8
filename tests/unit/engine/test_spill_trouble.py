"""A spill on a disk that is full: nothing that was given to it is lost, and it goes on when there is room."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampler.engine.chunk_store import ChunkStore, SpillError
from sampler.engine.shedding import shed
from sampler.engine.spill import RocksSpill
from sampler.engine.trace_table import TraceTable
from tests.harness.disk import fill, small_disk

DISK_MIB = 48
NEVER = 1 << 60


class Counted:
    """A summary as far as the table looks at it."""

    span_count = 1

    def merge(self, other: Counted) -> None:
        """Nothing to add."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own."""
    with small_disk(tmp_path / "disk", DISK_MIB) as folder:
        yield folder


def ident(number: int) -> bytes:
    return number.to_bytes(16, "big")


@pytest.mark.parametrize("reserve_bytes", [0, 8 << 20], ids=["found out by RocksDB", "foreseen"])
def test_what_a_full_disk_does_not_take_stays_in_memory(disk: Path, reserve_bytes: int) -> None:
    """Whether the write itself fails or the reserve is seen to be touched: every chunk can be read all the time."""
    spill = RocksSpill(disk / "spans", bucket_bytes=4 << 20, reserve_bytes=reserve_bytes)
    store = ChunkStore(0, spill)
    table = TraceTable(store)
    chunks: dict[int, bytes] = {}

    def add(count: int) -> None:
        for _ in range(count):
            number = len(chunks)
            chunks[number] = os.urandom(100_000)
            table.begin(ident(number), chunks[number], Counted(), number, number)
            if number % 10 == 9:
                store.flush()

    def check() -> None:
        for number, chunk in chunks.items():
            entry = table.get(ident(number))
            assert entry is not None
            assert table.read(entry) == [chunk]

    add(100)
    assert store.trouble == ""
    fill(disk / "ballast")
    add(300)
    assert store.trouble
    assert not store.spills
    check()
    store.try_again()
    assert store.trouble
    held = store.memory_bytes + store.unwritten_bytes
    assert held > 5 << 20
    (disk / "ballast").unlink()
    store.try_again()
    assert store.trouble == ""
    assert store.unwritten_bytes == 0
    add(20)
    assert store.spills
    check()
    table.clear()
    assert (store.memory_bytes, store.disk_bytes, store.unwritten_bytes) == (0, 0, 0)
    store.close()


def test_a_disk_that_is_full_from_the_beginning(disk: Path) -> None:
    """Not even a database can be opened: all stays in memory until there is room."""
    store = ChunkStore(0, RocksSpill(disk / "spans"))
    fill(disk / "ballast")
    table = TraceTable(store)
    entry = table.begin(ident(1), b"c" * 1000, Counted(), 0, 0)
    store.flush()
    assert "cannot be written" in store.trouble
    assert table.read(entry) == [b"c" * 1000]
    (disk / "ballast").unlink()
    store.try_again()
    assert store.trouble == ""
    assert store.disk_bytes == 1000
    assert table.read(entry) == [b"c" * 1000]
    store.close()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.integers(1, 400)),
        st.tuples(st.just("extend"), st.integers(0, 30)),
        st.tuples(st.just("discard"), st.integers(0, 30)),
        st.tuples(st.just("flush"), st.just(0)),
        st.tuples(st.just("full"), st.integers(0, 1)),
        st.tuples(st.just("shed"), st.integers(1, 5000)),
        st.tuples(st.just("limit"), st.integers(0, 20_000)),
    ),
    max_size=80,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_chunks_come_back_whatever_the_disk_does(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    """The disk fills and empties at any moment, memory is shed and its limit moved: every chunk is read as it was."""
    spill = RocksSpill(tmp_path_factory.mktemp("spill") / "spans", bucket_bytes=2000)
    store = ChunkStore(5000, spill)
    table, expected = TraceTable(store), dict[bytes, list[bytes]]()
    number = 0
    for step, amount in steps:
        ids = list(expected)
        match step:
            case "begin":
                number += 1
                expected[ident(number)] = [bytes([number % 256]) * amount]
                table.begin(ident(number), expected[ident(number)][0], Counted(), number, number)
            case "extend" if ids:
                trace_id = ids[amount % len(ids)]
                entry = table.get(trace_id)
                assert entry is not None
                expected[trace_id].append(b"more" * amount)
                table.extend(entry, expected[trace_id][-1], Counted())
            case "discard" if ids:
                entry = table.get(ids[amount % len(ids)])
                assert entry is not None
                table.discard([entry])
                del expected[ids[amount % len(ids)]]
            case "flush":
                store.flush()
            case "full":
                spill._reserve_bytes = NEVER if amount else 0
                store.try_again()
            case "shed":
                shed(table, amount)
            case "limit":
                store.limit_memory(amount)
        for trace_id, chunks in expected.items():
            entry = table.get(trace_id)
            assert entry is not None
            assert table.read(entry) == chunks
    spill._reserve_bytes = 0
    store.try_again()
    table.clear()
    store.flush()
    assert (store.memory_bytes, store.disk_bytes, store.unwritten_bytes, spill.size_bytes) == (0, 0, 0, 0)
    store.close()


def test_shedding_frees_what_was_asked_for(tmp_path: Path) -> None:
    """The newest traces go first; entries stay; nothing is left to shed in the end."""
    store = ChunkStore(1 << 30, RocksSpill(tmp_path / "spans"))
    table = TraceTable(store)
    entries = [table.begin(ident(n), bytes([n]) * 1000, Counted(), n, n) for n in range(100)]
    before = store.memory_bytes
    assert shed(table, 10_000) == 10_000
    store.flush()
    assert before - store.memory_bytes == 10_000
    assert store.disk_bytes == 10_000
    assert [entry.spilled for entry in entries] == [False] * 90 + [True] * 10
    assert shed(table, 1 << 30) == 90_000
    assert shed(table, 1 << 30) == 0
    store.flush()
    assert [table.read(entry) for entry in entries] == [[bytes([n]) * 1000] for n in range(100)]
    store.close()


def test_a_spill_says_why_it_takes_nothing(tmp_path: Path) -> None:
    """The message names the folder and what is free."""
    spill = RocksSpill(tmp_path / "spans", reserve_bytes=NEVER)
    spill.put(b"chunk")
    with pytest.raises(SpillError, match=r"the disk of .*spans is full: \d+ MiB free"):
        spill.flush()
    spill.close()
