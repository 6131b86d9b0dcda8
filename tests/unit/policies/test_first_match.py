"""Ordered rules: the first that fits decides alone."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import SPACE, PolicyConfigError, build_policy_set
from policies.rset import contains, from_percentage
from policies.testing import Trace, decide, span, trace
from sampler.config import ConfigError, parse_policies
from tests.unit.policies.sample_policies import build, spec

ERRORS = spec("status_code", status_codes=["ERROR"])
RED = spec("string_attribute", key="team", values=["red"])
ALL: dict[str, Any] = {"name": "all", "type": "always_sample"}


def share(percentage: float) -> dict[str, Any]:
    """A policy that keeps a share."""
    return spec("probabilistic", sampling_percentage=percentage)


def rules(*listed: dict[str, Any], name: str = "r", **options: Any) -> dict[str, Any]:
    """A first_match policy."""
    return {"name": name, "type": "first_match", "first_match": {"rules": list(listed), **options}}


def subject(team: str = "", *, error: bool = False, rv: int = 0) -> Trace:
    """A trace of a team, with a given R."""
    attributes = {"team": team} if team else {}
    one = span("s", attributes=attributes, status="ERROR" if error else "UNSET", tracestate=f"ot=rv:{rv:014x}")
    return trace(one, trace_id=rv.to_bytes(16, "big"))


REFINERY = rules(
    {"name": "probes", "when": spec("string_attribute", key="team", values=["probe"]), "drop": True},
    {"name": "errors", "when": ERRORS, "sampling_percentage": 100},
    {"name": "red", "when": RED, "policy": share(50)},
    default_percentage=10,
)


@pytest.mark.parametrize(
    ("given_trace", "probability", "top"),
    [
        (subject("probe", error=True, rv=SPACE - 1), 0, "dropped r/probes"),
        (subject("red", error=True), 1, "sampled r/errors"),
        (subject("red", rv=SPACE - 1), 0.5, "sampled r/red"),
        (subject("blue", rv=SPACE - 1), 0.1, "sampled r/default"),
        (subject("red"), 0.5, "not_sampled None"),
    ],
)
def test_the_first_rule_that_fits_decides(given_trace: Trace, probability: float, top: str) -> None:
    """Later rules and the default do not count; the rule is recorded below the policy's name."""
    verdict = decide([REFINERY], given_trace)
    assert verdict.probability == pytest.approx(probability)
    assert f"{verdict.decision} {verdict.policy}" == top


def test_a_low_rate_is_not_raised_by_a_later_rule() -> None:
    """That is what sets it apart from a list of policies."""
    low = rules({"name": "red", "when": RED, "sampling_percentage": 1}, {"name": "all", "sampling_percentage": 100})
    assert decide([low], subject("red")).probability == pytest.approx(0.01)
    assert decide([low], subject("blue")).probability == 1


