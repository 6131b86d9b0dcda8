"""What a worker tells of budgets and of overload: metrics, and a line in the log."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from policies.budget import BudgetRule
from policies.policy_set import build_policy_set
from policies.reference import PlainSummary
from sampler.engine.settlement import EngineCounts
from sampler.metrics import BudgetMetrics, OverloadMetrics
from sampler.stream.budget_report import BudgetReport
from sampler.stream.overload_report import OverloadReport

ALL = [{"name": "all", "type": "always_sample"}]


class Overloaded:
    """A set that wants ten times its budget."""

    def __init__(self) -> None:
        self.policies = build_policy_set(ALL, budget=BudgetRule(100, "spans", interval_ms=1000))
        self._state = self.policies.initial_state()
        self._next = 0
        self.decide(20)

    def decide(self, ticks: int = 1, *, error: bool = False) -> None:
        """Some ticks more, of traces with errors or without."""
        for tick in range(self._next, self._next + ticks):
            summary = PlainSummary(span_count=1, has_error=error)
            traces = [(tick.to_bytes(8, "big") + n.to_bytes(8, "big"), summary, tuple) for n in range(250)]
            self.policies.decide(tick * 250, traces, self._state)
        self._next += ticks


def test_pressure_and_what_is_cut_are_metrics(caplog: pytest.LogCaptureFixture) -> None:
    """Said once a minute, with the share of each priority; series exist before anything is cut."""
    registry, it = CollectorRegistry(), Overloaded()
    report = BudgetReport(BudgetMetrics(registry), it.policies)
    value = registry.get_sample_value
    assert value("tailsampler_budget_cut_traces_total", {"tenant": ""}) == 0
    counts = EngineCounts()
    counts.budget_traces[""], counts.budget_spans[""] = 7, 21
    with caplog.at_level(logging.WARNING):
        for now_s in (0.0, 1.0, 61.0):
            report.report(counts if now_s == 0 else EngineCounts(), now_s)
            it.decide()
    assert value("tailsampler_budget_cut_traces_total", {"tenant": ""}) == 7
    assert value("tailsampler_budget_cut_spans_total", {"tenant": ""}) == 21
    assert value("tailsampler_budget_pressure", {"tenant": ""}) == pytest.approx(10)
    assert value("tailsampler_budget_share", {"tenant": "", "priority": "0"}) == pytest.approx(0.1)
    assert [record.message for record in caplog.records] == [
        "budget: the policies want 1000 spans per second, 10.00 times what there is: keeping 10.0% of priority 0"
    ] * 2


def test_where_nothing_is_decided_any_more_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """Traffic has ended, or another worker has the partitions: no line, and after a minute no pressure."""
    registry, it = CollectorRegistry(), Overloaded()
    report = BudgetReport(BudgetMetrics(registry), it.policies)
    value = registry.get_sample_value
    with caplog.at_level(logging.WARNING):
        for now_s in (0.0, 30.0, 59.0):
            report.report(EngineCounts(), now_s)
            assert value("tailsampler_budget_pressure", {"tenant": ""}) == pytest.approx(10)
        for now_s in (61.0, 200.0):
            report.report(EngineCounts(), now_s)
            assert value("tailsampler_budget_pressure", {"tenant": ""}) == 0
            assert value("tailsampler_budget_share", {"tenant": "", "priority": "0"}) == 1
    assert len(caplog.records) == 1


def test_a_priority_that_wants_nothing_any_more_is_not_cut() -> None:
    """Its share does not stay at what it was last."""
    registry, it = CollectorRegistry(), Overloaded()
    report = BudgetReport(BudgetMetrics(registry), it.policies)
    report.report(EngineCounts(), 0.0)
    it.decide(16, error=True)
    report.report(EngineCounts(), 1.0)
    shares = {
        priority: registry.get_sample_value("tailsampler_budget_share", {"tenant": "", "priority": priority})
        for priority in ("0", "100")
    }
    assert shares == {"0": 1, "100": pytest.approx(0.1)}


def test_a_budget_that_is_gone_has_no_pressure() -> None:
    """After a reload without a budget nothing is told of it."""
    registry = CollectorRegistry()
    report = BudgetReport(BudgetMetrics(registry), Overloaded().policies)
    report.report(EngineCounts(), 0.0)
    report.use_policies(build_policy_set(ALL))
    report.report(EngineCounts(), 1.0)
    assert registry.get_sample_value("tailsampler_budget_pressure", {"tenant": ""}) is None


def test_overload_is_announced_when_it_begins_and_ends(caplog: pytest.LogCaptureFixture) -> None:
    """Two lines, however long it lasts."""
    registry = CollectorRegistry()
    report = OverloadReport(OverloadMetrics(registry))

    def engine(partition: int, share: float) -> Any:
        return SimpleNamespace(partition=partition, overload=SimpleNamespace(share=share))

    with caplog.at_level(logging.WARNING):
        report.report([engine(0, 0.0), engine(1, 0.0)])
        report.report([engine(0, 0.5), engine(1, 0.0)])
        report.report([engine(0, 0.25), engine(1, 0.75)])
        assert registry.get_sample_value("tailsampler_overload_share") == 0.75
        assert registry.get_sample_value("tailsampler_overload_partitions") == 2
        report.report([engine(0, 0.0), engine(1, 0.0)])
    assert registry.get_sample_value("tailsampler_overload_share") == 0
    assert len(caplog.records) == 2
    assert "50% in partition 0" in caplog.records[0].message
    assert "is over" in caplog.records[1].message
