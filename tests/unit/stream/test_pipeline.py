"""The pipeline against a plain reference, with batches lost on their way, refused outputs and crashes in any order."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Status, TracesData

from policies.policy_set import build_policy_set
from sampler.engine.chunk_store import ChunkStore
from sampler.engine.decision_record import DecisionRecord, decode
from sampler.engine.settings import EngineSettings
from sampler.engine.settlement import Settlement
from sampler.engine.watermark import PendingSettlement
from sampler.otlp import get_scanner
from sampler.stream.batch import SpanBatch
from sampler.stream.pipeline import Pipeline, PipelineLimits

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
    """A pipeline with a source that fetches from the broker's log, and outputs that wait to be acknowledged."""

    broker: Broker
    generation: int
    limits: PipelineLimits = field(default_factory=PipelineLimits)
    decision_ttl_ms: int = 600_000
    unacknowledged_bytes: int = 0

    def __post_init__(self) -> None:
        self.in_flight: list[tuple[Callable[[], None], PendingSettlement]] = []
        self.epoch = self.generation * 1000
        self.epoch_offset = self.position = self.broker.committed
        self.wanted: int | None = None
        self.on_the_way: list[SpanBatch] = []
        self.last_ms = -1
        self.pipeline = Pipeline(
            EngineSettings(decision_wait_ms=1000, decision_ttl_ms=self.decision_ttl_ms), build_policy_set([ERRORS]),
            get_scanner(), ChunkStore(), self, self.broker, limits=self.limits,
            committed=lambda _: self.broker.committed, rewind=self.rewind, current_epoch=lambda: self.epoch,
            wall_ms=lambda: FAR_FUTURE_MS,
        )  # fmt: skip

    def send(self, settlement: Settlement, pending: PendingSettlement, partition: int) -> None:
        for _, payload in settlement.outputs:
            self.in_flight.append((lambda value=payload: self.broker.sampled.append(value), pending))
        for letter in settlement.dead_letters:
            self.in_flight.append((lambda value=letter.value: self.broker.dead.append(value), pending))

    def rewind(self, partition: int, offset: int) -> None:
        self.wanted = offset

    def fetch(self, count: int, *, lost: bool = False, delayed: bool = False, idle_ms: int | None = None) -> None:
        """Fetch and deliver; a delayed batch is delivered before the next one that is not, whatever happened since."""
        if self.wanted is not None:
            self.epoch_offset = self.wanted
            self.go_back(self.wanted)
            self.wanted = None
        records = self.broker.log[self.position : self.position + count]
        start, self.position = self.position, self.position + len(records)
        if records:
            self.last_ms = max(self.last_ms, records[-1][1])
        if lost:
            return
        self.on_the_way.append(
            SpanBatch(PARTITION, self.epoch, self.generation, self.epoch_offset, start, self.position, records, idle_ms)
        )
        if not delayed:
            batches, self.on_the_way = self.on_the_way, []
            for batch in batches:
                self.pipeline.process(batch)

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


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("fetch"), st.integers(1, 60)),
        st.tuples(st.just("lose"), st.integers(1, 60)),
        st.tuples(st.just("delay"), st.integers(1, 60)),
        st.tuples(st.just("gap"), st.just(0)),
        st.tuples(st.just("idle"), st.integers(0, 2000)),
        st.tuples(st.just("acknowledge"), st.integers(1, 20)),
        st.tuples(st.just("refuse"), st.just(1)),
        st.tuples(st.just("commit"), st.just(0)),
        st.tuples(st.just("revoke"), st.just(0)),
        st.tuples(st.just("crash"), st.integers(0, 10)),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), STEPS)
def test_nothing_is_lost_split_or_contradicted_whatever_happens(seed: int, steps: list[tuple[str, int]]) -> None:
    """Every trace that should be kept is written whole, no other is, and bad records are put aside."""
    broker, kept = make_log(seed, 240)
    worker, harmless = Worker(broker, 1), True
    for step, amount in steps:
        match step:
            case "fetch":
                worker.fetch(amount)
            case "lose":
                worker.fetch(amount, lost=True)
            case "delay":
                worker.fetch(amount, delayed=True)
            case "gap":
                worker.go_back(worker.position)
            case "idle" if worker.at_end:
                worker.fetch(0, idle_ms=worker.last_ms + amount)
            case "acknowledge":
                worker.acknowledge(amount)
            case "refuse" if worker.in_flight:
                harmless = False
                worker.acknowledge(1, refused=True)
            case "commit":
                worker.commit()
            case "revoke":
                harmless = False
                worker.commit()
                worker.pipeline.drop_all()
                worker = Worker(broker, worker.generation + 1)
            case "crash":
                harmless = False
                worker.acknowledge(min(amount, len(worker.in_flight)))
                worker = Worker(broker, worker.generation + 1)
    worker.finish()
    found = spans_in(broker.sampled)
    assert {trace_id: set(spans) for trace_id, spans in found.items()} == kept
    assert set(broker.dead) == {value for _, _, value in broker.log if value[:2] == b"\x0a\xff"}
    if harmless:
        assert all(times == 1 for spans in found.values() for times in spans.values())
        assert len(broker.dead) == len(set(broker.dead))


def test_an_orderly_hand_over_repeats_nothing() -> None:
    """When everything is acknowledged before the partition is given up, the next owner writes nothing twice."""
    broker, kept = make_log(7, 400)
    worker = Worker(broker, 1)
    for _ in range(12):
        worker.fetch(35)
        worker.acknowledge(len(worker.in_flight))
        worker.commit()
        worker.pipeline.drop_all()
        worker = Worker(broker, worker.generation + 1)
    worker.finish()
    found = spans_in(broker.sampled)
    assert {trace_id: set(spans) for trace_id, spans in found.items()} == kept
    assert all(times == 1 for spans in found.values() for times in spans.values())
    assert len(broker.dead) == len(set(broker.dead))


def test_at_the_limit_of_traces_the_oldest_are_decided_early() -> None:
    """The table never holds more than it may, and says how many it had to decide early."""
    broker, _ = make_log(3, 400)
    worker = Worker(broker, 1, PipelineLimits(max_traces=5))
    for _ in range(100):
        worker.fetch(4)
        assert sum(len(engine.table) for engine in worker.pipeline.engines) <= 5
    worker.finish()
    assert worker.pipeline.take_counts().early["table_full"] > 50


def test_old_decisions_leave_the_table_when_nothing_can_need_them() -> None:
    """Records expire by age in stream time, behind the committed watermark."""
    broker, _ = make_log(5, 4000)
    worker = Worker(broker, 1, decision_ttl_ms=5000)
    largest = 0
    while worker.position < len(broker.log):
        worker.fetch(20)
        worker.acknowledge(len(worker.in_flight))
        worker.commit()
        largest = max(largest, len(broker.table))
    assert largest < 120
