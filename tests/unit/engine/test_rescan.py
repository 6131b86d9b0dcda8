"""Traces that are pending when the policies change: their conditions are answered anew from their payload."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from policies.policy_set import build_policy_set
from policies.verdict import Verdict
from sampler.engine.chunk_store import ChunkStore
from sampler.engine.decision_memory import DecisionMemory
from sampler.engine.decision_record import DecisionRecord, Owner, decode
from sampler.engine.partition import PartitionEngine, PartitionStart
from sampler.engine.settings import EngineSettings
from sampler.engine.settlement import EngineCounts
from sampler.engine.spill import RocksSpill
from sampler.otlp import compile_plan, get_scanner
from tests.unit.engine.engine_samples import ALL, ERRORS, RED, span
from tests.unit.otlp.wire_conditions import random_conditions
from tests.unit.otlp.wire_samples import SCANNERS, Generator, reencoded

FAR_FUTURE_MS = 10**15
SEEDS = st.integers(0, 2**32)
SETTINGS = EngineSettings(decision_wait_ms=2000)


class Bench:
    """An engine, the verdicts it has given, and what it has written, by trace number."""

    def __init__(
        self, *specs: Mapping[str, Any], store: ChunkStore | None = None, scanner: Literal["compiled", "upb"] = "upb",
        engine_settings: EngineSettings = SETTINGS, state: dict[str, Any] | None = None, **options: Any,
    ) -> None:  # fmt: skip
        policies = build_policy_set(specs, **options)
        self.counts = EngineCounts()
        self.plan = compile_plan(policies.span_conditions)
        self.engine = PartitionEngine(
            PartitionStart(0, Owner(1, 1), 0, state=state), engine_settings, policies, get_scanner(scanner), self.plan,
            store or ChunkStore(), DecisionMemory(), self.counts,
        )  # fmt: skip
        self.offset = 0
        self.verdicts: dict[int, Verdict] = {}
        self.written: dict[int, list[TracesData]] = {}
        self.records: list[DecisionRecord] = []

    def append(self, at_ms: int, *values: bytes) -> None:
        self.engine.append([(self.offset + n, at_ms, value) for n, value in enumerate(values)], FAR_FUTURE_MS)
        self.offset += len(values)
        self._settle()

    def advance(self, stream_ms: int) -> None:
        self.engine.advance(stream_ms, FAR_FUTURE_MS)
        self._settle()

    def reload(self, *specs: Mapping[str, Any], engine_settings: EngineSettings = SETTINGS, **options: Any) -> None:
        policies = build_policy_set(specs, **options)
        self.plan = compile_plan(policies.span_conditions)
        self.engine.use_policies(policies, self.plan, engine_settings)

    def _settle(self) -> None:
        settlement = self.engine.settle()
        if settlement is None:
            return
        for record in settlement.records:
            self.records.append(decode(record.key, record.encode()))
            self.verdicts |= {int.from_bytes(trace_id, "big"): verdict for trace_id, verdict in record}
        for trace_id, payload in settlement.outputs:
            self.written.setdefault(int.from_bytes(trace_id, "big"), []).append(TracesData.FromString(payload))

    @property
    def decisions(self) -> dict[int, str]:
        return {number: verdict.decision for number, verdict in self.verdicts.items()}


@pytest.fixture(params=["memory", "disk", "both"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ChunkStore:
    """All in memory, all on disk, and traces that lie in both."""
    if request.param == "memory":
        return ChunkStore()
    return ChunkStore(0 if request.param == "disk" else 1500, RocksSpill(tmp_path / "spans"))


@pytest.mark.parametrize("scanner", SCANNERS)
def test_pending_traces_are_decided_by_the_conditions_of_the_new_set(
    store: ChunkStore, scanner: Literal["compiled", "upb"]
) -> None:
    """What came before the reload counts as what came after it, wherever it lies and whatever the old bits said."""
    it = Bench(ERRORS, store=store, scanner=scanner)
    it.append(1000, span(1, 1, color="red"), span(2, 1), span(3, 1, error=True), span(4, 1, color="blue"))
    it.reload(RED)
    it.append(1500, span(1, 2), span(2, 2, color="red"), span(3, 2), span(5, 1, color="red"), span(6, 1, error=True))
    it.advance(9000)
    sampled = {number for number, decision in it.decisions.items() if decision == "sampled"}
    assert sampled == {1, 2, 5}
    assert it.decisions.keys() == {1, 2, 3, 4, 5, 6}
    assert it.counts.traces_rescanned == 4
    assert {number: len(parts) for number, parts in it.written.items()} == {1: 1, 2: 1, 5: 1}
    store.close()


def test_a_second_reload_before_the_decision_scans_for_the_last_set() -> None:
    """Also back to the first one: bits of chunks that came between mean something else."""
    it = Bench(ERRORS, RED)
    it.append(1000, span(1, 1, error=True), span(2, 1), span(3, 1))
    it.reload(RED, ERRORS)
    it.append(1500, span(2, 2, color="red"))
    it.reload(ERRORS, RED)
    it.append(1600, span(3, 2, error=True))
    it.advance(9000)
    assert {number: verdict.policy for number, verdict in it.verdicts.items()} == {1: "errors", 2: "red", 3: "errors"}


def test_a_reload_with_the_same_plan_reads_nothing() -> None:
    """The caller says so by giving the plan in force."""
    it = Bench(ERRORS)
    it.append(1000, span(1, 1, error=True))
    it.engine.use_policies(build_policy_set([{**ERRORS, "name": "failed"}]), it.plan, SETTINGS)
    it.advance(9000)
    assert it.verdicts[1].policy == "failed"
    assert it.counts.traces_rescanned == 0


def test_limits_of_the_new_settings_hold_from_the_next_span_on() -> None:
    """A trace that is too large by then is not sampled, and its payload, which is gone, is not asked for."""
    it = Bench(ALL)
    it.append(1000, span(1, 1), span(2, 1))
    it.reload(RED, ALL, engine_settings=replace(SETTINGS, maximum_trace_size_bytes=60, maximum_spans_per_trace=9))
    it.append(1100, span(1, 2))
    assert it.decisions == {1: "not_sampled"}
    assert it.verdicts[1].reason == "too_large"
    it.reload(RED, ALL, engine_settings=replace(SETTINGS, maximum_spans_per_trace=2))
    it.append(1200, span(2, 2))
    assert it.decisions == {1: "not_sampled", 2: "sampled"}


def test_at_the_hard_limit_pending_traces_are_scanned_again_too() -> None:
    """Early decisions are decisions of the new set."""
    it = Bench(ERRORS)
    it.append(1000, span(1, 1, color="red"), span(2, 1, error=True), span(3, 1, color="red"))
    it.reload(RED)
    it.engine.decide_oldest(2, "table_full")
    it.advance(1001)
    assert it.decisions == {1: "sampled", 2: "not_sampled"}


def test_late_spans_follow_the_verdict_and_the_randomness_of_their_decision() -> None:
    """With the same policy, rate and rv as the spans that left before a reload with another salt, or a crash."""
    half = {"name": "half", "type": "probabilistic", "probabilistic": {"sampling_percentage": 50}}
    first, second = Bench(half, hash_salt="old"), Bench(half, hash_salt="new")
    numbers = [random.Random(seed).getrandbits(127) + 1 for seed in range(40)]
    first.append(1000, *(span(number, 1) for number in numbers))
    first.advance(4000)
    first.reload(RED, hash_salt="new")
    for record in first.records:
        second.engine.memory.restore(record)
    for it in (first, second):
        it.append(5000, *(span(number, 2) for number in numbers))
    assert 5 < len(first.written) < 35
    assert second.written.keys() == first.written.keys()
    for number, (before, after) in first.written.items():
        assert marks(before) == marks(after) == marks(second.written[number][0])
        assert marks(before)[0].startswith("ot=th:8;rv:")


def marks(data: TracesData) -> tuple[str, dict[str, object]]:
    """What is written on the only span."""
    ((out,),) = (scope.spans for part in data.resource_spans for scope in part.scope_spans)
    return out.trace_state, {a.key: a.value.string_value or a.value.double_value for a in out.attributes}


def test_limiters_keep_their_state_unless_they_have_changed() -> None:
    """Tokens spent before a reload stay spent; another limit begins anew, and what is gone leaves no state behind."""

    def limit(name: str, burst: int) -> dict[str, Any]:
        block = {"spans_per_second": 2, "burst_capacity": burst}
        return {"name": name, "type": "rate_limiting", "rate_limiting": block}

    def kept(*specs: Mapping[str, Any]) -> tuple[int, list[str]]:
        """Traces kept two seconds after all tokens were spent, with a reload between, and whose state is left."""
        it = Bench(limit("a", 15))
        it.append(1000, *(span(number, 1) for number in range(1, 41)))
        it.advance(3000)
        spent = len(it.written)
        it.reload(*specs)
        it.append(3000, *(span(number, 1) for number in range(101, 141)))
        it.advance(5000)
        return len(it.written) - spent, sorted(key.partition("@")[0] for key in it.records[-1].state or {})

    assert kept(RED, limit("a", 15)) == (4, ["a"])
    assert kept(limit("a", 16)) == (16, ["a"])
    assert kept(limit("b", 15)) == (15, ["b"])
    assert kept(ALL) == (40, [])


def test_a_recovered_state_of_another_set_is_taken_as_far_as_it_fits() -> None:
    """A worker may run other policies than the one whose partition it takes over."""
    limited = {"name": "a", "type": "rate_limiting", "rate_limiting": {"spans_per_second": 5}}
    it = Bench(limited, state={"b@1": {"x": 1}})
    it.append(1000, span(1, 1))
    it.advance(4000)
    assert it.decisions == {1: "sampled"}
    (state,) = (record.state for record in it.records)
    assert state is not None
    assert [key.partition("@")[0] for key in state] == ["a"]


@settings(max_examples=150, deadline=None)
@given(seed=SEEDS, form=SEEDS, old_seed=st.integers(0, 9), new_seed=st.integers(0, 9))
def test_a_chunk_tells_all_that_its_record_told(seed: int, form: int, old_seed: int, new_seed: int) -> None:
    """Scanning what is kept of a trace for any conditions gives the summary that the record would have given."""
    record = reencoded(Generator(seed).request().SerializeToString(), random.Random(form))
    old, new = (compile_plan(random_conditions(each)) for each in (old_seed, new_seed))
    for name in SCANNERS:
        scanner = get_scanner(name)
        kept = [chunk for _, chunk, _ in scanner.scan(old, record).traces]
        again = [scanner.scan(new, chunk) for chunk in kept]
        assert [(result.invalid_spans, len(result.traces)) for result in again] == [(0, 1)] * len(kept)
        assert [result.traces[0] for result in again] == scanner.scan(new, record).traces
