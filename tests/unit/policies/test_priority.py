"""Datadog's sampling priority: where it stands, what it means, who wins."""

from __future__ import annotations

from typing import Any

import pytest

from policies import build_policy_set
from policies.testing import decide, span, trace
from tests.unit.policies.more_traces import priority_trace, recorded, verdict_of

KEEP, REJECT, AUTO = "sampled p/user_keep", "dropped p/user_reject", "sampled p/auto_keep"
ALL: dict[str, Any] = {"name": "all", "type": "always_sample"}
DD: dict[str, Any] = {"name": "dd", "type": "priority"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2, KEEP),
        (2.0, KEEP),
        ("2", KEEP),
        ("2.000000", KEEP),
        (7, KEEP),
        (1, AUTO),
        (1.0, AUTO),
        ("1.000000", AUTO),
        (0, "not_sampled"),
        ("0.000000", "not_sampled"),
        (-1, REJECT),
        (-1.0, REJECT),
        ("-1.000000", REJECT),
        (-128, REJECT),
        (None, "not_sampled"),
        (1.5, "not_sampled"),
        ("1.5", "not_sampled"),
        (" 1", "not_sampled"),
        ("high", "not_sampled"),
        ("", "not_sampled"),
        (float("nan"), "not_sampled"),
        (float("inf"), "not_sampled"),
        (True, "not_sampled"),
        (["2"], "not_sampled"),
    ],
)
@pytest.mark.parametrize("key", ["_sampling_priority_v1", "sampling.priority"])
def test_values(value: Any, expected: str, key: str) -> None:
    """Whole numbers count as integer, double or text; anything else is no priority."""
    assert recorded("priority", {}, priority_trace(value, key=key)) == expected


@pytest.mark.parametrize(
    ("tracestate", "expected"),
    [
        ("dd=s:2", KEEP),
        ("dd=s:2;o:rum;t.dm:-4", KEEP),
        ("ot=th:8, dd=o:rum;s:1;p:00f067aa0ba902b7,x=y", AUTO),
        ("dd=s:-1", REJECT),
        ("dd=s:0", "not_sampled"),
        ("dd=o:rum", "not_sampled"),
        ("dd=s:two", "not_sampled"),
        ("dd=s:", "not_sampled"),
        ("dd=o:rum,dd=s:2", "not_sampled"),
        ("xdd=s:2", "not_sampled"),
        ("dd=t.s:2", "not_sampled"),
        (",,=;dd", "not_sampled"),
    ],
)
def test_tracestate(tracestate: str, expected: str) -> None:
    """The field `s` of the first `dd` member counts."""
    assert recorded("priority", {}, priority_trace(None, tracestate)) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [((2, -1), KEEP), ((-1, 1), REJECT), ((1, 0), AUTO), ((0, 2, 1), KEEP), ((-1, 0), REJECT)],
)
def test_precedence(values: tuple[int, ...], expected: str) -> None:
    """Where spans differ, user goes before automatic and keep before reject, in any order of spans."""
    spans = [span("s", attributes={"sampling.priority": value}) for value in values]
    assert recorded("priority", {}, trace(*spans)) == expected
    assert recorded("priority", {}, trace(*spans[::-1])) == expected


def test_places_of_one_span_count_alike() -> None:
    """A keep in the tracestate goes before a reject in an attribute of the same span."""
    assert recorded("priority", {}, priority_trace(-1, "dd=s:2")) == KEEP
    assert recorded("priority", {"tracestate": False}, priority_trace(-1, "dd=s:2")) == REJECT
    assert recorded("priority", {"attributes": []}, priority_trace(-1, "dd=s:1")) == AUTO


def test_user_reject_goes_before_all_other_policies() -> None:
    """Whether the policy stands first or last, and never against a user keep."""
    for policies in ([DD, ALL], [ALL, DD]):
        assert (verdict := decide(policies, priority_trace(-1))).policy == "dd/user_reject"
        assert verdict.probability == 0
        assert decide(policies, priority_trace(2)).sampled


def test_user_reject_may_be_left_to_the_others() -> None:
    """With `user_reject: none` priority -1 only gets no vote."""
    lenient = {**DD, "priority": {"user_reject": "none"}}
    assert decide([lenient, ALL], priority_trace(-1)).policy == "all"
    assert not decide([lenient], priority_trace(-1)).sampled


def test_automatic_keep_has_a_rate_of_its_own() -> None:
    """The share is exact, and other policies may add to it."""
    verdict = verdict_of("priority", {"auto_keep_percentage": 25}, priority_trace(1))
    assert verdict.probability == 0.25
    half = {"name": "half", "type": "probabilistic", "probabilistic": {"sampling_percentage": 50}}
    assert decide([{**DD, "priority": {"auto_keep_percentage": 25}}, half], priority_trace(1)).probability == 0.5


def test_automatic_reject_is_left_to_the_others() -> None:
    """Priority 0 is neither kept nor dropped."""
    assert decide([DD, ALL], priority_trace(0)).policy == "all"


def test_inside_another_policy_it_drops_nothing_and_says_so() -> None:
    """A veto belongs to the top level."""
    both = {"name": "both", "type": "and", "and": {"and_sub_policy": [DD, ALL]}}
    policy_set = build_policy_set([both, ALL])
    assert decide(policy_set, priority_trace(-1)).policy == "all"
    assert not decide([both], priority_trace(-1)).sampled
    assert decide([both], priority_trace(2)).sampled
    assert [note for note in policy_set.notes if "drops nothing" in note and '"both/dd"' in note]


def test_a_set_shows_the_policy_once() -> None:
    """Keeping and dropping are one policy under one name."""
    policy_set = build_policy_set([DD, ALL])
    assert policy_set.names == ("dd", "all")
    assert policy_set.describe().count("dd (") == 1
    without = build_policy_set([{**DD, "priority": {"user_reject": "none"}}, ALL])
    assert policy_set.content_hash != without.content_hash


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"attributes": [], "tracestate": False}, "no place to read the priority from"),
        ({"auto_keep_percentage": 101}, "auto_keep_percentage"),
        ({"user_reject": "maybe"}, "must be one of drop, none, got 'maybe'"),
        ({"auto_keep": 5}, "unknown key 'auto_keep'"),
    ],
)
def test_config_errors(config: dict[str, Any], message: str) -> None:
    """Say what is wrong."""
    with pytest.raises(ValueError, match=message):
        build_policy_set([{**DD, "priority": config}])
