"""The pipeline against a plain reference, with batches lost on their way, refused outputs and crashes in any order."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from sampler.stream.relief import PipelineLimits
from tests.unit.stream.pipeline_lab import PARTITION, Worker, make_log, spans_in

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
        st.tuples(st.just("rebalance"), st.integers(1, 2)),
        st.tuples(st.just("lend"), st.integers(1, 60)),
        st.tuples(st.just("crash"), st.integers(0, 10)),
    ),
    max_size=60,
)


@example(0, [("fetch", 7), ("rebalance", 1), ("rebalance", 1)])
@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), STEPS)
def test_nothing_is_lost_split_or_contradicted_whatever_happens(seed: int, steps: list[tuple[str, int]]) -> None:
    """Every trace that should be kept is written whole, no other is, and bad records are put aside."""
    broker, kept = make_log(seed, 240)
    worker, harmless = Worker(broker, 1), True
    for step, amount in steps:
        match step:
            case "gap":
                worker.go_back(worker.position)
            case "refuse" if worker.in_flight:
                harmless = False
                worker.step(step, amount)
            case "revoke":
                harmless = False
                worker.commit()
                worker = Worker(broker, worker.generation + 1)
            case "rebalance":
                # Going on where it was repeats nothing. A partition that was lost meanwhile is begun anew, and so is
                # one that is taken away again before anything of it has come.
                harmless = harmless and amount == 1 and not worker.resting
                worker.commit()
                worker.rebalanced(amount)
            case "lend":
                harmless = False
                worker.commit()
                other = Worker(broker, worker.generation + 1)
                other.fetch(amount)
                other.acknowledge(len(other.in_flight))
                other.commit()
                worker.rebalanced(2)
            case "crash":
                harmless = False
                worker.acknowledge(min(amount, len(worker.in_flight)))
                worker = Worker(broker, worker.generation + 1)
            case _:
                worker.step(step, amount)
    worker.finish()
    found = spans_in(broker.sampled)
    assert {trace_id: set(spans) for trace_id, spans in found.items()} == kept
    assert set(broker.dead) == {value for _, _, value in broker.log if value[:2] == b"\x0a\xff"}
    if harmless:
        assert all(times == 1 for spans in found.values() for times in spans.values())
        assert len(broker.dead) == len(set(broker.dead))


def test_a_partition_that_comes_back_is_gone_on_with() -> None:
    """After a rebalance that left the partition here nothing gathered is lost, read again or written twice."""
    broker, kept = make_log(11, 400)
    worker = Worker(broker, 1)
    for _ in range(10):
        worker.fetch(35)
        pending = sum(len(engine.table) for engine in worker.pipeline.engines)
        position = worker.position
        worker.rebalanced()
        worker.fetch(1)
        worker.fetch(0)
        assert worker.position == position
        assert sum(len(engine.table) for engine in worker.pipeline.engines) == pending
    assert worker.pipeline.resumed == 10
    worker.finish()
    found = spans_in(broker.sampled)
    assert {trace_id: set(spans) for trace_id, spans in found.items()} == kept
    assert all(times == 1 for spans in found.values() for times in spans.values())


def test_a_partition_that_comes_back_at_its_end_goes_on_in_time() -> None:
    """Traces pending at a rebalance are decided though no further record comes."""
    broker, kept = make_log(11, 200)
    worker = Worker(broker, 1)
    worker.fetch(1000)
    worker.rebalanced()
    worker.finish()
    assert set(spans_in(broker.sampled)) == set(kept)
    assert worker.pipeline.resumed == 1


def test_a_partition_that_others_had_meanwhile_is_begun_anew() -> None:
    """What was gathered is dropped when the generation is not the next one, or somebody else has committed."""
    broker, _ = make_log(11, 200)
    worker = Worker(broker, 1)
    worker.fetch(50)
    worker.rebalanced(2)
    worker.fetch(1)
    assert worker.pipeline.resumed == 0
    worker.fetch(50)
    broker.committed = len(broker.log)
    worker.rebalanced()
    worker.fetch(1)
    assert worker.pipeline.resumed == 0
    assert all(len(engine.table) == 0 for engine in worker.pipeline.engines)


def test_partitions_that_went_elsewhere_are_dropped_at_once() -> None:
    """Their traces take no memory from when the new assignment is known."""
    broker, _ = make_log(11, 200)
    worker = Worker(broker, 1)
    worker.fetch(50)
    worker.pipeline.hold_all()
    assert worker.store.memory_bytes > 0
    worker.pipeline.drop_held_but([PARTITION + 1])
    assert worker.store.memory_bytes == 0


def test_an_orderly_hand_over_repeats_nothing() -> None:
    """When everything is acknowledged before the partition is given up, the next owner writes nothing twice."""
    broker, kept = make_log(7, 400)
    worker = Worker(broker, 1)
    for _ in range(12):
        worker.fetch(35)
        worker.acknowledge(len(worker.in_flight))
        worker.commit()
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
