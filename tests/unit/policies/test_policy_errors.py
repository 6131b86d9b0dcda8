"""A policy that fails must not hurt the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from policies import (
    ALWAYS,
    NEVER,
    Intent,
    Policy,
    PolicySet,
    TraceView,
    Verdict,
    build_policy_set,
    installed,
)
from policies.conditions import TraceHasRoot
from policies.testing import span, trace
from tests.unit.policies import sample_policies
from tests.unit.policies.sample_policies import build, spec

OUT_OF_ORDER = "RuntimeError: out of order"


def verdicts_of(policy_set: PolicySet, count: int = 1) -> list[Verdict]:
    """Decides plain traces."""
    return policy_set.decide(0, [trace(span("s")).input_for(policy_set)] * count, policy_set.initial_state())


def test_a_set_of_failing_policies_samples_nothing() -> None:
    """Policies that raise cast no vote, and every failure is counted under the policy's name."""
    policy_set = build(spec("failing", "a"), spec("failing", "b"))
    assert [verdict.decision for verdict in verdicts_of(policy_set, 3)] == ["not_sampled"] * 3
    assert policy_set.errors == {"a": 3, "b": 3}
    assert policy_set.last_errors["a"].startswith(f"{OUT_OF_ORDER} ({sample_policies.__file__}:")


def test_the_others_still_vote() -> None:
    """A failing policy stops neither a policy before it nor one after it."""
    assert verdicts_of(build(spec("failing"), spec("always_sample", "all")))[0].policy == "all"
    assert verdicts_of(build(spec("always_sample", "all"), spec("failing")))[0].policy == "all"


def test_on_error_keep_keeps_the_trace() -> None:
    """With on_error: keep, of the policy or as the default, a failing policy keeps the trace under its name."""
    assert verdicts_of(build(spec("failing", "f") | {"on_error": "keep"}))[0].policy == "f"
    assert verdicts_of(build(spec("failing", "f"), on_error="keep"))[0].policy == "f"
    assert not verdicts_of(build(spec("failing", "f") | {"on_error": "skip"}, on_error="keep"))[0].sampled


@pytest.mark.parametrize("default", ["skip", "keep"])
def test_a_failing_drop_policy_drops_nothing(default: str) -> None:
    """What cannot be judged is not thrown away."""
    policy_set = build(
        spec("drop", "d", drop_sub_policy=[spec("failing")]), spec("always_sample", "all"), on_error=default
    )
    assert verdicts_of(policy_set)[0].policy == "all"
    assert policy_set.errors == {"d": 1}


def test_not_around_a_failing_policy_casts_no_vote() -> None:
    """A failure passes through `not` and `and` instead of being turned into a vote."""
    for outer in (spec("not", "o", not_sub_policy=spec("failing")), spec("and", "o", and_sub_policy=[spec("failing")])):
        policy_set = build(outer)
        assert not verdicts_of(policy_set)[0].sampled
        assert policy_set.errors == {"o": 1}


@pytest.mark.parametrize(("on_error", "sampled"), [("skip", False), ("keep", True)])
def test_a_limiter_that_fails_to_settle(on_error: str, sampled: bool) -> None:
    """Its claims count as failures of its policy, and its state stays as it was before the tick."""
    broken = spec("not", "n", not_sub_policy=spec("broken_bucket", "b", rate=1.0, burst=5.0)) | {"on_error": on_error}
    policy_set = build(broken)
    state = policy_set.initial_state()
    verdict = policy_set.decide(0, [trace(span("s")).input_for(policy_set)], state)[0]
    assert verdict.sampled == sampled
    assert policy_set.errors == {"n": 1}
    assert state == policy_set.initial_state()


class AsksMore(Policy):
    """Asks for a condition that it has not declared."""

    type = "asks_more"

    def evaluate(self, trace: TraceView) -> Intent:
        """Asks."""
        return ALWAYS if trace.matches(TraceHasRoot()) else NEVER

    def describe(self) -> str:
        """Says what it keeps."""
        return "a root"


def test_asking_for_an_undeclared_condition_is_a_failure() -> None:
    """What is not among the declared conditions is not part of what answers are remembered by."""
    policy_set = build_policy_set([{"name": "p", "type": "asks_more"}], registry=installed({"asks_more": AsksMore}))
    assert not verdicts_of(policy_set)[0].sampled
    assert "not among its `conditions`" in policy_set.last_errors["p"]


@pytest.mark.parametrize("name", ["trace_id", "summary", "duration_ms", "span_count", "size_bytes", "spans"])
def test_reading_what_is_not_declared_is_a_failure(name: str) -> None:
    """A policy cannot read past what it declares, since its remembered answer would be wrong for the next trace."""
    policy_set = build(spec("undeclared", "u", what=name))
    assert not verdicts_of(policy_set)[0].sampled
    assert "declare `reads = Reads.S" in policy_set.last_errors["u"]


def test_a_failing_store_is_not_the_policys_fault() -> None:
    """Where the spans cannot be loaded the whole decision fails, instead of counting as a vote against the trace."""
    policy_set = build(spec("span_named", span="s"))

    def load() -> Sequence[Any]:
        raise OSError("disk gone")

    trace_id, summary, _ = trace(span("s")).input_for(policy_set)
    with pytest.raises(OSError, match="disk gone"):
        policy_set.decide(0, [(trace_id, summary, load)], {})
    assert not policy_set.errors
