"""One partition from records to decisions, with time as an argument."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from policies.policy_set import build_policy_set
from sampler.engine.chunk_store import ChunkStore
from sampler.engine.decision_memory import DecisionMemory
from sampler.engine.decision_record import DecisionRecord, Owner
from sampler.engine.partition import PartitionEngine, PartitionStart
from sampler.engine.settings import EngineSettings
from sampler.engine.settlement import EngineCounts, Settlement
from sampler.otlp import compile_plan, get_scanner, partition_of

FAR_FUTURE_MS = 10**15
ERRORS = {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}
ALWAYS = {"name": "all", "type": "always_sample"}
HASH_HALF = {"name": "half", "type": "probabilistic", "probabilistic": {"sampling_percentage": 50}}
SETTINGS = EngineSettings(decision_wait_ms=2000)
FROM_ZERO = PartitionStart(0, Owner(1, 1), 0)


SCANNER: list[Literal["compiled", "upb"]] = ["compiled"]


@pytest.fixture(params=["compiled", "upb"], autouse=True, scope="module")
def scanner(request: pytest.FixtureRequest) -> None:
    """Both scanners, each with the gatherer that belongs to it."""
    SCANNER[0] = request.param


def ident(number: int) -> bytes:
    return number.to_bytes(16, "big")


def span(trace: int, number: int, *, root: bool = False, error: bool = False, pad: int = 0) -> bytes:
    """A record with one span."""
    data = TracesData()
    out = data.resource_spans.add().scope_spans.add().spans.add(
        trace_id=ident(trace), span_id=number.to_bytes(8, "big"), name="op" + "x" * pad,
        parent_span_id=b"" if root else b"parentid",
    )  # fmt: skip
    if error:
        out.status.code = 2
    return data.SerializeToString()


@dataclass
class Lab:
    """An engine with what it handed out so far."""

    engine: PartitionEngine
    counts: EngineCounts
    settlements: list[Settlement] = field(default_factory=list)

    def append(self, *records: tuple[int, int, bytes]) -> None:
        self.engine.append(list(records), FAR_FUTURE_MS)
        self._settle()

    def advance(self, stream_ms: int) -> None:
        self.engine.advance(stream_ms, FAR_FUTURE_MS)
        self._settle()

    def _settle(self) -> None:
        settlement = self.engine.settle()
        if settlement is not None:
            self.settlements.append(settlement)

    @property
    def spans(self) -> dict[int, Counter[int]]:
        """Span numbers that left, by trace number."""
        left: dict[int, Counter[int]] = {}
        for settlement in self.settlements:
            for _, payload in settlement.outputs:
                for resource_spans in TracesData.FromString(payload).resource_spans:
                    for scope_spans in resource_spans.scope_spans:
                        for out in scope_spans.spans:
                            trace = int.from_bytes(out.trace_id, "big")
                            left.setdefault(trace, Counter())[int.from_bytes(out.span_id, "big")] += 1
        return left

    @property
    def records(self) -> list[DecisionRecord]:
        return [record for settlement in self.settlements for record in settlement.records]

    @property
    def decisions(self) -> dict[int, str]:
        """The decision on every trace decided so far."""
        return {int.from_bytes(i, "big"): v.decision for record in self.records for i, v in record}


def lab(
    *policies: Mapping[str, Any],
    engine_settings: EngineSettings = SETTINGS,
    start: PartitionStart = FROM_ZERO,
    recovered: Sequence[DecisionRecord] = (),
) -> Lab:
    policy_set, counts, memory = build_policy_set(policies or [ALWAYS]), EngineCounts(), DecisionMemory()
    for record in recovered:
        memory.restore(record)
    engine = PartitionEngine(
        start, engine_settings, policy_set, get_scanner(SCANNER[0]), compile_plan(policy_set.span_conditions),
        ChunkStore(), memory, counts,
    )  # fmt: skip
    return Lab(engine, counts)


def test_a_trace_is_decided_when_its_wait_is_over_and_not_before() -> None:
    """The wait runs from the first span, on the grid of ticks; later spans do not extend it."""
    it = lab()
    it.append((0, 1000, span(1, 1)))
    it.append((1, 2900, span(1, 2)))
    it.append((2, 2999, span(9, 1)))
    assert it.decisions == {}
    it.append((3, 3000, span(9, 2)))
    assert it.decisions == {1: "sampled"}
    assert it.spans == {1: {1: 1, 2: 1}}


def test_a_record_that_crosses_a_tick_settles_it_before_it_is_appended() -> None:
    """In the middle of a batch too: a span beyond the deadline of its own trace comes too late for the decision."""
    it = lab(ERRORS)
    it.append((0, 1000, span(1, 1)), (1, 9000, span(1, 2, error=True)))
    assert it.decisions == {1: "not_sampled"}
    assert it.counts.late_spans == {"not_sampled": 1}


def test_the_root_brings_the_decision_forward_but_never_puts_it_off() -> None:
    """`decision_wait_after_root_received` counts from the root's arrival."""
    it = lab(engine_settings=replace(SETTINGS, decision_wait_after_root_ms=500))
    it.append(
        (0, 1000, span(1, 1)), (1, 1100, span(1, 2, root=True)), (2, 1000, span(2, 1)), (3, 2900, span(2, 2, root=True))
    )
    it.advance(1750)
    assert it.decisions == {1: "sampled"}
    it.advance(3250)
    assert it.decisions == {1: "sampled", 2: "sampled"}


