"""Tenants that a Kafka header names: from the record to the verdict, over reloads."""

from __future__ import annotations

import io
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.any_set import AnyPolicySet
from policies.policy_set import build_policy_set
from policies.randomness import RandomnessSource
from policies.tenants import Tenant, TenantPolicySets
from policies.verdict import Verdict
from sampler.engine.checkpoint import CheckpointReader, write_checkpoint
from sampler.engine.chunk_store import ChunkStore
from sampler.engine.decision_memory import DecisionMemory
from sampler.engine.decision_record import DecisionRecord, Owner, decode
from sampler.engine.partition import PartitionEngine, PartitionStart
from sampler.engine.settings import EngineSettings
from sampler.engine.settlement import EngineCounts
from sampler.otlp import compile_plan, get_scanner
from tests.unit.engine.engine_samples import ALL, ERRORS, RED, span
from tests.unit.otlp.wire_samples import SCANNERS

FAR_FUTURE_MS = 10**15
SETTINGS = EngineSettings(decision_wait_ms=2000)
Specs = Sequence[Mapping[str, Any]]


def by_header(default: Specs, *members: tuple[str, Specs], header: str = "X-Tenant") -> TenantPolicySets:
    made = [Tenant(name, (name,), build_policy_set(specs), f"to-{name}") for name, specs in members]
    return TenantPolicySets(build_policy_set(default), made, header=header)


class Bench:
    """An engine, what it has decided, and what it has written where, by trace number."""

    def __init__(self, policies: AnyPolicySet, scanner: Literal["compiled", "upb"] = "upb") -> None:
        self.counts = EngineCounts()
        self.engine = PartitionEngine(
            PartitionStart(0, Owner(1, 1), 0), SETTINGS, policies, get_scanner(scanner),
            compile_plan(policies.span_conditions), ChunkStore(), DecisionMemory(), self.counts,
        )  # fmt: skip
        self.offset = 0
        self.verdicts: dict[int, Verdict] = {}
        self.written: list[tuple[str, int]] = []
        self.records: list[DecisionRecord] = []

    def append(self, at_ms: int, *records: tuple[bytes, str | None]) -> None:
        """Records with the value of the header, None where it is not there."""
        tenants = {self.offset + n: tenant for n, (_, tenant) in enumerate(records) if tenant is not None}
        values = [(self.offset + n, at_ms, value) for n, (value, _) in enumerate(records)]
        self.engine.append(values, FAR_FUTURE_MS, tenants)
        self.offset += len(records)
        self._settle()

    def advance(self, stream_ms: int) -> None:
        self.engine.advance(stream_ms, FAR_FUTURE_MS)
        self._settle()

    def reload(self, policies: AnyPolicySet) -> None:
        self.engine.use_policies(policies, compile_plan(policies.span_conditions), SETTINGS)

    def _settle(self) -> None:
        settlement = self.engine.settle()
        if settlement is None:
            return
        for record in settlement.records:
            self.records.append(decode(record.key, record.encode()))
            self.verdicts |= {int.from_bytes(trace_id, "big"): verdict for trace_id, verdict in self.records[-1]}
        self.written += [("", int.from_bytes(trace_id, "big")) for trace_id, _ in settlement.outputs]
        self.written += [(to, int.from_bytes(trace_id, "big")) for to, trace_id, _ in settlement.routed]

    @property
    def tenants(self) -> dict[int, str]:
        return {number: verdict.tenant for number, verdict in sorted(self.verdicts.items())}


@pytest.mark.parametrize("scanner", SCANNERS)
def test_the_header_names_the_tenant_of_all_spans_of_its_record(scanner: Literal["compiled", "upb"]) -> None:
    """Each record by itself, whatever stands beside it; unknown values and records without it are of no tenant."""
    it = Bench(by_header([ERRORS], ("acme", [ALL]), ("globex", [RED])), scanner)
    it.append(
        1000, (span(1, 1) + span(2, 1), "acme"), (span(3, 1, color="red"), "globex"), (span(4, 1), "globex"),
        (span(5, 1, error=True), "other"), (span(6, 1, color="red"), None), (span(7, 1), "acme"),
    )  # fmt: skip
    it.advance(9000)
    assert it.tenants == {1: "acme", 2: "acme", 3: "globex", 4: "globex", 5: "", 6: "", 7: "acme"}
    assert sorted(it.written) == [("", 5), ("to-acme", 1), ("to-acme", 2), ("to-acme", 7), ("to-globex", 3)]
    assert it.counts.tenant_traces == {
        ("acme", "sampled"): 3, ("globex", "sampled"): 1, ("globex", "not_sampled"): 1
    }  # fmt: skip
    assert it.counts.tenant_spans["acme", "sampled"] == 3
    assert it.counts.by_policy["acme/all", "sampled"] == 3
    assert it.counts.by_policy["errors", "sampled"] == 1


def test_a_trace_of_several_records_has_the_first_tenant_of_the_list() -> None:
    """Though it came last."""
    it = Bench(by_header([ERRORS], ("acme", [RED]), ("globex", [ALL])))
    it.append(1000, (span(1, 1), "globex"), (span(2, 1), "globex"))
    it.append(1500, (span(1, 2), None), (span(1, 3), "acme"))
    it.advance(9000)
    assert it.tenants == {1: "acme", 2: "globex"}


def test_late_spans_go_where_their_trace_went() -> None:
    """Under any header, after a reload, and after a crash."""
    first = Bench(by_header([ERRORS], ("acme", [ALL])))
    first.append(1000, (span(1, 1), "acme"), (span(2, 1), None))
    first.advance(4000)
    second = Bench(build_policy_set([ALL]))
    for record in first.records:
        second.engine.memory.restore(record)
    first.reload(by_header([ALL], ("globex", [ALL])))
    for it in (first, second):
        it.written.clear()
        it.append(5000, (span(1, 2), "globex"), (span(2, 2), "acme"))
        it.advance(9000)
        assert it.written == [("to-acme", 1)]