def test_a_condition_that_holds_for_some_r_decides_for_these_only() -> None:
    """The others go to the next rules: what is kept is exact, though no upper interval."""
    mixed = rules({"name": "half", "when": share(50), "sampling_percentage": 0}, {"name": "rest", "policy": share(75)})
    verdict = decide([mixed], subject(rv=SPACE * 3 // 8))
    assert verdict.keep == ((SPACE // 4, SPACE // 2),)
    assert (verdict.probability, verdict.policy) == (0.25, "r/rest")


def test_several_conditions_must_all_hold() -> None:
    """A list of policies under `when`."""
    both = rules({"name": "x", "when": [ERRORS, RED], "sampling_percentage": 100}, default_percentage=0)
    assert [decide([both], subject(team, error=error)).sampled for team, error in (("red", True), ("red", False))] == [
        True,
        False,
    ]


def test_without_rule_or_default_everything_is_kept_and_a_note_says_so() -> None:
    """As in Refinery; a number given, or a last rule for all, is no accident."""
    open_ended = rules({"name": "red", "when": RED, "sampling_percentage": 1})
    assert decide([open_ended], subject("blue")).policy == "r/default"
    assert [note for note in build_policy_set([open_ended]).notes if "default_percentage" in note]
    for closed in (
        rules({"name": "red", "when": RED, "sampling_percentage": 1}, default_percentage=100),
        rules({"name": "red", "when": RED, "sampling_percentage": 1}, {"name": "rest", "sampling_percentage": 5}),
    ):
        assert build_policy_set([closed]).notes == ()


def test_rules_behind_one_for_all_are_noted() -> None:
    """They decide nothing."""
    dead = rules({"name": "all", "sampling_percentage": 5}, {"name": "red", "when": RED, "sampling_percentage": 100})
    assert 'the rules after "all" decide nothing' in build_policy_set([dead]).notes[0]


def test_drop_goes_before_the_other_policies_of_the_list() -> None:
    """Rate 0 does not: another policy may keep the trace."""
    drop = rules({"name": "red", "when": RED, "drop": True})
    zero = rules({"name": "red", "when": RED, "sampling_percentage": 0})
    assert decide([ALL, drop], subject("red")).policy == "r/red"
    assert not decide([ALL, drop], subject("red")).sampled
    assert decide([ALL, zero], subject("red")).sampled
    nested = {"name": "n", "type": "and", "and": {"and_sub_policy": [drop, ALL]}}
    assert decide([ALL, nested], subject("red")).sampled
    assert not decide([nested], subject("red")).sampled


def test_tokens_are_spent_on_the_traces_that_the_rule_decides() -> None:
    """A limiter of a rule is asked by nobody else, and its state lies below the name of the rule."""
    policy_set = build(
        rules(
            {"name": "errors", "when": ERRORS, "sampling_percentage": 100},
            {"name": "red", "when": RED, "policy": spec("token_bucket", rate=0.0, burst=2.0)},
            default_percentage=0,
        )
    )
    traces = [
        made.input_for(policy_set)
        for made in (subject("red", rv=5), subject("red", rv=7), subject("red", error=True, rv=9), subject(rv=11))
    ]
    state = policy_set.initial_state()
    verdicts = policy_set.decide(0, traces, state)
    assert [verdict.policy for verdict in verdicts] == ["r/red", "r/red", "r/errors", None]
    assert [policy.context.path for policy in policy_set.limiters] == ["r/red"]
    state = policy_set.initial_state()
    more = [subject("red", rv=rv).input_for(policy_set) for rv in (1, 2, 3)]
    assert {verdict.threshold for verdict in policy_set.decide(0, more, state) if verdict.sampled} == {2}


def test_a_limiter_may_stand_in_a_condition() -> None:
    """The first so many traces are decided by that rule, the others by the next."""
    policy_set = build(
        rules({"name": "few", "when": spec("token_bucket", rate=0.0, burst=1.0), "sampling_percentage": 100},
              default_percentage=0)
    )  # fmt: skip
    traces = [subject(rv=rv).input_for(policy_set) for rv in (4, 8)]
    verdicts = policy_set.decide(0, traces, policy_set.initial_state())
    assert [verdict.sampled for verdict in verdicts] == [False, True]


def test_estimates_are_unbiased_with_limiters_in_rules() -> None:
    """Counts weighted by 1/p are those of all traces, in the mean over many seeds, for every rule."""
    policy_set = build(
        rules(
            {"name": "errors", "when": ERRORS, "policy": share(40)},
            {"name": "few", "when": [RED, share(50)], "policy": spec("token_bucket", rate=4.0, burst=3.0)},
            {"name": "red", "when": RED, "sampling_percentage": 60},
            default_percentage=20,
        )
    )
    kinds = [("red", True)] * 4 + [("red", False)] * 12 + [("", False)] * 16
    totals = dict.fromkeys(kinds, 0.0)
    runs = 300
    for seed in range(runs):
        draw = random.Random(seed)
        state = policy_set.initial_state()
        order = random.Random(1).sample(kinds, len(kinds))
        for tick in range(4):
            part = order[tick * 8 : tick * 8 + 8]
            traces = [subject(team, error=error, rv=draw.getrandbits(56)) for team, error in part]
            found = policy_set.decide(tick * 250, [one.input_for(policy_set) for one in traces], state)
            for kind, verdict in zip(part, found, strict=True):
                totals[kind] += 1 / verdict.probability if verdict.sampled else 0
    for kind in totals:
        assert totals[kind] / runs == pytest.approx(kinds.count(kind), rel=0.07)


CONDITIONS = {
    "error": ERRORS,
    "red": RED,
    "p70": share(70),
    "p20": share(20),
    "not_error": spec("not", not_sub_policy=ERRORS),
}
RULES = st.lists(
    st.tuples(
        st.lists(st.sampled_from(sorted(CONDITIONS)), max_size=2),
        st.sampled_from(["drop", 0, 5, 30, 100, "policy"]),
    ),
    min_size=1,
    max_size=4,
)


def _holds(condition: str, *, error: bool, red: bool, rv: int) -> bool:
    match condition:
        case "error":
            return error
        case "not_error":
            return not error
        case "red":
            return red
        case _:
            return rv >= from_percentage(int(condition[1:]))


def _model(listed: Any, default: int, *, error: bool, red: bool, rv: int) -> tuple[str, str | None]:
    """The rules, read one after the other."""
    for index, (conditions, action) in enumerate(listed):
        if all(_holds(one, error=error, red=red, rv=rv) for one in conditions):
            if action == "drop":
                return "dropped", f"r/{index}"
            kept = rv >= from_percentage(40) and red if action == "policy" else rv >= from_percentage(action)
            return ("sampled", f"r/{index}") if kept else ("not_sampled", None)
    return ("sampled", "r/default") if rv >= from_percentage(default) else ("not_sampled", None)


@given(RULES, st.sampled_from([0, 10, 100]), st.booleans(), st.booleans(), st.integers(0, 2**32))
def test_against_a_model(listed: Any, default: int, error: bool, red: bool, seed: int) -> None:
    """Decision, recorded rule and stated set are those of reading the rules one by one, for every R."""
    sub = spec("and", and_sub_policy=[RED, share(40)])
    made = [
        {"name": str(index), "when": [CONDITIONS[one] for one in conditions]}
        | (
            {"drop": True}
            if action == "drop"
            else {"policy": sub}
            if action == "policy"
            else {"sampling_percentage": action}
        )
        for index, (conditions, action) in enumerate(listed)
    ]
    policy_set = build_policy_set([rules(*made, default_percentage=default)])
    draw = random.Random(seed)
    edges = [from_percentage(p) for p in (70, 20, 5, 30, 40, 10)]
    asked = [0, SPACE - 1, *edges, *(edge - 1 for edge in edges), *(draw.getrandbits(56) for _ in range(5))]
    for rv in asked:
        verdict = decide(policy_set, subject("red" if red else "", error=error, rv=rv))
        assert (verdict.decision, verdict.policy) == _model(listed, default, error=error, red=red, rv=rv)
        for other in asked:
            kept = _model(listed, default, error=error, red=red, rv=other)[0] == "sampled"
            assert contains(verdict.keep, other) == kept


@pytest.mark.parametrize(
    ("listed", "loc", "message"),
    [
        ([], ("rules",), "must not be empty"),
        ([{"sampling_percentage": 1}], ("rules", 0), "name is missing"),
        ([{"name": "a"}], ("rules", 0), "exactly one of sampling_percentage, policy and drop"),
        ([{"name": "a", "drop": True, "sampling_percentage": 1}], ("rules", 0), "exactly one of"),
        ([{"name": "a", "sampling_percent": 1}], ("rules", 0, "sampling_percent"), "mean 'sampling_percentage'"),
        ([{"name": "a", "drop": True}] * 2, ("rules",), '"a" stands there twice'),
        ([{"name": "default", "drop": True}], ("rules",), "is the name of what no rule fits"),
        ([{"name": "a", "sampling_percentage": 101}], ("rules", 0, "sampling_percentage"), "must be less than or"),
        ([{"name": "a", "when": {"type": "latancy"}, "drop": True}], ("rules", 0, "when", "type"), "latancy"),
        (
            [{"name": "a", "when": [ERRORS, {"type": "drop", "drop": {}}], "drop": True}],
            ("rules", 0, "when", 1, "type"),
            "only at the top level",
        ),
        (
            [{"name": "a", "policy": {"type": "latency", "latency": {"threshold": 1}}}],
            ("rules", 0, "policy", "latency", "threshold"),
            "unknown key 'threshold'",
        ),
        (
            [{"name": "a", "when": spec("rate_limiting", spans_per_second=1), "sampling_percentage": 1},
             {"name": "b", "drop": True}],
            (),
            'rule "b" drops',
        ),
    ],
)  # fmt: skip
def test_config_errors(listed: Any, loc: tuple[str | int, ...], message: str) -> None:
    """Say what is wrong, and where."""
    with pytest.raises(PolicyConfigError, match=message) as caught:
        build_policy_set([rules(*listed)])
    assert caught.value.loc == (0, "first_match", *loc)


def test_a_mistake_in_a_rule_is_told_once_with_its_line() -> None:
    """And with the key that is meant."""
    text = """
tail_sampling:
  policies:
    - name: r
      type: first_match
      first_match:
        rules:
          - name: all
            sample_percentage: 5
"""
    with pytest.raises(ConfigError) as caught:
        parse_policies(text)
    assert [(problem.line, problem.suggestion) for problem in caught.value.problems] == [(9, "sampling_percentage")]
