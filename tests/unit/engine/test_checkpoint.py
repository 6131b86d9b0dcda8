"""The undecided traces of a partition on disk."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from policies.policy_set import build_policy_set
from sampler.engine.checkpoint import CheckpointError, CheckpointReader, write_checkpoint
from sampler.engine.chunk_store import ChunkStore
from sampler.engine.decision_memory import DecisionMemory
from sampler.engine.decision_record import DecisionRecord, Owner
from sampler.engine.gathering import Record
from sampler.engine.partition import PartitionEngine, PartitionStart
from sampler.engine.settings import EngineSettings
from sampler.engine.settlement import EngineCounts, Settlement
from sampler.engine.spill import RocksSpill
from sampler.otlp import compile_plan, get_scanner

WALL_MS = 10**9
ERRORS = [{"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}]
START = PartitionStart(0, Owner(1, 1), 0)


def engine(
    store: ChunkStore | None = None,
    specs: Sequence[Any] = ERRORS,
    start: PartitionStart = START,
    partitions: int = 1,
    decided: Sequence[DecisionRecord] = (),
) -> PartitionEngine:
    policies, memory = build_policy_set(specs), DecisionMemory()
    for record in decided:
        memory.restore(record)
    return PartitionEngine(
        start, EngineSettings(decision_wait_ms=1000, partitions=partitions), policies, get_scanner(),
        compile_plan(policies.span_conditions), store or ChunkStore(), memory, EngineCounts(),
    )  # fmt: skip


def records(spans: Sequence[tuple[int, int, bool]], first_offset: int = 0) -> list[Record]:
    """One span a record, 40 ms apart: trace number, span number, whether an error."""
    made = []
    for place, (trace, number, error) in enumerate(spans):
        data = TracesData()
        span = (
            data.resource_spans.add()
            .scope_spans.add()
            .spans.add(trace_id=(trace + 1).to_bytes(16, "big"), span_id=(number + 1).to_bytes(8, "big"), name="op")
        )
        if error:
            span.status.code = 2
        offset = first_offset + place
        made.append((offset, 1000 + 40 * offset, data.SerializeToString()))
    return made


def saved(subject: PartitionEngine) -> bytes:
    file = io.BytesIO()
    for _ in write_checkpoint(file, subject.checkpoint_head(), subject.table):
        pass
    return file.getvalue()


def finished(subject: PartitionEngine, later: list[Record]) -> tuple[Settlement | None, int]:
    """What becomes of everything: the rest of the records, and then no more."""
    subject.append(later, WALL_MS)
    subject.advance(10**6, WALL_MS)
    return subject.settle(), subject.next_offset


spans = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 99), st.booleans()), max_size=40)


@settings(max_examples=60, deadline=None)
@given(spans, spans, st.sampled_from([None, 2000, 0]))
def test_an_engine_goes_on_from_a_checkpoint_as_if_it_had_never_stopped(
    before: Any, after: Any, limit_bytes: int | None
) -> None:
    """Decisions, outputs and offsets after a restart are those of an engine that went on, spilled chunks included."""
    with TemporaryDirectory() as folder:
        store = ChunkStore() if limit_bytes is None else ChunkStore(limit_bytes, RocksSpill(Path(folder) / "spans"))
        first = engine(store)
        first.append(records(before), WALL_MS)
        settlement = first.settle()
        content = saved(first)
        head = first.checkpoint_head()
        decided = list(settlement.records) if settlement is not None else []
        again = engine(start=replace(START, last_record=head.last_record), decided=decided)
        assert again.resume(CheckpointReader(io.BytesIO(content)), first.watermark)
        assert (again.watermark, again.next_offset) == (first.watermark, first.next_offset)
        later = records(after, len(before))
        expected, _ = finished(first, later)
        found, next_offset = finished(again, later)
        assert next_offset == first.next_offset
        assert (found is None) == (expected is None)
        if found is not None and expected is not None:
            assert sorted(found.outputs) == sorted(expected.outputs)
            assert dict(pair for record in found.records for pair in record) == dict(
                pair for record in expected.records for pair in record
            )
        store.close()


def test_a_checkpoint_of_another_state_is_refused_and_changes_nothing() -> None:
    """Another committed offset, a newer decision record, other policies or another partition count."""
    subject = engine()
    subject.append(records([(1, 1, True), (2, 2, False)]), WALL_MS)
    content = saved(subject)
    others = [
        (engine(), 1),
        (engine(start=replace(START, last_record=(1, 1, 7))), 0),
        (engine(specs=[*ERRORS, {"name": "all", "type": "always_sample"}]), 0),
        (engine(partitions=2), 0),
        (engine(start=replace(START, partition=1)), 0),
    ]
    for other, committed in others:
        assert not other.resume(CheckpointReader(io.BytesIO(content)), committed)
        assert (len(other.table), other.next_offset) == (0, 0)
    assert engine().resume(CheckpointReader(io.BytesIO(content)), 0)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_damaged_file_is_never_taken(data: st.DataObject) -> None:
    """Cut short, lengthened or with any byte changed, it is refused before a trace of it is seen."""
    subject = engine()
    subject.append(records([(1, 1, True), (2, 2, False), (1, 3, False)]), WALL_MS)
    content = saved(subject)
    place = data.draw(st.integers(0, len(content) - 1))
    damage = data.draw(st.sampled_from(["cut", "change", "add"]))
    if damage == "cut":
        content = content[:place]
    elif damage == "add":
        content += b"x"
    else:
        content = content[:place] + bytes([content[place] ^ data.draw(st.integers(1, 255))]) + content[place + 1 :]
    with pytest.raises(CheckpointError):
        CheckpointReader(io.BytesIO(content))