def test_a_tenant_survives_reloads_by_its_name() -> None:
    """What headers said before and between counts, whichever place the tenants have in the list, and nothing else."""
    it = Bench(by_header([ERRORS, RED], ("acme", [ALL]), ("globex", [ALL])))
    it.append(1000, (span(1, 1), "acme"), (span(2, 1), "globex"), (span(3, 1, error=True, color="red"), None))
    it.append(1000, (span(4, 1), "globex"), (span(6, 1), "acme"))
    it.reload(by_header([RED], ("new", [ERRORS, RED]), ("globex", [RED])))
    it.append(1200, (span(3, 2), "new"), (span(5, 1), "new"))
    it.reload(by_header([ERRORS, RED], ("globex", [ERRORS, RED]), ("acme", [RED]), ("new", [ALL])))
    it.append(1400, (span(4, 2), "acme"), (span(5, 2), None))
    it.advance(9000)
    assert it.tenants == {1: "acme", 2: "globex", 3: "new", 4: "globex", 5: "new", 6: "acme"}
    assert it.verdicts[3].policy == "all"
    assert it.counts.traces_rescanned == 6
    assert it.engine.table.oldest() is None


def test_a_tenant_that_is_gone_leaves_its_traces_to_the_default_policies() -> None:
    """As one that never was; the other way round, nothing is known of what came before."""
    it = Bench(by_header([ERRORS], ("acme", [ALL])))
    it.append(1000, (span(1, 1), "acme"), (span(2, 1, error=True), "acme"))
    it.reload(build_policy_set([RED, ERRORS]))
    it.append(1100, (span(3, 1), None))
    it.reload(by_header([ERRORS, RED], ("acme", [ALL])))
    it.append(1200, (span(3, 2), "acme"))
    it.advance(9000)
    assert {n: v.decider for n, v in it.verdicts.items()} == {1: "acme/all", 2: "acme/all", 3: "acme/all"}
    it.append(10_000, (span(4, 1), "acme"))
    it.reload(build_policy_set([RED, ERRORS]))
    it.advance(19_000)
    assert (it.verdicts[4].decision, it.verdicts[4].tenant) == ("not_sampled", "")


def test_a_checkpoint_after_a_reload_is_of_the_policies_in_force() -> None:
    """Bits of the policies before would mean something else to those who read it."""
    after = by_header([RED], ("globex", [ALL]), ("acme", [ERRORS, RED]))
    it = Bench(by_header([ERRORS], ("acme", [ALL])))
    it.append(1000, (span(1, 1, color="red"), "acme"), (span(2, 1, error=True), None), (span(3, 1, color="red"), None))
    it.reload(after)
    it.append(1100, (span(4, 1), "globex"))
    file = io.BytesIO()
    list(write_checkpoint(file, it.engine.checkpoint_head(), it.engine.table))
    again = Bench(after)
    assert again.engine.resume(CheckpointReader(io.BytesIO(file.getvalue())), it.engine.watermark)
    for each in (it, again):
        each.advance(9000)
        found = {number: (verdict.decider, verdict.sampled) for number, verdict in each.verdicts.items()}
        assert found == {1: ("acme/red", True), 2: (None, False), 3: ("red", True), 4: ("globex/all", True)}


def test_a_verdict_is_recorded_with_its_tenant() -> None:
    """Records of versions that knew neither tenants nor salts are read as before."""
    plain = Verdict("sampled", 5, "p", RandomnessSource.HASH)
    full = Verdict("sampled", 5, "p", RandomnessSource.HASH, "policy", "", "acme", "to-acme")
    record = DecisionRecord(Owner(1, 1), 0, 0, 9, 1000, [plain, full], bytes(32), array("H", [0, 1]))
    value = record.encode()
    assert list(decode(record.key, value).verdicts) == [plain, full]
    assert b'["sampled",5,"p","HASH","policy"]' in value
    assert b'["sampled",5,"p","HASH","policy","","acme","to-acme"]' in value


NAMES = ("a", "b", "c")
ACTION = st.one_of(
    st.tuples(st.just("span"), st.integers(1, 4), st.sampled_from([None, "x", *NAMES])),
    st.tuples(st.just("reload"), st.permutations(NAMES).map(tuple), st.integers(0, 3)),
)


@settings(max_examples=50, deadline=None)
@given(actions=st.lists(ACTION, max_size=25))
def test_whatever_happens_the_first_known_tenant_of_a_trace_decides(actions: list[tuple[Any, ...]]) -> None:
    """Of all that headers said of a trace while their tenant had a set, the first in the last list that knows one."""

    def policies(order: Sequence[str]) -> TenantPolicySets:
        return by_header([ERRORS], *((name, [ALL, RED][: 1 + (name == "b")]) for name in order))

    order: Sequence[str] = NAMES
    it = Bench(policies(order), "compiled")
    heard: dict[int, set[str]] = {}
    for number, action in enumerate(actions):
        if action[0] == "span":
            it.append(1000, (span(action[1], number + 1), action[2]))
            heard.setdefault(action[1], set())
            if action[2] in order:
                heard[action[1]].add(action[2])
        else:
            order = action[1][: action[2]]
            it.reload(policies(order) if order else build_policy_set([ERRORS, RED]))
    it.advance(9000)
    expected = {trace: next((name for name in order if name in names), "") for trace, names in sorted(heard.items())}
    assert it.tenants == expected
