"""A partition that is far behind refuses new traces by their R alone, and the counts stay true."""

from __future__ import annotations

import io
import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status, TracesData

from policies.budget import BudgetRule
from policies.policy_set import PolicySet, build_policy_set
from policies.randomness import Randomness
from policies.rset import SPACE
from policies.verdict import Verdict
from sampler.engine.checkpoint import CheckpointReader, write_checkpoint
from sampler.engine.chunk_store import ChunkStore
from sampler.engine.decision_memory import DecisionMemory
from sampler.engine.decision_record import Owner
from sampler.engine.gathering import Record
from sampler.engine.overload import OverloadRule
from sampler.engine.partition import PartitionEngine, PartitionStart
from sampler.engine.retention import Retention
from sampler.engine.settings import EngineSettings
from sampler.engine.settlement import EngineCounts
from sampler.otlp import compile_plan, fnv1a64, get_scanner

NOW_MS = 10**9
LIMIT_MS = 60_000
RULE = OverloadRule(LIMIT_MS, max_share=0.75)
HALF = [{"name": "half", "type": "probabilistic", "probabilistic": {"sampling_percentage": 50}}]
FAR_MS = NOW_MS - 10 * LIMIT_MS


@pytest.fixture(params=["compiled", "upb"])
def scanner(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Lab:
    """One engine fed a record of one span at a time, and what it has decided."""

    def __init__(
        self,
        scanner: str,
        rule: OverloadRule | None = RULE,
        policies: PolicySet | None = None,
        retention: Retention | None = None,
    ) -> None:
        policies = policies or build_policy_set(HALF)
        self.counts = EngineCounts()
        settings = EngineSettings(decision_wait_ms=1000, overload=rule, retain_dropped_ms=5000 if retention else 0)
        self.engine = PartitionEngine(
            PartitionStart(0, Owner(1, 1), 0), settings, policies,
            get_scanner("compiled" if scanner == "compiled" else "upb"), compile_plan(policies.span_conditions),
            ChunkStore(), DecisionMemory(), self.counts, retention,
        )  # fmt: skip
        self.verdicts: dict[bytes, Verdict] = {}
        self.kept: set[bytes] = set()

    def append(self, spans: Iterable[bytes], at_ms: int) -> None:
        """A batch of records written at one moment; now it is NOW_MS."""
        first = self.engine.next_offset
        self.engine.append([record(first + n, each, at_ms) for n, each in enumerate(spans)], NOW_MS)
        self.settle()

    def settle(self) -> None:
        found = self.engine.settle()
        if found is not None:
            self.kept |= {trace_id for trace_id, _ in found.outputs}
            for part in found.records:
                self.verdicts.update(part)


def record(offset: int, trace_id: bytes, at_ms: int, *, error: bool = False) -> Record:
    data = TracesData()
    scope = data.resource_spans.add().scope_spans.add()
    span = scope.spans.add(trace_id=trace_id, span_id=(offset + 1).to_bytes(8, "big"), name="op")
    span.status.code = Status.STATUS_CODE_ERROR if error else Status.STATUS_CODE_UNSET
    return offset, at_ms, data.SerializeToString()


def ids(count: int, seed: int = 1) -> list[bytes]:
    rng = random.Random(seed)
    return [rng.randbytes(16) for _ in range(count)]


def r_of(trace_id: bytes) -> int:
    randomness = Randomness()
    randomness.use(fnv1a64)
    return randomness.hashed(trace_id)


def test_the_lower_r_are_refused_and_remembered(scanner: str) -> None:
    """At the largest share three traces in four are decided before they are held; later spans follow the decision."""
    lab, traces = Lab(scanner), ids(400)
    lab.append(traces, FAR_MS)
    refused = {each for each in traces if r_of(each) < SPACE * 3 // 4}
    assert {each for each, verdict in lab.verdicts.items() if verdict.reason == "overload"} == refused
    assert len(lab.engine.table) == 400 - len(refused)
    assert lab.counts.early["overload"] == len(refused)
    lab.append(traces, FAR_MS + 10)
    assert lab.counts.late_spans == {"not_sampled": len(refused)}
    assert len(lab.engine.table) == 400 - len(refused)


def test_traces_let_in_say_that_others_were_refused(scanner: str) -> None:
    """`half` of a quarter: a kept trace stands for four, since the upper quarter lies in the upper half."""
    lab, traces = Lab(scanner), ids(400)
    lab.append(traces, FAR_MS)
    lab.engine.advance(FAR_MS + 5000, NOW_MS)
    lab.settle()
    assert lab.kept == {each for each in traces if r_of(each) >= SPACE * 3 // 4}
    assert {lab.verdicts[each].keep for each in lab.kept} == {SPACE * 3 // 4}
    assert lab.engine.overload.admitted == {}


def test_counts_stay_true(scanner: str) -> None:
    """Over many traces and lags that come and go, the kept ones stand for all."""
    lab, traces = Lab(scanner), ids(6000)
    for part in range(60):
        lag_ms = int(LIMIT_MS * (0.3 + 1.5 * abs(((part / 20) % 2) - 1)))
        lab.append(traces[part * 100 : part * 100 + 100], NOW_MS - lag_ms)
    lab.engine.decide_all()
    lab.settle()
    assert len({lab.verdicts[each].probability for each in lab.kept}) > 5
    weights = [1 / lab.verdicts[each].probability for each in lab.kept]
    error = sum(weight * (weight - 1) for weight in weights) ** 0.5
    assert abs(sum(weights) - 6000) < 3 * error


def test_traces_in_flight_are_left_alone(scanner: str) -> None:
    """What was let in before goes on, whatever its R, and its probability is that of the policies alone."""
    lab, traces = Lab(scanner), ids(50)
    lab.append(traces, NOW_MS - LIMIT_MS // 2)
    assert len(lab.engine.table) == 50
    lab.engine.append([record(50 + n, each, NOW_MS - 2 * LIMIT_MS) for n, each in enumerate(traces)], NOW_MS)
    assert lab.engine.overload.share > 0
    lab.engine.decide_all()
    lab.settle()
    assert {verdict.keep for verdict in lab.verdicts.values()} == {SPACE // 2}


def test_it_ends_by_itself() -> None:
    """The share falls with the lag, and is 0 once half of the limit is made good; it does not begin below the limit."""
    shares, active = [], False
    for lag_ms in (50_000, 59_999, 60_000, 90_000, 120_000, 70_000, 45_000, 31_000, 29_000, 45_000):
        share = RULE.share(lag_ms, active=active)
        active = share > 0
        shares.append(share)
    assert shares[:2] == [0, 0]
    assert shares[3] == shares[4] == 0.75
    assert 0.75 > shares[5] > shares[6] > shares[7] > 0
    assert shares[8:] == [0, 0]


def test_by_default_nothing_is_refused(scanner: str) -> None:
    """However far behind."""
    lab = Lab(scanner, None)
    lab.append(ids(20), 0)
    assert len(lab.engine.table) == 20


def test_a_checkpoint_knows_who_was_let_in(scanner: str) -> None:
    """After a restart from disk the probabilities of pending traces are still right."""
    lab = Lab(scanner)
    lab.append(ids(40), FAR_MS)
    file = io.BytesIO()
    for _ in write_checkpoint(file, lab.engine.checkpoint_head(), lab.engine.table):
        pass
    reader = CheckpointReader(io.BytesIO(file.getvalue()))
    again = Lab(scanner)
    start = replace(PartitionStart(0, Owner(1, 1), 0), last_record=reader.head.last_record)
    again.engine = PartitionEngine(
        start, EngineSettings(decision_wait_ms=1000, overload=RULE), build_policy_set(HALF), get_scanner("upb"),
        compile_plan(()), ChunkStore(), DecisionMemory(), again.counts,
    )  # fmt: skip
    assert again.engine.resume(reader, lab.engine.watermark)
    again.engine.decide_all()
    again.settle()
    assert again.kept
    assert {verdict.keep for verdict in again.verdicts.values()} == {SPACE * 3 // 4}


def test_a_few_wrong_times_are_no_lag(scanner: str) -> None:
    """A record that says it was written decades ago, first in its batch, does not make the worker refuse traces."""
    lab, traces = Lab(scanner), ids(20)
    records = [record(n, each, NOW_MS - 10) for n, each in enumerate(traces)]
    records[0] = record(0, traces[0], 0)
    lab.engine.append(records, NOW_MS)
    assert lab.engine.overload.share == 0
    late = [record(20 + n, each, FAR_MS) for n, each in enumerate(ids(20, 2))]
    late[0] = record(20, ids(1, 2)[0], NOW_MS)
    lab.engine.append(late, NOW_MS)
    assert lab.engine.overload.share == 0.75


def test_a_trace_that_comes_back_says_that_others_were_refused(scanner: str, tmp_path: Path) -> None:
    """Kept for an error that came late, it stands for those too that were refused, whose errors nobody saw."""
    retention = Retention(tmp_path / "retained", 1 << 20)
    errors = [{"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}]
    lab, traces = Lab(scanner, policies=build_policy_set(errors), retention=retention), ids(100)
    lab.append(traces, FAR_MS)
    lab.engine.advance(FAR_MS + 2000, NOW_MS)
    lab.settle()
    first = lab.engine.next_offset
    late = [record(first + n, each, FAR_MS + 2000, error=True) for n, each in enumerate(traces)]
    lab.engine.append(late, NOW_MS)
    lab.settle()
    assert lab.kept == {each for each in traces if r_of(each) >= SPACE * 3 // 4}
    assert {lab.verdicts[each].keep for each in lab.kept} == {SPACE * 3 // 4}
    retention.close()


def test_a_budget_knows_what_was_refused(scanner: str) -> None:
    """A quarter of the traces is let in; the budget of a tenth of all keeps a tenth, and not that of the quarter."""
    policies = build_policy_set(
        [{"name": "all", "type": "always_sample"}], budget=BudgetRule(40, "spans", interval_ms=1000)
    )
    lab, traces = Lab(scanner, policies=policies), ids(8000)
    for part in range(80):
        lab.append(traces[part * 100 : part * 100 + 100], FAR_MS + 250 * part)
    lab.engine.decide_all()
    lab.settle()
    steady = lab.kept & set(traces[2000:])
    assert len(steady) == pytest.approx(600, rel=0.15)
    weights = [1 / lab.verdicts[each].probability for each in lab.kept]
    assert abs(sum(weights) - 8000) < 3 * sum(weight * (weight - 1) for weight in weights) ** 0.5
