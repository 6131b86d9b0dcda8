"""A worker's pipeline between a broker and a source that live in memory: time and faults are the test's."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Status, TracesData

from policies.policy_set import build_policy_set
from policies.registry import Registry
from policies.verdict import Verdict
from sampler.engine.chunk_store import ChunkStore
from sampler.engine.decision_record import DecisionRecord, decode
from sampler.engine.retention import Retention
from sampler.engine.settings import EngineSettings
from sampler.engine.settlement import Settlement
from sampler.engine.watermark import PendingSettlement
from sampler.otlp import compile_plan, get_scanner
from sampler.stream.batch import SpanBatch
from sampler.stream.checkpoints import Checkpoints
from sampler.stream.pipeline import Pipeline
from sampler.stream.relief import PipelineLimits

ERRORS = {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}
FAR_FUTURE_MS = 10**15
PARTITION = 0


class Recorded:
    """A record that the brokers have."""

    def done(self) -> bool:
        return True


@dataclass
class Broker:
    """What outlives a crash: the span log, the committed offset, the decision table, the sampled and dead topics."""

    log: list[tuple[int, int, bytes]]
    committed: int = 0
    table: dict[bytes, bytes] = field(default_factory=dict)
    sampled: list[bytes] = field(default_factory=list)
    dead: list[bytes] = field(default_factory=list)
    routed: dict[str, list[bytes]] = field(default_factory=dict)

    def put(self, partition: int, record: DecisionRecord) -> Recorded:
        assert record.key not in self.table, "a record was overwritten"
        self.table[record.key] = record.encode()
        return Recorded()

    def forget(self, partition: int, keys: list[bytes]) -> None:
        for key in keys:
            self.table.pop(key, None)

    def recovered(self, partition: int) -> list[DecisionRecord]:
        return [decode(key, value) for key, value in self.table.items()]


@dataclass
class Worker:
    """A pipeline with a source that fetches from the broker's log, and outputs that wait to be acknowledged.

    `decided` are the decisions handed out so far, whether they are acknowledged or not.
    """

    broker: Broker
    generation: int
    limits: PipelineLimits = field(default_factory=PipelineLimits)
    decision_ttl_ms: int = 600_000
    specs: Sequence[Mapping[str, Any]] = field(default_factory=lambda: [ERRORS])
    decision_wait_ms: int = 1000
    registry: Registry | None = None
    checkpoints: Checkpoints | None = None
    retention: Retention | None = None
    retain_dropped_ms: int = 0
    unacknowledged_bytes: int = 0
    store: ChunkStore = field(default_factory=ChunkStore)

    def __post_init__(self) -> None:
        self.in_flight: list[tuple[Callable[[], None], PendingSettlement]] = []
        self.epoch = self.generation * 1000
        self.epoch_offset = self.position = self.broker.committed
        self.wanted: tuple[int, int] | None = None
        self.on_the_way: list[SpanBatch] = []
        self.last_ms = -1
        self._came_back = False
        self.decided: list[tuple[bytes, Verdict]] = []
        self.policies = build_policy_set(self.specs, registry=self.registry)
        self.pipeline = Pipeline(
            self.settings, self.policies, get_scanner(), self.store, self, self.broker, limits=self.limits,
            committed=lambda _: self.broker.committed, rewind=self.rewind, current_epoch=lambda: self.epoch,
            wall_ms=lambda: FAR_FUTURE_MS, checkpoints=self.checkpoints, retention=self.retention,
        )  # fmt: skip

    @property
    def settings(self) -> EngineSettings:
        return EngineSettings(
            decision_wait_ms=self.decision_wait_ms,
            decision_ttl_ms=self.decision_ttl_ms,
            retain_dropped_ms=self.retain_dropped_ms,
        )

    def reload(self, specs: Sequence[Mapping[str, Any]], decision_wait_ms: int = 1000) -> None:
        """Exchange the policies between two batches."""
        self.specs, self.decision_wait_ms = specs, decision_wait_ms
        self.policies = build_policy_set(specs)
        self.pipeline.use_policies(self.policies, compile_plan(self.policies.span_conditions), self.settings)

    def send(self, settlement: Settlement, pending: PendingSettlement, partition: int) -> None:
        self.decided += [decision for record in settlement.records for decision in record]
        for _, payload in settlement.outputs:
            self.in_flight.append((lambda value=payload: self.broker.sampled.append(value), pending))
        for place, _, payload in settlement.routed:
            written = self.broker.routed.setdefault(place, [])
            self.in_flight.append((lambda value=payload, to=written: to.append(value), pending))
        for letter in settlement.dead_letters:
            self.in_flight.append((lambda value=letter.value: self.broker.dead.append(value), pending))

    def rewind(self, partition: int, offset: int, last_ms: int) -> None:
        self.wanted = offset, last_ms

    @property
    def resting(self) -> bool:
        """Whether the partition came back, and nothing of it has come since."""
        return self._came_back and not list(self.pipeline.engines)

    def rebalanced(self, generations: int = 1) -> None:
        """The partition comes back to this worker, so many generations later; its source begins where it must."""
        self.pipeline.hold_all()
        self.taken_up(generations)

    def taken_up(self, generations: int) -> None:
        """The end of a rebalance of which the beginning was told to the pipeline."""
        self.generation += generations
        self.epoch += 1
        self.wanted = None
        self.epoch_offset = self.position = self.broker.committed
        self.last_ms = -1
        self._came_back = True
        self.pipeline.drop_held_but([PARTITION])

    def fetch(self, count: int, *, lost: bool = False, delayed: bool = False, idle_ms: int | None = None) -> None:
        """Fetch and deliver; a delayed batch is delivered before the next one that is not, whatever happened since."""
        if self.wanted is not None:
            self.epoch_offset, self.last_ms = self.wanted
            self.go_back(self.epoch_offset)
            self.wanted = None
        records = self.broker.log[self.position : self.position + count]
        start, self.position = self.position, self.position + len(records)
        if records:
            self.last_ms = max(self.last_ms, records[-1][1])
        if lost:
            return
        batch = SpanBatch(
            PARTITION, self.epoch, self.generation, self.epoch_offset, start, self.position, records, idle_ms
        )
        self.on_the_way.append(self.labelled(batch))
        if not delayed:
            batches, self.on_the_way = self.on_the_way, []
            for batch in batches:
                self.pipeline.process(batch)

    def labelled(self, batch: SpanBatch) -> SpanBatch:
        """The batch with what the source reads besides values."""
        return batch

    def go_back(self, offset: int) -> None:
        """Fetch from an offset in a new run, as the source also does by itself to make sure of a gap."""
        self.epoch += 1
        self.position = offset

    @property
    def at_end(self) -> bool:
        """Whether the source has read everything and is not about to go back."""
        at_end = self.position == len(self.broker.log)
        return self.wanted is None and not self.on_the_way and self.last_ms >= 0 and at_end

    def acknowledge(self, count: int, *, refused: bool = False) -> None:
        for write, pending in self.in_flight[:count]:
            if refused:
                pending.failed = True
            else:
                write()
            pending.unacknowledged -= 1
        del self.in_flight[:count]
        self.pipeline.finish_acknowledged()

    def step(self, name: str, amount: int) -> None:
        """One of the steps that the property tests share; what cannot be done now is left out."""
        match name:
            case "fetch":
                self.fetch(amount)
            case "lose":
                self.fetch(amount, lost=True)
            case "delay":
                self.fetch(amount, delayed=True)
            case "idle":
                if self.at_end:
                    self.fetch(0, idle_ms=self.last_ms + amount)
            case "acknowledge":
                self.acknowledge(amount)
            case "refuse":
                if self.in_flight:
                    self.acknowledge(1, refused=True)
            case "commit":
                self.commit()
            case _:
                raise ValueError(f"no step {name}")

    def commit(self) -> None:
        self.broker.committed = max(self.broker.committed, self.pipeline.watermarks().get(PARTITION, 0))

    def finish(self) -> None:
        """Read to the end, let time pass and acknowledge everything, as often as it takes."""
        for _ in range(200):
            self.fetch(1000)
            if self.at_end:
                # Tick by tick, as an idle partition does it: records with the same next offset follow each other.
                for later_ms in range(0, 6000, 250):
                    self.fetch(0, idle_ms=self.last_ms + later_ms)
            self.acknowledge(len(self.in_flight))
            self.commit()
            if self.broker.committed == len(self.broker.log):
                return
        raise AssertionError(f"stuck at {self.broker.committed} of {len(self.broker.log)}")


def make_log(seed: int, length: int) -> tuple[Broker, dict[bytes, set[bytes]]]:
    """A log of one span a record (every 40th is no OTLP), and the spans of the traces that must be kept.

    A trace lasts at most half the wait, so that none of its spans is late, but every fifth has a straggler.
    """
    rng = random.Random(seed)
    records: list[tuple[int, bytes]] = []
    kept: dict[bytes, set[bytes]] = {}
    for number in range(length // 4):
        begin_ms, trace_id, error = 1000 + number * 60, rng.randbytes(16), rng.random() < 0.4
        span_ids = [rng.randbytes(8) for _ in range(4)]
        times = [begin_ms, *(begin_ms + rng.randrange(500) for _ in range(3))]
        if number % 5 == 0:
            times[3] = begin_ms + 3000
        for index, (span_id, at_ms) in enumerate(zip(span_ids, times, strict=True)):
            data = TracesData()
            span = data.resource_spans.add().scope_spans.add().spans.add(trace_id=trace_id, span_id=span_id, name="op")
            if error and index == 1:
                span.status.code = Status.STATUS_CODE_ERROR
            records.append((at_ms, data.SerializeToString()))
        if error:
            kept[trace_id] = set(span_ids)
        if number % 10 == 3:
            records.append((begin_ms, b"\x0a\xff%d" % number))
    records.sort(key=lambda record: record[0])
    return Broker([(offset, at_ms, value) for offset, (at_ms, value) in enumerate(records)]), kept


def spans_in(payloads: list[bytes]) -> dict[bytes, Counter[bytes]]:
    found: dict[bytes, Counter[bytes]] = {}
    for payload in payloads:
        for resource_spans in TracesData.FromString(payload).resource_spans:
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    found.setdefault(span.trace_id, Counter())[span.span_id] += 1
    return found
