"""One conformance suite over the forms of the trace table: in memory, spilling, all on disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sampler.engine import native, trace_table
from sampler.engine.chunk_store import ChunkStore
from sampler.engine.entry import PlainTraceEntry, TraceEntry, plain_discard_from
from sampler.engine.spill import RocksSpill
from sampler.engine.trace_table import TraceTable


@dataclass
class Counted:
    """A summary as far as the table looks at it."""

    span_count: int = 1

    def merge(self, other: Counted) -> None:
        self.span_count += other.span_count


def ident(number: int) -> bytes:
    return number.to_bytes(16, "big")


def append(table: TraceTable, trace_id: bytes, chunk: bytes, summary: Counted, offset: int, timestamp_ms: int) -> None:
    """Add a chunk to its trace, which begins here if it is new."""
    entry = table.get(trace_id)
    if entry is None:
        table.begin(trace_id, chunk, summary, offset, timestamp_ms)
    else:
        table.extend(entry, chunk, summary)


def at(table: TraceTable, number: int) -> TraceEntry:
    """The entry of an undecided trace."""
    entry = table.get(ident(number))
    assert entry is not None
    return entry


def take(table: TraceTable, entry: TraceEntry) -> list[bytes]:
    """Remove a trace and return its chunks."""
    chunks = list(table.read(entry))
    table.discard([entry])
    return chunks


@pytest.fixture(params=["compiled", "plain"], autouse=True)
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The entries of a table in both forms."""
    if request.param == "compiled":
        assert native.compiled is not None
    else:
        monkeypatch.setattr(trace_table, "TraceEntry", PlainTraceEntry)
        monkeypatch.setattr(trace_table, "discard_from", plain_discard_from)


@pytest.fixture(params=["memory", "spilling", "disk"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ChunkStore]:
    """A chunk store of each form; the spilling one takes about ten chunks before it spills."""
    if request.param == "memory":
        made = ChunkStore()
    else:
        limit = 10_000 if request.param == "spilling" else 0
        made = ChunkStore(limit, RocksSpill(tmp_path / "spans", bucket_bytes=2_000))
    yield made
    made.close()


def test_a_trace_comes_back_whole_and_in_order_of_arrival(store: ChunkStore) -> None:
    """Chunks that arrive in several batches come back in their order, once."""
    table = TraceTable(store)
    for step in range(30):
        for trace in range(5):
            append(table, ident(trace), b"%d-%d;" % (trace, step) * 20, Counted(), step, step)
        store.flush()
    assert len(table) == 5
    assert table.span_count == 150
    for trace in range(5):
        assert take(table, at(table, trace)) == [b"%d-%d;" % (trace, step) * 20 for step in range(30)]
    assert len(table) == table.span_count == 0
    assert store.memory_bytes == store.disk_bytes == 0


def test_chunks_of_the_batch_under_way_can_be_read(store: ChunkStore) -> None:
    """A trace decided in the middle of a batch is read before the batch is written."""
    table = TraceTable(store)
    append(table, ident(1), b"early", Counted(), 0, 0)
    assert take(table, at(table, 1)) == [b"early"]


def test_a_discarded_trace_is_gone_and_gives_its_space_back(store: ChunkStore) -> None:
    """Discarding reads nothing and leaves no bytes behind."""
    table = TraceTable(store)
    for number in range(50):
        append(table, ident(number), b"x" * 500, Counted(), number, number)
        store.flush()
    gone = at(table, 3)
    for number in range(50):
        table.discard([at(table, number)])
    assert store.memory_bytes == store.disk_bytes == 0
    assert table.get(ident(3)) is None
    with pytest.raises(KeyError):
        table.discard([gone])


def test_the_oldest_undecided_trace_is_known_whatever_was_decided_before(store: ChunkStore) -> None:
    """The head of the arrivals skips traces that were decided early."""
    table = TraceTable(store)
    for number in range(4):
        append(table, ident(number), b"c", Counted(), 10 + number, number)
    table.discard([at(table, 1)])
    table.discard([at(table, 0)])
    oldest = table.oldest()
    assert oldest is not None
    assert (oldest.trace_id, oldest.first_offset) == (ident(2), 12)
    assert [entry.trace_id for entry in table.by_age()] == [ident(2), ident(3)]


def test_entries_decided_behind_an_old_one_do_not_pile_up() -> None:
    """One trace that stays undecided does not keep the memory of all that were decided after it."""
    table = TraceTable(ChunkStore())
    for number in range(30_000):
        append(table, ident(number), b"c", Counted(), number, number)
        if number:
            table.discard([at(table, number)])
    assert len(list(table.arrivals)) <= 10_003
    oldest = table.oldest()
    assert oldest is not None
    assert oldest.trace_id == ident(0)


def test_clearing_gives_everything_back(store: ChunkStore) -> None:
    """A lost partition leaves nothing in memory or on disk."""
    table = TraceTable(store)
    for number in range(40):
        append(table, ident(number), b"y" * 700, Counted(), number, number)
        store.flush()
    table.clear()
    assert table.oldest() is None
    assert store.memory_bytes == store.disk_bytes == 0


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["append", "take", "discard", "flush"])), max_size=60))
def test_any_order_of_calls_agrees_with_a_dict(store: ChunkStore, steps: list[tuple[int, str]]) -> None:
    """The table holds exactly what a plain dict of lists would."""
    table, model = TraceTable(store), dict[bytes, list[bytes]]()
    for offset, (number, call) in enumerate(steps):
        trace_id = ident(number)
        if call == "append":
            chunk = b"%d:" % offset * 100
            append(table, trace_id, chunk, Counted(), offset, offset)
            model.setdefault(trace_id, []).append(chunk)
        elif call == "flush":
            store.flush()
        elif trace_id in model:
            expected = model.pop(trace_id)
            if call == "take":
                assert take(table, at(table, number)) == expected
            else:
                table.discard([at(table, number)])
    assert {entry.trace_id: table.read(entry) for entry in table.by_age()} == model
    table.clear()
    assert store.memory_bytes == store.disk_bytes == 0


def test_spilled_buckets_are_deleted_with_their_last_chunk(tmp_path: Path) -> None:
    """Disk space comes back bucket by bucket, without a delete per trace."""
    spill = RocksSpill(tmp_path / "spans", bucket_bytes=1_000)
    table = TraceTable(ChunkStore(0, spill))
    for number in range(20):
        append(table, ident(number), b"z" * 400, Counted(), number, number)
        spill.flush()
    assert len(list((tmp_path / "spans").iterdir())) == 7
    for number in range(19):
        table.discard([at(table, number)])
    assert len(list((tmp_path / "spans").iterdir())) == 1
    spill.close()
    assert not (tmp_path / "spans").exists()


def test_memory_is_used_first_and_the_rest_is_spilled(tmp_path: Path) -> None:
    """Below the limit nothing touches the disk; beyond it memory does not grow with the payload."""
    store = ChunkStore(50_000, RocksSpill(tmp_path / "spans"))
    table = TraceTable(store)
    for number in range(10):
        append(table, ident(number), b"a" * 1000, Counted(), number, number)
    assert store.disk_bytes == 0
    for number in range(10, 100):
        append(table, ident(number), b"a" * 1000, Counted(), number, number)
    store.flush()
    assert store.disk_bytes > 50_000
    assert store.memory_bytes < 50_000 + 100 * 700
    store.close()
