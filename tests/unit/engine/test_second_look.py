"""Dropped traces that come back: whole, once, with an honest weight, or not at all."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from policies.policy_set import build_policy_set
from policies.tenants import Tenant, TenantPolicySets
from sampler.engine.decision_memory import DecisionMemory
from sampler.engine.decision_record import Owner, decode
from sampler.engine.partition import PartitionStart
from sampler.engine.retention import Retention
from tests.unit.engine.second_look_lab import ERRORS, KEEP_MS, SETTINGS, Lab, dropped, ident, lab, span
from tests.unit.policies.sample_policies import build, spec

TENTH = {"name": "tenth", "type": "probabilistic", "probabilistic": {"sampling_percentage": 10}}
NONE = {"name": "none", "type": "probabilistic", "probabilistic": {"sampling_percentage": 0}}
THREE = {"name": "three", "type": "span_count", "span_count": {"min_spans": 3}}
LIMITED = {"name": "limited", "type": "rate_limiting", "rate_limiting": {"spans_per_second": 1}}
FEW_ERRORS = {"name": "few", "type": "and", "and": {"and_sub_policy": [ERRORS, LIMITED]}}


@pytest.fixture(params=["compiled", "upb"])
def scanner(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_late_error_brings_the_whole_trace_back(tmp_path: Path, scanner: str) -> None:
    """What came before leaves with it, once; what comes later follows, marked the same."""
    it = lab(tmp_path, ERRORS, scanner=scanner)
    dropped(it, 1, 2)
    assert it.spans == {}
    it.append((3000, span(1, 1, error=True)))
    assert it.spans == {1: Counter({0: 1, 1: 1})}
    it.append((3100, span(1, 2)), (3100, span(2, 1)))
    assert it.spans == {1: Counter({0: 1, 1: 1, 2: 1})}
    assert it.marks == {1: {(1.0, "errors", "ot=th:0")}}
    assert it.counts.second_looks == {"resurrected": 1}


def test_late_spans_that_change_nothing_are_kept_with_the_trace(tmp_path: Path, scanner: str) -> None:
    """They leave with it when a later one changes the decision; conditions on the whole trace count them all."""
    it = lab(tmp_path, THREE, scanner=scanner)
    dropped(it, 1)
    it.append((3000, span(1, 1)))
    assert it.spans == {}
    it.append((4000, span(1, 2)))
    assert it.spans == {1: Counter({0: 1, 1: 1, 2: 1})}


def test_policies_that_read_spans_see_the_whole_trace(tmp_path: Path, scanner: str) -> None:
    """What was kept and what came later, as in a first decision."""
    it = Lab(Retention(tmp_path / "r", 1 << 30), build(spec("span_named", "named", span="opx")), scanner=scanner)
    dropped(it, 1)
    it.append((3000, span(1, 1)))
    assert it.spans == {}
    it.append((3100, span(1, 2, pad=1)))
    assert it.spans == {1: Counter({0: 1, 1: 1, 2: 1})}


def test_a_trace_may_come_back_in_the_batch_that_decides_it(tmp_path: Path) -> None:
    """As in a catch-up, where one batch holds minutes; exact copies leave once."""
    it = lab(tmp_path, ERRORS)
    it.append((1000, span(1, 0)), (4000, span(1, 1, error=True)), (4000, span(1, 1, error=True)), (4100, span(1, 2)))
    assert it.spans == {1: Counter({0: 1, 1: 1, 2: 1})}
    assert [verdict.decision for record in it.settlements[0].records for _, verdict in record] == [
        "not_sampled",
        "sampled",
    ]
    memory = DecisionMemory()
    for record in it.settlements[0].records:
        memory.restore(record)
    assert memory.get(ident(1)) == it.memory.get(ident(1))
    assert memory.get(ident(1)).sampled  # type: ignore[union-attr]  # compared above


def test_the_time_of_retention_counts_from_the_decision(tmp_path: Path) -> None:
    """At its end a late error is dropped as any late span of a dropped trace, and the disk is free again."""
    it = lab(tmp_path, ERRORS)
    dropped(it, 1, 2)
    decided_ms = 2000
    it.append((decided_ms + KEEP_MS, span(1, 1, error=True)))
    assert set(it.spans) == {1}
    it.append((decided_ms + KEEP_MS + 1, span(2, 1, error=True)))
    assert set(it.spans) == {1}
    it.advance(decided_ms + 3 * KEEP_MS)
    assert it.retention.size_bytes == 0


def test_nothing_is_kept_longer_than_its_decision(tmp_path: Path) -> None:
    """When the decision is forgotten a late span begins a new trace, and the old one must not come back beside it."""
    it = lab(tmp_path, ERRORS, settings=replace(SETTINGS, decision_ttl_ms=2000))
    dropped(it, 1)
    it.append((4001, span(1, 1, error=True)))
    assert it.spans == {}


def test_a_trace_that_had_a_chance_comes_back_standing_for_nothing(tmp_path: Path) -> None:
    """Those of its kind that were kept for that chance stand for all: sums over the rates stay right."""
    it = lab(tmp_path, ERRORS, TENTH)
    traces = range(1, 2001)
    dropped(it, *traces)
    at_first = set(it.spans)
    it.append(*((3000, span(trace, 1, error=True)) for trace in traces))
    assert set(it.spans) == set(traces)
    for trace, marks in it.marks.items():
        rates = {rate for rate, _, _ in marks}
        assert rates == ({10.0} if trace in at_first else {0.0})
        assert trace in at_first or {state for _, _, state in marks} <= {"", "ot="}
    estimate = sum(max(rate for rate, _, _ in marks) for marks in it.marks.values())
    assert estimate == pytest.approx(len(traces), rel=0.25)
    assert estimate == pytest.approx(10 * len(at_first))


def test_a_chance_that_came_with_late_spans_counts_too(tmp_path: Path) -> None:
    """The second decision of three gave it a chance, so the third writes it as standing for nothing."""
    later = {
        "name": "two",
        "type": "and",
        "and": {"and_sub_policy": [TENTH, {**THREE, "span_count": {"min_spans": 2}}]},
    }
    it = lab(tmp_path, ERRORS, later)
    traces = range(1, 301)
    dropped(it, *traces)
    it.append(*((3000, span(trace, 1)) for trace in traces))
    second = set(it.spans)
    assert {rate for marks in it.marks.values() for rate, _, _ in marks} == {10.0}
    it.append(*((3500, span(trace, 2, error=True)) for trace in traces))
    rates = {trace: {rate for rate, _, _ in marks} for trace, marks in it.marks.items()}
    assert rates == {trace: {10.0} if trace in second else {0.0} for trace in traces}


def test_limiters_have_no_say_in_a_second_look(tmp_path: Path) -> None:
    """Otherwise every late span would be another draw from the tokens of others; their state stays as it is."""
    it = lab(tmp_path, FEW_ERRORS, LIMITED)
    it.append(*((1000, span(trace, 0)) for trace in range(1, 10)))
    it.advance(2250)
    before = it.settlements[-1].records[-1].state
    at_first = set(it.spans)
    assert 0 < len(at_first) < 9
    it.append(*((6900, span(trace, 1, error=True)) for trace in range(1, 10)))
    assert set(it.spans) == at_first
    assert it.settlements[-1].records[-1].state == before


def test_a_drop_policy_drops_again(tmp_path: Path) -> None:
    """Its word goes before that of the late error."""
    it = lab(tmp_path, {"name": "no", "type": "drop", "drop": {"drop_sub_policy": [{**THREE, "name": "x"}]}}, ERRORS)
    it.append(*((1000, span(1, number)) for number in range(3)))
    it.advance(2250)
    it.append((3000, span(1, 3, error=True)))
    assert it.spans == {}


def test_a_trace_that_grows_too_large_is_not_brought_back(tmp_path: Path) -> None:
    """Had the spans come in time it would have been refused for its size."""
    it = lab(tmp_path, ERRORS, settings=replace(SETTINGS, maximum_trace_size_bytes=500))
    dropped(it, 1)
    it.append((3000, span(1, 1, error=True, pad=600)))
    it.append((3100, span(1, 2, error=True)))
    assert (it.spans, it.kept) == ({}, [])


def test_a_rescue_writes_the_trace_whole_and_late_spans_follow(tmp_path: Path) -> None:
    """Once: a second rescue finds nothing. What nothing stands for yet stands for itself."""
    it = lab(tmp_path, ERRORS)
    dropped(it, 1, 2, 3)
    it.append((3000, span(2, 1)))
    assert it.kept == [1, 2, 3]
    assert it.rescue(2)
    assert it.kept == [1, 3]
    it.append((3100, span(2, 2)))
    assert it.spans == {2: Counter({0: 1, 1: 1, 2: 1})}
    assert it.marks == {2: {(1.0, "rescue", "ot=th:0")}}
    assert not it.rescue(4)


def test_a_rescued_trace_of_a_sample_stands_for_nothing(tmp_path: Path) -> None:
    """The sample stands for it already."""
    it = lab(tmp_path, TENTH)
    dropped(it, *range(1, 30))
    trace = next(each for each in range(1, 30) if each not in it.spans)
    assert it.rescue(trace)
    assert it.marks[trace] == {(0.0, "rescue", "")}


def test_after_a_reload_the_new_policies_decide_anew(tmp_path: Path, scanner: str) -> None:
    """Retained traces are scanned for the new conditions, so spans that came long ago count for them."""
    shop = {"name": "shop", "type": "string_attribute", "string_attribute": {"key": "service.name", "values": ["shop"]}}
    both = {"name": "both", "type": "and", "and": {"and_sub_policy": [shop, ERRORS]}}
    it = lab(tmp_path, NONE, scanner=scanner)
    dropped(it, 1)
    it.append((2500, span(1, 1, error=True)))
    it.reload(build_policy_set([both]))
    it.append((3000, span(1, 2, service="other")))
    assert it.spans == {1: Counter({0: 1, 1: 1, 2: 1})}


def test_a_reload_switches_it_on_and_off(tmp_path: Path) -> None:
    """When it is off nothing is kept, and what was kept is forgotten."""
    it = lab(tmp_path, ERRORS)
    off = replace(SETTINGS, retain_dropped_ms=0)
    dropped(it, 1)
    it.reload(it.policies, off)
    assert it.retention.size_bytes == 0
    dropped(it, 2, at_ms=3000)
    it.reload(it.policies, SETTINGS)
    dropped(it, 3, at_ms=5000)
    it.append(*((6500, span(trace, 1, error=True)) for trace in (1, 2, 3)))
    assert set(it.spans) == {3}


def test_a_tenants_trace_comes_back_by_its_policies_to_its_topic(tmp_path: Path) -> None:
    """Resurrected and rescued alike."""

    def selected() -> TenantPolicySets:
        tenant = Tenant("acme", ("acme",), build_policy_set([ERRORS]), output="acme-spans")
        return TenantPolicySets(build_policy_set([NONE]), [tenant], attribute="service.name")

    it = Lab(Retention(tmp_path / "r", 1 << 30), selected())
    it.append(*((1000, span(trace, 0, service="acme")) for trace in (1, 2)), (1000, span(3, 0)))
    it.advance(2250)
    it.append(*((3000, span(trace, 1, error=True)) for trace in (1, 3)))
    assert it.rescue(2)
    routed = {(place, trace_id) for settlement in it.settlements for place, trace_id, _ in settlement.routed}
    assert routed == {("acme-spans", ident(1)), ("acme-spans", ident(2))}
    assert set(it.spans) == {1, 2}


def test_a_restart_remembers_the_second_decision(tmp_path: Path) -> None:
    """Its record goes before that of the first one, whatever the order on a page of the memory."""
    it = lab(tmp_path, ERRORS)
    dropped(it, 1, 2)
    it.append((3000, span(1, 1, error=True)))
    it.append((3100, span(1, 2)))
    records = [decode(r.key, r.encode()) for settlement in it.settlements for r in settlement.records]
    memory = DecisionMemory()
    for record in records:
        memory.restore(record)
    start = PartitionStart(0, Owner(2, 1), it.offset, it.offset)
    again = lab(tmp_path, ERRORS, memory=memory, start=start)
    again.offset = it.offset
    again.append((3500, span(1, 3)), (3500, span(2, 3, error=True)))
    assert again.spans == {1: Counter({3: 1})}
    assert again.marks == it.marks


def test_a_lost_partition_forgets_its_traces(tmp_path: Path) -> None:
    """Their space is free at once."""
    it = lab(tmp_path, ERRORS)
    dropped(it, 1)
    assert it.retention.size_bytes > 0
    it.engine.close()
    assert it.retention.size_bytes == 0
