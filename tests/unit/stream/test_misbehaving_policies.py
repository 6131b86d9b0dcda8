"""A worker's pipeline with plugins that raise, answer nonsense or take 100 ms a trace beside policies that are good."""

from __future__ import annotations

import logging

import pytest
from prometheus_client import CollectorRegistry

from policies import ALWAYS, NEVER, Context, Intent, Policy, PolicyConfig, Reads, TraceView, installed
from policies.conditions import Matcher, NameMatches
from policies.guard import SAVED_S, SHARE
from sampler.metrics import WorkerMetrics
from sampler.stream.policy_trouble import SAY_EVERY_S, PolicyTrouble
from tests.unit.stream.pipeline_lab import ERRORS, Worker, make_log, spans_in

SLOW_S = 0.1
TRACES = 200


class Bad(Policy):
    """What the bad ones have in common."""

    reads = Reads.SUMMARY

    def describe(self) -> str:
        """Says nothing."""
        return "nothing good"


class Raising(Bad):
    """Keeps traces with an odd id, and raises for the others."""

    type = "raising"

    def evaluate(self, trace: TraceView) -> Intent:
        """By the last bit of the id."""
        if trace.trace_id[-1] % 2 == 0:
            raise ZeroDivisionError("even")
        return ALWAYS


class Nonsense(Bad):
    """Answers with what is no set of R."""

    type = "nonsense"

    def evaluate(self, trace: TraceView) -> Intent:
        """Something else for every trace."""
        answers = (None, float("nan"), True, -1, ((5, 3),), {1}, "yes")
        return answers[trace.trace_id[-1] % len(answers)]  # type: ignore[return-value]


class Slow(Bad):
    """Takes 100 ms a trace, of a clock that the test looks at."""

    type = "slow"
    now_s = 0.0

    def evaluate(self, trace: TraceView) -> Intent:
        """Lets time pass."""
        Slow.now_s += SLOW_S
        return NEVER


class Choking(Policy):
    """Its condition raises for every name."""

    type = "choking"

    def __init__(self, config: PolicyConfig, context: Context) -> None:
        super().__init__(config, context)

        def test(name: str) -> bool:
            raise SystemExit(name)

        self.condition = NameMatches(Matcher("raises", test))
        self.conditions = (self.condition,)

    def evaluate(self, trace: TraceView) -> Intent:
        """By its condition."""
        return ALWAYS if trace.matches(self.condition) else NEVER

    def describe(self) -> str:
        """Says nothing."""
        return "nothing good"


TYPES: dict[str, type[Policy]] = {each.type: each for each in (Raising, Nonsense, Slow, Choking)}
SPECS = [
    {"name": "raises", "type": "raising"},
    {"name": "talks", "type": "nonsense"},
    ERRORS,
    {"name": "dawdles", "type": "slow"},
    {"name": "chokes", "type": "choking"},
]


