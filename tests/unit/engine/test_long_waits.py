"""Traces that wait for half an hour, with their spans on disk."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from pathlib import Path

from benchmarks.long_waits import SPANS_A_TRACE, batches
from policies.policy_set import build_policy_set
from sampler.engine.chunk_store import ChunkStore
from sampler.engine.decision_memory import DecisionMemory
from sampler.engine.decision_record import Owner
from sampler.engine.partition import PartitionEngine, PartitionStart
from sampler.engine.settings import EngineSettings
from sampler.engine.settlement import EngineCounts
from sampler.engine.spill import RocksSpill
from sampler.otlp import compile_plan, get_scanner, is_compiled
from tests.unit.stream.pipeline_lab import spans_in

WAIT_MS = 1_800_000
SPANS = 40_000
RATE = 20.0
"""Spans a second, so few that the half hour passes several times within the test's spans."""
LARGEST_BYTES_A_TRACE = 1100 if is_compiled else 2600
"""A worker at 5,000 spans/s has 900,000 such traces pending."""


def waiting(folder: Path, wait_ms: int) -> tuple[PartitionEngine, ChunkStore]:
    """An engine that keeps everything, all chunks on disk."""
    store = ChunkStore(0, RocksSpill(folder / "spans"))
    policies = build_policy_set([{"name": "all", "type": "always_sample"}])
    engine = PartitionEngine(
        PartitionStart(0, Owner(1, 1), 0), EngineSettings(decision_wait_ms=wait_ms), policies, get_scanner(),
        compile_plan(policies.span_conditions), store, DecisionMemory(), EngineCounts(),
    )  # fmt: skip
    return engine, store


def test_traces_are_whole_after_half_an_hour_on_disk(tmp_path: Path) -> None:
    """Decided 30 minutes of stream time after their first span, with every span; no more wait than come meanwhile."""
    engine, store = waiting(tmp_path, WAIT_MS)
    found: Counter[bytes] = Counter()
    most = 0
    for batch in batches(SPANS, RATE, 5):
        engine.append(batch, 1 << 50)
        most = max(most, len(engine.table))
        settlement = engine.settle()
        if settlement is not None:
            for trace_id, spans in spans_in([payload for _, payload in settlement.outputs]).items():
                found[trace_id] += len(spans)
    at_once = RATE * WAIT_MS / 1000 / SPANS_A_TRACE
    # A batch comes at once, and deadlines lie on ticks.
    assert most <= at_once + 600
    assert len(found) >= SPANS / SPANS_A_TRACE - most
    # Every decided trace has its five chunks of two spans, which have the same two ids in each chunk.
    assert set(found.values()) == {2}
    engine.close()
    assert store.disk_bytes == 0
    store.close()


def test_a_trace_on_disk_takes_little_memory(tmp_path: Path) -> None:
    """Also where each of its spans is a record of its own."""
    engine, store = waiting(tmp_path, 1 << 40)
    come = list(batches(SPANS, 5000.0, SPANS_A_TRACE))
    for batch in come[:4]:
        engine.append(batch, 1 << 50)
    # What is needed once has been taken by now.
    traces = len(engine.table)
    tracemalloc.start()
    for batch in come[4:]:
        engine.append(batch, 1 << 50)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown / (len(engine.table) - traces) < LARGEST_BYTES_A_TRACE
    engine.close()
    store.close()
