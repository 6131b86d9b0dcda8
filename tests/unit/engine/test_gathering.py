"""The compiled gatherer against the plain one: the same records leave the same partition behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from policies.policy_set import build_policy_set
from sampler.engine.chunk_store import ChunkStore
from sampler.engine.decision_memory import DecisionMemory
from sampler.engine.decision_record import Owner
from sampler.engine.gathering import PlainGatherer, Record, gatherer_for
from sampler.engine.native import compiled
from sampler.engine.partition import PartitionEngine, PartitionStart
from sampler.engine.settings import EngineSettings
from sampler.engine.settlement import EngineCounts
from sampler.engine.spill import RocksSpill
from sampler.otlp import compile_plan, get_scanner
from sampler.otlp.services import service_counter

POLICIES = [
    {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
    {"name": "half", "type": "probabilistic", "probabilistic": {"sampling_percentage": 50}},
]
WALL_MS = 20_000

Spans = list[tuple[int, int, bool, bool]]
spans = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 40), st.booleans(), st.booleans()), max_size=5)
"""Trace number (0 is invalid), span number, whether a root, whether an error."""
records = st.lists(st.tuples(st.integers(0, WALL_MS + 500), spans, st.booleans()), max_size=12)
steps = st.lists(st.one_of(records, st.integers(0, WALL_MS + 500)), max_size=8)
"""Batches of records (timestamp, spans, whether it is cut short), and moments to which an idle partition advances."""
limits = st.builds(
    EngineSettings,
    decision_wait_ms=st.sampled_from([0, 100, 1000, 5000]),
    decision_wait_after_root_ms=st.sampled_from([0, 250, 700]),
    maximum_trace_size_bytes=st.sampled_from([0, 150]),
    maximum_spans_per_trace=st.sampled_from([0, 4]),
    decision_ttl_ms=st.just(600_000),
    partitions=st.sampled_from([1, 3]),
)


def value_of(content: Spans, cut_short: bool) -> bytes:
    """A record with these spans."""
    data = TracesData()
    for trace, number, root, error in content:
        resource_spans = data.resource_spans.add()
        resource_spans.resource.attributes.add(key="service.name").value.string_value = f"service-{number % 3}"
        out = resource_spans.scope_spans.add().spans.add(
            trace_id=trace.to_bytes(16, "big"), span_id=(number + 1).to_bytes(8, "big"), name="op",
            parent_span_id=b"" if root else b"parentid",
        )  # fmt: skip
        if error:
            out.status.code = 2
    value = data.SerializeToString()
    return value[:-1] if cut_short else value


@contextmanager
def engine(plain: bool, limit_bytes: int | None, engine_settings: EngineSettings) -> Iterator[PartitionEngine]:
    """An engine with one form of the gatherer; chunks beyond `limit_bytes` go to disk."""
    policies, scanner = build_policy_set(POLICIES), get_scanner("compiled")
    with TemporaryDirectory() as folder:
        store = ChunkStore() if limit_bytes is None else ChunkStore(limit_bytes, RocksSpill(Path(folder) / "spans"))
        made = PartitionEngine(
            PartitionStart(0, Owner(1, 1), 0, handled_offset=3), engine_settings, policies, scanner,
            compile_plan(policies.span_conditions), store, DecisionMemory(), EngineCounts(services=service_counter()),
        )  # fmt: skip
        if plain:
            made._gatherer = PlainGatherer(made, engine_settings, scanner)
        else:
            assert type(made._gatherer) is compiled.Gatherer
        yield made
        store.close()


def seen(subject: PartitionEngine) -> dict[str, Any]:
    """All that can be told of an engine from outside, after a settlement."""
    settlement = subject.settle()
    store = subject.table.store
    return {
        "settlement": settlement,
        "counts": subject._counts,
        "services": subject._counts.services and subject._counts.services.take(),
        "traces": [
            (e.trace_id, list(subject.table.read(e)), e.summary.pack(), e.first_offset, e.arrived_ms, e.due_ms,
             e.memory_bytes, e.foreign, e.spilled, e.too_large)
            for e in subject.table.by_age()
        ],
        "time": (subject.time.now_ms, subject.time.skew_ms, subject.deadlines.next_ms, subject.next_offset),
        "watermark": (subject.watermark, subject.watermark_lag_ms),
        "bytes": (store.memory_bytes, store.disk_bytes),
    }  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(steps, limits, st.sampled_from([None, 3000, 0]))
def test_both_forms_leave_the_same_behind(
    script: list[Any], engine_settings: EngineSettings, limit_bytes: int | None
) -> None:
    """Whatever comes in whatever batches, under any limits: traces, decisions, outputs, counts and times are equal."""
    with (
        engine(False, limit_bytes, engine_settings) as fast,
        engine(True, limit_bytes, engine_settings) as plain,
    ):
        offset = 0
        for step in script:
            if isinstance(step, int):
                fast.advance(step, WALL_MS)
                plain.advance(step, WALL_MS)
            else:
                batch: list[Record] = []
                for timestamp_ms, content, cut_short in step:
                    batch.append((offset, timestamp_ms, value_of(content, cut_short)))
                    offset += 1
                fast.append(batch, WALL_MS)
                plain.append(batch, WALL_MS)
            assert seen(fast) == seen(plain)


def test_a_scanner_that_is_wrapped_gets_the_plain_form() -> None:
    """Only the compiled scanner itself can be looked into; what stands around it must be asked."""

    class Around:
        name = "compiled"
        scan = staticmethod(get_scanner("compiled").scan)

    with engine(False, None, EngineSettings()) as host:
        around: Any = Around()
        assert isinstance(gatherer_for(host, EngineSettings(), around), PlainGatherer)


def test_what_is_no_record_is_refused() -> None:
    """Wrong types end in an exception and leave the gatherer usable."""
    with engine(False, None, EngineSettings()) as subject:
        wrong: Any = [(0, 0, "text")]
        with pytest.raises(TypeError):
            subject.append(wrong, WALL_MS)
        subject.append([(0, 0, value_of([(1, 1, True, False)], False))], WALL_MS)
        assert len(subject.table) == 1