def test_bad_policies_beside_good_ones(caplog: pytest.LogCaptureFixture) -> None:
    """Every trace is decided as the good policies say, nothing is lost, and every failure is counted by name."""
    broker, kept = make_log(11, TRACES * 4)
    worker = Worker(broker, 1, specs=SPECS, registry=installed(TYPES))
    worker.policies.use_clock(lambda: Slow.now_s)
    began_s = Slow.now_s
    worker.finish()
    found = {trace_id: set(spans) for trace_id, spans in spans_in(broker.sampled).items()}
    decided = {trace_id for trace_id, _ in worker.decided}
    assert len(decided) == TRACES
    odd = {trace_id for trace_id in decided if trace_id[-1] % 2}
    assert set(found) == set(kept) | odd
    assert {trace_id: found[trace_id] for trace_id in kept} == kept
    assert all(len(found[trace_id]) == 4 for trace_id in odd)
    assert set(broker.dead) == {value for _, _, value in broker.log if value[:2] == b"\x0a\xff"}

    errors = worker.policies.errors
    assert errors["raises"] == TRACES - len(odd)
    assert errors["talks"] == TRACES
    assert errors["dawdles"] == worker.policies.too_slow["dawdles"] >= TRACES - SAVED_S / SHARE / SLOW_S - 1
    assert "errors" not in errors
    assert Slow.now_s - began_s <= SAVED_S / SHARE + SLOW_S

    metrics = WorkerMetrics(CollectorRegistry())
    trouble = PolicyTrouble(metrics, worker.policies)
    with caplog.at_level(logging.WARNING):
        trouble.report(worker.pipeline.plan, 0.0)
        trouble.report(worker.pipeline.plan, 1.0)

    def counted(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"tailsampler_{name}", labels)

    assert counted("policy_errors_total", policy="raises") == errors["raises"]
    assert counted("policy_errors_total", policy="talks") == TRACES
    assert counted("policy_too_slow_total", policy="dawdles") == errors["dawdles"]
    assert counted("policy_seconds_total", policy="dawdles") == pytest.approx(Slow.now_s - began_s)
    assert counted("matcher_errors_total") == 1  # one name in all spans, remembered
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == 4
    assert any(
        f"policy raises failed {errors['raises']} times" in line
        and "ZeroDivisionError: even" in line
        and __file__ in line
        for line in said
    )
    assert any(f"policy talks failed {TRACES} times" in line for line in said)
    assert any("policy dawdles failed" in line and "too slow: it takes 100 ms each time" in line for line in said)
    assert any("the test of a condition raised for 1 values" in line for line in said)
    shown = trouble.section()
    assert shown["talks"]["failed"] == TRACES
    assert shown["dawdles"]["of_these_too_slow"] == errors["dawdles"]


def test_a_failing_policy_is_named_in_the_log_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """What fails all the time is said once a minute, with how often since, and what stops failing no more."""
    broker, _ = make_log(12, 40)
    worker = Worker(broker, 1, specs=SPECS[:1], registry=installed(TYPES))
    metrics = WorkerMetrics(CollectorRegistry())
    trouble = PolicyTrouble(metrics, worker.policies)
    plan = worker.pipeline.plan
    for second in range(121):
        worker.policies.errors["raises"] += 2
        worker.policies.last_errors["raises"] = "it fails"
        trouble.report(plan, float(second))
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [f"failed {count} times" in line for count, line in zip((2, 120, 120), said, strict=True)] == [True] * 3
    trouble.report(plan, 2 * SAY_EVERY_S + 100)
    trouble.report(plan, 2 * SAY_EVERY_S + 200)
    assert len(said) == 3


def test_counts_go_on_over_a_reload(caplog: pytest.LogCaptureFixture) -> None:
    """A new policy set counts from 0; the metrics and the log go on from where they were."""
    broker, _ = make_log(13, 40)
    worker = Worker(broker, 1, specs=SPECS[:1], registry=installed(TYPES))
    metrics = WorkerMetrics(CollectorRegistry())
    trouble = PolicyTrouble(metrics, worker.policies)
    worker.policies.errors["raises"] += 5
    worker.policies.last_errors["raises"] = "it fails"
    trouble.report(worker.pipeline.plan, 0.0)
    worker.policies.errors["raises"] += 2
    worker.policies.last_errors["raises"] = "it fails anew"
    after = Worker(broker, 1, specs=SPECS[:1], registry=installed(TYPES))
    trouble.use_policies(after.policies)
    trouble.report(after.pipeline.plan, SAY_EVERY_S)
    assert caplog.messages[-1].startswith("policy raises failed 2 times")
    assert caplog.messages[-1].endswith("it fails anew")
    after.policies.errors["raises"] += 1
    trouble.report(after.pipeline.plan, SAY_EVERY_S + 1)
    assert metrics.registry.get_sample_value("tailsampler_policy_errors_total", {"policy": "raises"}) == 8