def test_a_trace_with_too_many_spans_is_decided_at_once() -> None:
    """`maximum_spans_per_trace` bounds what one trace can hold; what follows is late."""
    it = lab(engine_settings=replace(SETTINGS, maximum_spans_per_trace=3))
    it.append(*((n, 1000, span(1, n + 1)) for n in range(5)))
    assert it.decisions == {1: "sampled"}
    assert it.counts.early == {"span_limit": 1}
    assert it.spans == {1: {1: 1, 2: 1, 3: 1, 4: 1, 5: 1}}


def test_a_trace_that_is_too_large_is_not_sampled_at_once() -> None:
    """`maximum_trace_size_bytes` means what it means in the Collector, whatever the policies say."""
    it = lab(engine_settings=replace(SETTINGS, maximum_trace_size_bytes=600))
    it.append(*((n, 1000, span(1, n + 1, pad=200)) for n in range(4)))
    assert it.decisions == {1: "not_sampled"}
    assert [v.reason for record in it.records for _, v in record] == ["too_large"]
    assert it.spans == {}
    assert it.engine.table.span_count == 0


@pytest.mark.parametrize(("policy", "left"), [(ALWAYS, {1: {1: 1, 2: 1}}), (ERRORS, {})])
def test_late_spans_follow_their_decision(policy: Mapping[str, Any], left: dict[int, dict[int, int]]) -> None:
    """A span that comes after its trace was decided leaves with it or is dropped with it."""
    it = lab(policy)
    it.append((0, 1000, span(1, 1)))
    it.advance(3000)
    it.append((1, 3100, span(1, 2, error=True)))
    assert it.spans == left
    assert len(it.decisions) == 1


def test_exact_copies_of_a_span_leave_once_but_count() -> None:
    """`span_count` counts what arrived; the same bytes are not written twice."""
    it = lab({"name": "two", "type": "span_count", "span_count": {"min_spans": 2}})
    it.append((0, 1000, span(1, 1)), (1, 1000, span(1, 1)))
    it.advance(3000)
    assert it.spans == {1: {1: 1}}
    assert it.counts.span_copies == 1


def test_the_watermark_is_the_first_offset_of_the_oldest_undecided_trace() -> None:
    """Whatever was decided behind it; with nothing undecided it is the next offset."""
    it = lab(engine_settings=replace(SETTINGS, maximum_spans_per_trace=2))
    it.append((5, 1000, span(1, 1)), (6, 1010, span(2, 1)), (7, 1020, span(2, 2)), (8, 1900, span(3, 1)))
    assert it.decisions == {2: "sampled"}
    assert it.engine.watermark == 5
    it.advance(3000)
    assert it.engine.watermark == 8
    it.advance(4000)
    assert it.engine.watermark == 9


def test_a_replay_skips_what_was_handled_and_finishes_what_was_not() -> None:
    """After a crash, spans below the recovered offset whose trace has a decision are not written again."""
    records = [(0, 1000, span(1, 1)), (1, 1500, span(2, 1)), (2, 3100, span(1, 2)), (3, 3200, span(3, 1))]
    before = lab()
    before.append(*records)
    assert before.decisions == {1: "sampled"}
    after = lab(start=PartitionStart(0, Owner(2, 2), 0, handled_offset=4), recovered=before.records)
    after.append(*records, (4, 3300, span(1, 3)))
    after.advance(9000)
    assert after.decisions == {1: "sampled", 2: "sampled", 3: "sampled"}
    assert after.counts.traces_decided == {"sampled": 2}
    assert after.spans == {1: {3: 1}, 2: {1: 1}, 3: {1: 1}}
    assert after.counts.replayed_spans == 2


