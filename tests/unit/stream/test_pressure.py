"""What a worker does when brokers, the disk or its memory hold it back."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from sampler.engine.chunk_store import ChunkStore
from sampler.engine.spill import RocksSpill
from sampler.stream.brakes import DECISIONS_SLOW, DISK_FULL, MEMORY, OUTPUTS_REFUSED, OUTPUTS_SLOW
from sampler.stream.memory_guard import Level, MemoryGuard, MemoryLimits
from sampler.stream.pressure import Pressure, PressureSettings, Surroundings
from sampler.stream.relief import PipelineLimits
from sampler.web.health import Health
from tests.unit.stream.pipeline_lab import Worker, make_log, spans_in

MIB = 1024 * 1024


@dataclass
class Things:
    """Outputs, source and machine as far as the pressure looks at them."""

    unacknowledged: int = 0
    unacknowledged_bytes: int = 0
    refused: str = ""
    fetch_share: float = 1.0
    used_bytes: int = 0
    free_bytes: int = 1000 * MIB
    trims: int = 0

    def __len__(self) -> int:
        return self.unacknowledged

    def trim(self) -> None:
        self.trims += 1


@dataclass
class Lab:
    """A pressure over a real pipeline."""

    worker: Worker
    limit_mib: int = 0
    things: Things = field(default_factory=Things)
    health: Health = field(default_factory=Health)
    now_s: float = 0.0

    def __post_init__(self) -> None:
        things = self.things
        self.pressure = Pressure(
            PressureSettings(64 * MIB, 16 * MIB, 100),
            Surroundings(lambda: things.used_bytes, lambda: things.free_bytes, things.trim),
            MemoryGuard(MemoryLimits(self.limit_mib * MIB)),
            cast(Any, things),
            cast(Any, things),
            self.worker.store,
            self.health,
        )

    def look(self, seconds: float = 1.0) -> frozenset[str]:
        self.now_s += seconds
        self.pressure.look(self.now_s, self.worker.pipeline)
        return self.pressure.brakes.holding

    @property
    def not_ready(self) -> list[str]:
        return [part.detail for part in self.health.ready(0).parts if not part.ok]


def lab(limit_mib: int = 0, store: ChunkStore | None = None, limits: PipelineLimits | None = None) -> Lab:
    broker, _ = make_log(1, 400)
    return Lab(Worker(broker, 1, limits or PipelineLimits(), store=store or ChunkStore()), limit_mib)


def test_refused_and_slow_outputs_stop_fetching_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """Between two looks too; each is named by its reason, in the log, in readiness and by the brakes."""
    it = lab()
    assert it.look() == frozenset()
    assert it.pressure.allows_fetching()
    it.things.refused = "sampled: an output was refused: not enough replicas"
    assert not it.pressure.allows_fetching()
    with caplog.at_level(logging.WARNING):
        assert it.look() == {OUTPUTS_REFUSED}
        it.look()
    assert it.not_ready == [f"outputs_refused: {it.things.refused}"]
    assert len(caplog.records) == 1
    it.things.refused, it.things.unacknowledged = "", 100
    assert not it.pressure.allows_fetching()
    assert it.look() == {OUTPUTS_SLOW}
    assert it.not_ready == []
    it.things.unacknowledged, it.things.unacknowledged_bytes = 0, 64 * MIB
    assert not it.pressure.allows_fetching()
    for _ in range(5):
        it.look()
    assert "64.0 MiB" in it.not_ready[0]
    it.things.unacknowledged_bytes = 0
    assert it.pressure.allows_fetching()
    assert it.look() == frozenset()
    assert it.not_ready == []


def test_a_full_disk_stops_fetching_until_there_is_room() -> None:
    """The decision tables could not be written; it takes some more room to begin again than to stop."""
    it = lab()
    it.look()
    for free_mib, held in ((20, False), (15, True), (20, True), (33, False), (20, False)):
        it.things.free_bytes = free_mib * MIB
        assert (it.look() == {DISK_FULL}) == held
        assert it.pressure.allows_fetching() != held


def test_a_spill_that_takes_nothing_is_told_and_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Fetching goes on in memory meanwhile; not ready, because it cannot go on for ever."""
    spill = RocksSpill(tmp_path / "spans", reserve_bytes=1 << 60)
    it = lab(store=ChunkStore(0, spill))
    it.worker.fetch(50)
    with caplog.at_level(logging.WARNING):
        assert it.look() == frozenset()
        assert "is full" in it.not_ready[0]
        spill._reserve_bytes = 0
        for _ in range(10):
            it.look()
    assert it.not_ready == []
    assert [record.getMessage().split(":")[0] for record in caplog.records if record.levelno >= logging.WARNING] == [
        "waiting spans stay in memory", "waiting spans can be put on disk again",
    ]  # fmt: skip
    assert it.worker.store.unwritten_bytes == 0


