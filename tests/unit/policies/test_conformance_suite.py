"""The suite that plugin authors inherit, run over the built-ins and over policies that break the rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from policies import Candidate, PolicyConfigError, Settlement, Tick
from policies.builtin.always_sample import AlwaysSample
from policies.builtin.and_ import And
from policies.builtin.boolean_attribute import BooleanAttribute
from policies.builtin.drop import Drop
from policies.builtin.latency import Latency
from policies.builtin.not_ import Not
from policies.builtin.numeric_attribute import NumericAttribute
from policies.builtin.probabilistic import Probabilistic
from policies.builtin.span_count import SpanCount
from policies.builtin.status_code import StatusCode
from policies.builtin.string_attribute import StringAttribute
from policies.testing import PolicyConformance, resource, span
from tests.unit.policies.sample_policies import Failing, OddId, SpanNamed, TokenBucket, Undeclared

LATENCY = {"type": "latency", "latency": {"threshold_ms": 5}}
TEAMS = [[resource({"team": "red", "load": 3}, span("s", 0, 10, attributes={"debug": True}))]]


class TestAlwaysSample(PolicyConformance):
    """always_sample keeps the contract."""

    policy = AlwaysSample


class TestAnd(PolicyConformance):
    """`and` keeps the contract."""

    policy = And
    configs = ({"and_sub_policy": [LATENCY, {"type": "span_count"}]},)


class TestNot(PolicyConformance):
    """`not` keeps the contract."""

    policy = Not
    configs = ({"not_sub_policy": LATENCY},)


class TestDrop(PolicyConformance):
    """`drop` keeps the contract."""

    policy = Drop
    configs = ({"drop_sub_policy": [LATENCY]},)


class TestBooleanAttribute(PolicyConformance):
    """boolean_attribute keeps the contract."""

    policy = BooleanAttribute
    configs = ({"key": "debug", "value": True}, {"key": "debug", "invert_match": True})
    traces = TEAMS


class TestLatency(PolicyConformance):
    """latency keeps the contract."""

    policy = Latency
    configs = ({}, {"threshold_ms": 5}, {"threshold_ms": 5, "upper_threshold_ms": 9})
    traces = TEAMS


class TestNumericAttribute(PolicyConformance):
    """numeric_attribute keeps the contract."""

    policy = NumericAttribute
    configs = ({"key": "load", "min_value": 2}, {"key": "load", "max_value": -2, "invert_match": True})
    traces = TEAMS


class TestProbabilistic(PolicyConformance):
    """probabilistic keeps the contract."""

    policy = Probabilistic
    configs = ({"sampling_percentage": 30}, {"sampling_percentage": 12.5, "hash_salt": "x"})


class TestSpanCount(PolicyConformance):
    """span_count keeps the contract."""

    policy = SpanCount
    configs = ({"min_spans": 2}, {"max_spans": 29})


class TestStatusCode(PolicyConformance):
    """status_code keeps the contract."""

    policy = StatusCode
    configs = ({"status_codes": ["ERROR", "UNSET"]},)


class TestStringAttribute(PolicyConformance):
    """string_attribute keeps the contract."""

    policy = StringAttribute
    configs = (
        {"key": "team", "values": ["red"]},
        {"key": "team", "values": ["^r", "x$"], "enabled_regex_matching": True, "invert_match": True},
    )
    traces = TEAMS


class TestLimiter(PolicyConformance):
    """A token bucket keeps the contract."""

    policy = TokenBucket
    configs = ({"rate": 3.0, "burst": 40.0},)


class TestReadsSummary(PolicyConformance):
    """A policy that declares that it reads the summary keeps the contract."""

    policy = OddId


class TestReadsSpans(PolicyConformance):
    """A policy that declares that it reads spans keeps the contract."""

    policy = SpanNamed
    configs = ({"span": "n"},)


class Forgetful(TokenBucket):
    """Keeps a set in its state, which JSON cannot hold."""

    type = "forgetful"

    def initial_state(self) -> dict[str, Any]:
        """Not JSON-able."""
        return {**super().initial_state(), "seen": {1}}


class Moody(TokenBucket):
    """Counts its calls outside its state."""

    type = "moody"
    calls = 0

    def settle(self, tick: Tick, candidates: Sequence[Candidate], state: dict[str, Any]) -> Settlement:
        """Gives nothing the second time."""
        type(self).calls += 1
        state["tokens"] = 0.0 if type(self).calls % 2 else 1e9
        return super().settle(tick, candidates, state)


@pytest.mark.parametrize(
    ("policy", "config", "check", "error"),
    [
        (Failing, {}, "test_never_fails_and_reads_only_what_it_declares", "out of order"),
        (Undeclared, {"what": "span_count"}, "test_never_fails_and_reads_only_what_it_declares", "Reads.SUMMARY"),
        (Forgetful, {"rate": 1.0, "burst": 2.0}, "test_state_survives_being_stored", "JSON serializable"),
        (Moody, {"rate": 1.0, "burst": 99.0}, "test_gives_the_same_answer_in_any_order_and_again", None),
    ],
)
def test_the_suite_finds_what_breaks_the_contract(
    policy: Any, config: dict[str, Any], check: str, error: str | None
) -> None:
    """Each obligation has a test that fails for a policy which breaks it."""
    broken = {"policy": policy, "configs": (config,)}
    suite = type("Broken", (PolicyConformance,), broken)()
    with pytest.raises((AssertionError, PolicyConfigError), match=error):
        getattr(suite, check)()