def test_a_record_that_is_not_otlp_is_put_aside_alone() -> None:
    """The records around it are sampled as if it were not there."""
    it = lab()
    it.append((0, 1000, span(1, 1)), (1, 1000, b"\x0a\xffnonsense"), (2, 1000, span(1, 2)))
    it.advance(3000)
    assert it.spans == {1: {1: 1, 2: 1}}
    assert [(put.offset, put.value, put.reason) for s in it.settlements for put in s.dead_letters] == [
        (1, b"\x0a\xffnonsense", "not_otlp")
    ]


def test_a_span_that_no_record_can_hold_is_put_aside_and_the_rest_leaves() -> None:
    """The sampled topic's message limit cuts a trace into records, and one span that is too large out of it."""
    it = lab(engine_settings=replace(SETTINGS, max_output_bytes=700))
    it.append(*((n, 1000, span(1, n + 1, pad=250)) for n in range(4)), (4, 1000, span(1, 5, pad=2000)))
    it.advance(3000)
    assert it.spans == {1: {1: 1, 2: 1, 3: 1, 4: 1}}
    outputs = [payload for s in it.settlements for _, payload in s.outputs]
    assert len(outputs) > 1
    assert max(map(len, outputs)) <= 700
    assert [put.reason for s in it.settlements for put in s.dead_letters] == ["span_too_large"]


def test_at_the_hard_limit_the_oldest_are_decided_on_what_has_come() -> None:
    """They are counted under their reason, and their later spans follow."""
    it = lab(ERRORS)
    it.append((0, 1000, span(1, 1)), (1, 1001, span(2, 1)), (2, 1002, span(3, 1)))
    assert it.engine.decide_oldest(2, "table_full") == 2
    it.append((3, 1100, span(1, 2, error=True)))
    assert it.decisions == {1: "not_sampled", 2: "not_sampled"}
    assert it.counts.early == {"table_full": 2}


def test_spans_in_another_partition_than_their_trace_hashes_to_are_counted() -> None:
    """Every span of such a trace, while the trace is sampled as any other."""
    numbers = [random.Random(n).getrandbits(127) for n in range(20)]
    foreign = sum(partition_of(ident(number), 4, "sarama") != 0 for number in numbers)
    it = lab(engine_settings=replace(SETTINGS, partitions=4))
    it.append(*((2 * n, 1000, span(number, 1)) for n, number in enumerate(numbers)))
    it.append(*((100 + n, 1000, span(number, 2)) for n, number in enumerate(numbers)))
    it.advance(3000)
    assert len(it.spans) == 20
    assert it.counts.mispartitioned_spans == 2 * foreign > 20


def test_time_stands_still_before_the_first_record() -> None:
    """An idle partition that has delivered nothing decides nothing and settles nothing."""
    it = lab()
    it.advance(5000)
    assert it.settlements == []


def test_every_kept_span_says_why_and_how_much_it_stands_for() -> None:
    """Rate, policy and tracestate are written; the threshold is that of the whole policy set."""
    it = lab(HASH_HALF)
    it.append(*((n, 1000, span(random.Random(n).getrandbits(127) + 1, 1)) for n in range(50)))
    it.advance(3000)
    kept = [p for s in it.settlements for _, p in s.outputs]
    assert 10 < len(kept) < 40
    for payload in kept:
        out = TracesData.FromString(payload).resource_spans[0].scope_spans[0].spans[0]
        assert {a.key: a.value.string_value or a.value.double_value for a in out.attributes} == {
            "sampling.rate": 2.0,
            "sampling.policy": "half",
        }
        assert out.trace_state.startswith("ot=th:8;rv:")


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40))
def test_how_records_are_fetched_changes_nothing(seed: int, batch: int) -> None:
    """A backlog read in any batches is decided exactly as if it had been read live, record by record."""
    rng = random.Random(seed)
    records, now_ms = [], 1000
    for offset in range(120):
        now_ms += rng.choice((0, 0, 10, 90, 400))
        records.append(
            (offset, now_ms - rng.randrange(3) * 50, span(rng.randrange(30), offset + 1, error=rng.random() < 0.1))
        )
    live, late = lab(ERRORS, HASH_HALF), lab(ERRORS, HASH_HALF)
    for record in records:
        live.append(record)
    for begin in range(0, len(records), batch):
        late.append(*records[begin : begin + batch])
    for it in (live, late):
        it.advance(now_ms + 10_000)
    assert late.decisions == live.decisions
    assert late.spans == live.spans
    assert late.engine.watermark == live.engine.watermark == 120
