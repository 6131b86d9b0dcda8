"""Policies exchanged at any moment among lost batches, refused outputs and crashes, against a plain reference."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from policies.policy_set import build_policy_set
from policies.testing import Trace, decide, event, resource, span, trace
from policies.verdict import Verdict
from tests.unit.stream.pipeline_lab import Broker, Worker, spans_in

ERRORS = {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}
RED = {"name": "red", "type": "string_attribute", "string_attribute": {"key": "color", "values": ["red"]}}
BLUE = {"name": "blue", "type": "string_attribute", "string_attribute": {"key": "color", "values": ["blue"]}}
WARM = {
    "name": "warm", "type": "string_attribute",
    "string_attribute": {"key": "color", "values": ["red", "yel.*"], "enabled_regex_matching": True},
}  # fmt: skip
NO_CUSTOMER = {
    "name": "anonymous", "type": "string_attribute",
    "string_attribute": {"key": "customer", "values": ["known"], "invert_match": True},
}  # fmt: skip
HALF = {"name": "half", "type": "probabilistic", "probabilistic": {"sampling_percentage": 50}}
LONG = {"name": "long", "type": "latency", "latency": {"threshold_ms": 400}}
NOT_BLUE = {"name": "no-blue", "type": "drop", "drop": {"drop_sub_policy": [{**BLUE, "name": "is-blue"}]}}
BOTH = {"name": "both", "type": "and", "and": {"and_sub_policy": [{**RED, "name": "r"}, {**ERRORS, "name": "e"}]}}

SETS: list[tuple[list[dict[str, Any]], int]] = [
    ([ERRORS], 1000),
    # The same conditions in another order, so that every bit means something else.
    ([RED, ERRORS, BLUE], 1000),
    ([BLUE, ERRORS, RED], 800),
    ([BLUE], 1200),
    # No condition of a span at all, and one that must hold for none of them.
    ([LONG, HALF], 1000),
    ([NO_CUSTOMER, NOT_BLUE], 700),
    ([WARM, BOTH], 1500),
]
REFERENCE = {id(specs): build_policy_set(specs) for specs, _ in SETS}


@dataclass
class Traffic:
    """A log of one span a record, and every trace in it as it is when it is decided: without its straggler."""

    broker: Broker
    traces: dict[bytes, Trace]
    span_ids: dict[bytes, set[bytes]]


def make_traffic(seed: int, count: int) -> Traffic:
    """Traces that last half a second, which is less than any wait; every fifth has a straggler that comes too late."""
    rng = random.Random(seed)
    records: list[tuple[int, bytes]] = []
    traces, span_ids = {}, {}
    for number in range(count):
        begin_ms, trace_id = 1000 + number * 60, rng.randbytes(16)
        parts = [
            resource(
                {"color": rng.choice(("red", "blue", "yellow", "grey"))} if rng.random() < 0.4 else {},
                span(
                    f"op{place}", 0, rng.choice((50, 300, 450)), root=place == 0, span_id=rng.randbytes(8),
                    status="ERROR" if rng.random() < 0.1 else "UNSET",
                    attributes={"customer": rng.choice(("known", "unknown"))} if rng.random() < 0.3 else {},
                    events=[event("exception")] if rng.random() < 0.1 else [],
                ),
            )
            for place in range(4)
        ]  # fmt: skip
        whole = trace(*parts, trace_id=trace_id)
        times = [begin_ms, *(begin_ms + rng.randrange(500) for _ in range(3))]
        on_time = 4
        if number % 5 == 0:
            times[3], on_time = begin_ms + 3000, 3
        for part, at_ms in zip(whole.resource_spans, times, strict=True):
            records.append((at_ms, TracesData(resource_spans=[part]).SerializeToString()))
        traces[trace_id] = Trace(trace_id, whole.resource_spans[:on_time])
        span_ids[trace_id] = {part.scope_spans[0].spans[0].span_id for part in whole.resource_spans}
    records.sort(key=lambda record: record[0])
    return Traffic(Broker([(offset, *record) for offset, record in enumerate(records)]), traces, span_ids)


@dataclass
class Judge:
    """Holds every decision against the set that was in force when it was handed out."""

    traffic: Traffic
    verdicts: dict[bytes, list[Verdict]] = field(default_factory=dict)
    _seen: int = 0

    def look(self, worker: Worker) -> None:
        """Judge what a worker has decided since the last look; nothing may have been exchanged meanwhile."""
        for trace_id, verdict in worker.decided:
            verdicts = self.verdicts.setdefault(trace_id, [])
            # A decision that late spans have followed is recorded once more.
            if verdict not in verdicts:
                assert verdict == decide(REFERENCE[id(worker.specs)], self.traffic.traces[trace_id])
                verdicts.append(verdict)
        worker.decided.clear()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("fetch"), st.integers(1, 60)),
        st.tuples(st.just("reload"), st.integers(0, len(SETS) - 1)),
        st.tuples(st.just("lose"), st.integers(1, 60)),
        st.tuples(st.just("delay"), st.integers(1, 60)),
        st.tuples(st.just("idle"), st.integers(0, 400)),
        st.tuples(st.just("acknowledge"), st.integers(1, 20)),
        st.tuples(st.just("refuse"), st.just(1)),
        st.tuples(st.just("commit"), st.just(0)),
        st.tuples(st.just("revoke"), st.just(0)),
        st.tuples(st.just("crash"), st.integers(0, 10)),
    ),
    max_size=60,
)


def run(traffic: Traffic, steps: Sequence[tuple[str, int]], judge: Judge) -> bool:
    """Carry out the steps and then read to the end; says whether nothing happened that may repeat outputs."""
    broker, harmless = traffic.broker, True
    worker = Worker(broker, 1, specs=SETS[0][0], decision_wait_ms=SETS[0][1])
    for step, amount in steps:
        match step:
            case "reload":
                worker.reload(*SETS[amount])
            case "refuse" if worker.in_flight:
                harmless = False
                worker.step(step, amount)
            case "revoke" | "crash":
                harmless = False
                if step == "revoke":
                    worker.commit()
                else:
                    worker.acknowledge(min(amount, len(worker.in_flight)))
                worker = Worker(
                    broker, worker.generation + 1, specs=worker.specs, decision_wait_ms=worker.decision_wait_ms
                )
            case _:
                worker.step(step, amount)
        judge.look(worker)
    worker.finish()
    judge.look(worker)
    return harmless


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), STEPS)
def test_every_trace_is_decided_by_the_set_in_force_and_none_is_lost(seed: int, steps: list[tuple[str, int]]) -> None:
    """Exactly as a plain reference decides the whole trace by the policies in force at its decision, late spans too.

    Where nothing went wrong beside, it is decided and written once. After a crash a decision that nobody had recorded
    may be made again, by the policies of that moment; what was recorded stands.
    """
    traffic = make_traffic(seed, 60)
    judge = Judge(traffic)
    harmless = run(traffic, steps, judge)
    assert judge.verdicts.keys() == traffic.traces.keys()
    final = {trace_id: verdict for record in recorded(traffic.broker) for trace_id, verdict in record}
    assert final.keys() == traffic.traces.keys()
    found = spans_in(traffic.broker.sampled)
    kept = {trace_id for trace_id, verdict in final.items() if verdict.sampled}
    assert {trace_id: set(found[trace_id]) for trace_id in kept} == {i: traffic.span_ids[i] for i in kept}
    ever_kept = {trace_id for trace_id, verdicts in judge.verdicts.items() if any(v.sampled for v in verdicts)}
    assert found.keys() <= ever_kept
    if harmless:
        assert all(len(verdicts) == 1 for verdicts in judge.verdicts.values())
        assert found.keys() == kept
        assert all(times == 1 for spans in found.values() for times in spans.values())


def recorded(broker: Broker) -> list[Any]:
    """The records of the decision table, so that of two decisions on a trace the one that stands comes last."""
    return sorted(broker.recovered(0), key=lambda record: record.key, reverse=True)


def test_reloads_that_change_no_condition_scan_nothing_again() -> None:
    """Another percentage, another name, another order of what asks nothing of spans: payload is left alone."""
    traffic = make_traffic(1, 60)
    worker = Worker(traffic.broker, 1, specs=[ERRORS, RED, HALF])
    worker.fetch(40)
    tenth = {**HALF, "probabilistic": {"sampling_percentage": 10}}
    worker.reload([{**ERRORS, "name": "failed"}, {**RED, "name": "reddish"}, LONG, tenth])
    worker.finish()
    counts = worker.pipeline.take_counts()
    assert counts.traces_rescanned == 0
    assert {policy for policy, _ in counts.by_policy} >= {"failed", "reddish", "half"}


def test_only_traces_that_were_pending_are_scanned_again_and_once() -> None:
    """However many reloads they wait through; traces that begin later never are."""
    traffic = make_traffic(2, 60)
    worker = Worker(traffic.broker, 1, specs=[ERRORS])
    worker.fetch(60)
    pending = sum(len(engine.table) for engine in worker.pipeline.engines)
    assert pending > 5
    for specs in ([RED, ERRORS], [BLUE, ERRORS], [ERRORS], [WARM]):
        worker.reload(specs)
    worker.finish()
    assert worker.pipeline.take_counts().traces_rescanned == pending


def test_a_new_wait_is_for_new_traces() -> None:
    """A trace that is pending keeps the deadline it was given."""
    traffic = make_traffic(3, 20)
    worker = Worker(traffic.broker, 1, specs=[ERRORS], decision_wait_ms=20_000)
    worker.fetch(4)
    old = {entry.trace_id for engine in worker.pipeline.engines for entry in engine.table.by_age()}
    worker.reload([ERRORS], 1000)
    worker.fetch(1000)
    worker.fetch(0, idle_ms=worker.last_ms + 1250)
    decided = {trace_id for trace_id, _ in worker.decided}
    assert old
    assert decided == traffic.traces.keys() - old
    worker.fetch(0, idle_ms=worker.last_ms + 20_000)
    assert {trace_id for trace_id, _ in worker.decided} == traffic.traces.keys()


def test_the_reference_tells_the_sets_apart() -> None:
    """Any two of the sets above judge many traces differently, so that a decision by the wrong one is seen."""
    traffic = make_traffic(4, 200)
    verdicts = [[decide(build_policy_set(specs), each) for each in traffic.traces.values()] for specs, _ in SETS]
    for number, first in enumerate(verdicts):
        for second in verdicts[number + 1 :]:
            assert sum(one != two for one, two in zip(first, second, strict=True)) > 10