def test_while_the_disk_takes_nothing_the_oldest_are_decided_early_at_the_memory_limit(tmp_path: Path) -> None:
    """Memory does not grow without end; nothing of the traces that are kept is lost."""
    broker, _ = make_log(9, 4000)
    store = ChunkStore(2000, RocksSpill(tmp_path / "spans", reserve_bytes=1 << 60))
    worker = Worker(broker, 1, PipelineLimits(memory_limit_bytes=60_000), store=store, decision_wait_ms=100_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sampler.stream.relief.TROUBLE_ALLOWANCE_BYTES", 10_000)
        for _ in range(100):
            worker.fetch(30)
            assert store.memory_bytes + store.unwritten_bytes <= 61_000
    worker.acknowledge(len(worker.in_flight))
    counts = worker.pipeline.take_counts()
    assert counts.early["table_full"] > 100
    assert store.trouble
    assert spans_in(broker.sampled)


def test_entries_that_filled_the_memory_before_are_not_decided_for_it(tmp_path: Path) -> None:
    """What is in memory when the disk fills up may stay there, and some more."""
    spill = RocksSpill(tmp_path / "spans")
    broker, _ = make_log(9, 4000)
    limits = PipelineLimits(memory_limit_bytes=1)
    worker = Worker(broker, 1, limits, store=ChunkStore(0, spill), decision_wait_ms=100_000)
    worker.fetch(1000)
    assert worker.store.memory_bytes > 1
    spill._reserve_bytes = 1 << 60
    worker.fetch(1000)
    assert worker.store.trouble
    assert worker.pipeline.take_counts().early["table_full"] == 0


def test_soft_memory_spills_earlier_and_fetches_less(tmp_path: Path) -> None:
    """And all is as before when there is room again."""
    store = ChunkStore(64 * MIB, RocksSpill(tmp_path / "spans"))
    it = lab(100, store)
    it.worker.fetch(300)
    it.look()
    assert (it.pressure.guard.level, it.things.fetch_share, store.memory_limit_bytes) == (Level.CALM, 1.0, 64 * MIB)
    it.things.used_bytes = 80 * MIB
    assert it.look() == frozenset()
    assert (it.pressure.guard.level, it.things.fetch_share, store.memory_limit_bytes) == (Level.SOFT, 0.25, 32 * MIB)
    assert it.pressure.allows_fetching()
    it.things.used_bytes = 10 * MIB
    it.look()
    assert (it.things.fetch_share, store.memory_limit_bytes) == (1.0, 64 * MIB)


def test_hard_memory_stops_fetching_spills_all_and_then_decides_the_oldest(tmp_path: Path) -> None:
    """Step by step: what can go to disk goes there first; what took the memory has ten seconds to give it back; when
    nothing is left at all, work goes on, and it is said.
    """
    store = ChunkStore(64 * MIB, RocksSpill(tmp_path / "spans"))
    it = lab(100, store)
    it.worker.fetch(300)
    pending = sum(len(engine.table) for engine in it.worker.pipeline.engines)
    assert pending > 10
    it.things.used_bytes = 95 * MIB
    assert it.look() == {MEMORY}
    assert it.pressure.lets_go
    assert not it.pressure.allows_fetching()
    assert store.disk_bytes > 0
    for _ in range(32):
        assert it.look(0.3) == {MEMORY}
    assert it.worker.pipeline.take_counts().early == {}
    assert it.things.trims > 0
    for _ in range(1000):
        if it.look(0.3) != {MEMORY}:
            break
    assert sum(len(engine.table) for engine in it.worker.pipeline.engines) == 0
    assert it.worker.pipeline.take_counts().early["table_full"] == pending
    assert it.pressure.allows_fetching()
    assert "nothing left to give up" in it.not_ready[0]
    it.things.used_bytes = 10 * MIB
    it.look()
    assert it.not_ready == []


def test_hard_memory_waits_for_outputs_before_it_decides_early(tmp_path: Path) -> None:
    """What waits for the broker goes by itself, and a decision would only add to it."""
    it = lab(100, ChunkStore(0, RocksSpill(tmp_path / "spans")))
    it.worker.fetch(300)
    it.things.used_bytes, it.things.unacknowledged_bytes = 95 * MIB, 1000
    for _ in range(300):
        it.look(0.3)
    assert it.worker.pipeline.take_counts().early == {}


def test_decisions_that_do_not_reach_the_brokers_stop_fetching() -> None:
    """The outputs are taken, but the changelog is not: what is decided piles up unless fetching stops."""
    it = lab()
    it.worker.fetch(50)
    done = [False]

    class Recording:
        def done(self) -> bool:
            return done[0]

    cast(Any, it.worker.broker).put = lambda partition, record: Recording()
    it.worker.fetch(300)
    it.worker.acknowledge(len(it.worker.in_flight))
    assert it.worker.pipeline.recording
    held = [it.look() for _ in range(20)]
    assert held[5] == frozenset()
    assert held[-1] == {DECISIONS_SLOW}
    done[0] = True
    it.worker.pipeline.finish_acknowledged()
    assert it.look() == frozenset()
