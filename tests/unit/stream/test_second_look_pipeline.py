"""Dropped traces that come back, through the pipeline: with crashes, refused outputs and rebalances at any point."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import example, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Status, TracesData

from sampler.engine.retention import Retention
from tests.unit.stream.pipeline_lab import Broker, Worker, spans_in

KEEP_MS = 60_000
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("fetch"), st.integers(1, 60)),
        st.tuples(st.just("lose"), st.integers(1, 60)),
        st.tuples(st.just("idle"), st.integers(0, 2000)),
        st.tuples(st.just("acknowledge"), st.integers(1, 20)),
        st.tuples(st.just("refuse"), st.just(1)),
        st.tuples(st.just("commit"), st.just(0)),
        st.tuples(st.just("rebalance"), st.integers(1, 2)),
        st.tuples(st.just("crash"), st.integers(0, 10)),
        st.tuples(st.just("rescue"), st.just(0)),
    ),
    max_size=50,
)


def record(trace_id: bytes, span_id: bytes, *, error: bool) -> bytes:
    data = TracesData()
    span = data.resource_spans.add().scope_spans.add().spans.add(trace_id=trace_id, span_id=span_id, name="op")
    if error:
        span.status.code = Status.STATUS_CODE_ERROR
    return data.SerializeToString()


class Traffic:
    """Traces of three spans: with an error in time, with a late one two or more seconds later, or without any."""

    def __init__(self, seed: int, traces: int) -> None:
        rng = random.Random(seed)
        self.early: dict[bytes, set[bytes]] = {}
        self.late: dict[bytes, set[bytes]] = {}
        self.plain: dict[bytes, set[bytes]] = {}
        records: list[tuple[int, bytes]] = []
        for number in range(traces):
            begin_ms, trace_id = 1000 + number * 60, rng.randbytes(16)
            span_ids = [rng.randbytes(8) for _ in range(3)]
            kind = rng.choice([self.early, self.late, self.plain])
            kind[trace_id] = set(span_ids)
            last_ms = begin_ms + (rng.randrange(2000, 6000) if kind is self.late else 400)
            for at_ms, span_id in zip((begin_ms, begin_ms + 200, last_ms), span_ids, strict=True):
                error = kind is not self.plain and span_id == span_ids[2]
                records.append((at_ms, record(trace_id, span_id, error=error)))
        records.sort(key=lambda each: each[0])
        self.broker = Broker([(offset, at_ms, value) for offset, (at_ms, value) in enumerate(records)])


def make(folder: str) -> Callable[[Broker, int], Worker]:
    """Starts workers that keep dropped traces in that folder, one after the other."""

    def start(broker: Broker, generation: int) -> Worker:
        kept = Retention(Path(folder) / "retained", 1 << 30)
        return Worker(broker, generation, retention=kept, retain_dropped_ms=KEEP_MS)

    return start


@example(0, [("fetch", 52), ("rebalance", 1), ("rebalance", 1)])
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), STEPS)
def test_whatever_happens_a_trace_is_whole_or_not_there(seed: int, steps: list[tuple[str, int]]) -> None:
    """What is decided in time is never lost. A late error brings its trace back, unless its worker has forgotten it."""
    with TemporaryDirectory() as folder:
        start, traffic = make(folder), Traffic(seed, 50)
        broker = traffic.broker
        worker, harmless, rescued = start(broker, 1), True, False
        for step, amount in steps:
            match step:
                case "refuse" if worker.in_flight:
                    harmless = False
                    worker.step(step, amount)
                case "rebalance":
                    # One that is taken away again before anything of it has come is begun anew.
                    harmless = harmless and amount == 1 and not worker.resting
                    worker.commit()
                    worker.rebalanced(amount)
                case "crash":
                    harmless = False
                    worker.acknowledge(min(amount, len(worker.in_flight)))
                    worker = start(broker, worker.generation + 1)
                case "rescue":
                    rescued = rescue_one(worker) or rescued
                case _:
                    worker.step(step, amount)
        worker.finish()
        found = {trace_id: set(spans) for trace_id, spans in spans_in(broker.sampled).items()}
        assert {trace_id: found.get(trace_id) for trace_id in traffic.early} == traffic.early
        others = {**traffic.late, **traffic.plain}
        if harmless:
            assert {trace_id: found.get(trace_id) for trace_id in traffic.late} == traffic.late
            assert all(found[each] == others[each] for each in found.keys() - traffic.early.keys())
            copies = [max(spans.values()) for spans in spans_in(broker.sampled).values()]
            assert set(copies) <= {1}
        assert rescued or found.keys() <= {*traffic.early, *traffic.late}
        if not rescued:
            assert all(found[each] == others[each] for each in found.keys() - traffic.early.keys())


def rescue_one(worker: Worker) -> bool:
    """Rescue the first dropped trace that is still kept."""
    for engine in worker.pipeline.engines:
        look = engine.second_look
        assert look is not None
        first = next(look.since(0, engine.time.now_ms), None)
        if first is not None and look.rescue(first[0], engine.time.now_ms):
            worker.pipeline.hand_out(engine)
            return True
    return False
