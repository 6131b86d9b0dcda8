"""Combinations of service, operation and status that have not been seen lately."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import SPACE, PolicySet, build_policy_set
from policies.builtin.rare_spans import Known, RareClaim, combinations, pack, unpack
from policies.claims import Candidate, Tick
from policies.contract import Limiter
from policies.intent import Claim
from policies.rset import contains
from policies.testing import Trace, resource, span, trace
from policies.verdict import Verdict
from tests.unit.policies.sample_policies import spec

MINUTE: dict[str, Any] = {"interval_ms": 60_000}


def subject(
    *operations: str, rv: int = 0, service: str = "shop", status: Literal["OK", "ERROR"] = "OK", team: str = "x"
) -> Trace:
    """A trace with a span per operation."""
    spans = [span(name, status=status, tracestate=f"ot=rv:{rv:014x}", attributes={"team": team}) for name in operations]
    return trace(resource({"service.name": service}, *spans), trace_id=rv.to_bytes(16, "big"))


def rare(name: str = "rare", **config: Any) -> dict[str, Any]:
    """The policy."""
    return spec("rare_spans", name, **{**MINUTE, **config})


class Run:
    """Ticks of one partition."""

    def __init__(self, *policies: dict[str, Any], share: float = 1.0) -> None:
        self.policy_set: PolicySet = build_policy_set(policies)
        self.state = self.policy_set.initial_state()
        self.share = share

    def verdicts(self, tick_ms: int, *traces: Trace) -> list[Verdict]:
        """What is decided on the traces of a tick; state goes through its stored form."""
        inputs = [one.input_for(self.policy_set) for one in traces]
        found = self.policy_set.decide(tick_ms, inputs, self.state, share=self.share)
        assert not self.policy_set.errors, self.policy_set.last_errors
        self.state = json.loads(json.dumps(self.state))
        return found

    def kept(self, tick_ms: int, *traces: Trace) -> list[bool]:
        """Which of them are kept."""
        return [verdict.sampled for verdict in self.verdicts(tick_ms, *traces)]


def test_the_first_trace_of_a_combination_is_kept_and_later_ones_are_not() -> None:
    """Service, operation and status each make another combination."""
    run = Run(rare())
    assert run.kept(0, subject("GET")) == [True]
    assert run.kept(250, subject("GET")) == [False]
    assert run.kept(500, subject("PUT"), subject("GET", service="pay"), subject("GET", status="ERROR")) == [True] * 3
    assert run.kept(750, subject("PUT"), subject("GET", service="pay"), subject("GET", status="ERROR")) == [False] * 3


def test_one_rare_span_keeps_the_trace() -> None:
    """Whatever else is in it."""
    run = Run(rare())
    assert run.kept(0, subject("GET")) == [True]
    assert run.kept(250, subject("GET", "DELETE", "GET")) == [True]
    assert run.kept(500, subject("GET", "DELETE")) == [False]


def test_after_its_interval_a_combination_is_rare_again() -> None:
    """The interval begins with the first trace, and does not care how many others come in between."""
    run = Run(rare())
    assert [run.kept(tick, subject("GET"))[0] for tick in (1000, 30_000, 60_999, 61_000, 61_250, 121_000)] == [
        True,
        False,
        False,
        True,
        False,
        True,
    ]


def test_after_silence_only_an_interval_without_it_makes_it_rare() -> None:
    """Every trace that has it begins the interval anew."""
    run = Run(rare(forget="after_silence"))
    assert [run.kept(tick, subject("GET"))[0] for tick in (0, 30_000, 60_000, 119_999, 179_999)] == [
        True,
        False,
        False,
        False,
        True,
    ]


def test_several_traces_an_interval() -> None:
    """Places are taken over ticks; within a tick R decides, and the threshold is that of the first left out."""
    run = Run(rare(traces_per_interval=3))
    assert run.kept(0, subject("GET", rv=1)) == [True]
    verdicts = run.verdicts(250, *(subject("GET", rv=rv) for rv in (5, 40, 20, 30)))
    assert [verdict.sampled for verdict in verdicts] == [False, True, False, True]
    assert {verdict.threshold for verdict in verdicts if verdict.sampled} == {21}
    assert run.kept(500, subject("GET", rv=SPACE - 1)) == [False]


def test_equal_randomness_is_left_out_together() -> None:
    """Where only one of two can have the place, neither may depend on the order."""
    assert Run(rare()).kept(0, subject("GET", rv=7), subject("GET", rv=7)) == [False, False]


@pytest.mark.parametrize(("wanted", "share", "places"), [(1, 0.125, 1), (10, 0.125, 2), (10, 0.1, 1), (3, 1 / 3, 1)])
def test_a_partition_grants_its_share_rounded_up(wanted: int, share: float, places: int) -> None:
    """At least one, so that a combination that only one partition sees is found."""
    run = Run(rare(traces_per_interval=wanted), share=share)
    assert sum(run.kept(0, *(subject("GET", rv=rv) for rv in range(20)))) == places


def test_what_is_dropped_or_not_asked_for_is_not_seen() -> None:
    """Only traces that the policy could keep take places."""
    red = spec("string_attribute", "red", key="team", values=["red"])
    run = Run({"name": "both", "type": "and", "and": {"and_sub_policy": [red, rare()]}})
    assert run.kept(0, subject("GET")) == [False]
    assert run.kept(250, subject("GET", team="red")) == [True]
    run = Run({"name": "no", "type": "drop", "drop": {"drop_sub_policy": [red]}}, rare())
    assert run.kept(0, subject("GET", team="red")) == [False]
    assert run.kept(250, subject("GET")) == [True]


def test_a_trace_without_spans_has_no_combination() -> None:
    """It is not kept."""
    assert Run(rare()).kept(0, trace()) == [False]


def test_memory_is_bounded_and_a_full_one_finds_nothing_rare() -> None:
    """Known combinations keep their places; room comes back when intervals end."""
    run = Run(rare(max_keys=2, traces_per_interval=2))
    assert run.kept(0, subject("a"), subject("b")) == [True, True]
    assert run.kept(1000, subject("c"), subject("a")) == [False, True]
    assert len(unpack(run.state[next(iter(run.state))]["known"])) == 2
    assert run.kept(60_000, subject("c")) == [True]


def test_room_is_given_by_key_whatever_r() -> None:
    """Which of many new combinations are remembered does not depend on R, nor on the order of traces."""
    names = [f"op{number}" for number in range(20)]
    seen = set()
    for seed in range(5):
        draw = random.Random(seed)
        traces = [subject(name, rv=draw.getrandbits(56)) for name in names]
        draw.shuffle(traces)
        run = Run(rare(max_keys=5))
        run.kept(0, *traces)
        seen.add(json.dumps(run.state))
    assert len(seen) == 1


keys = st.lists(st.sampled_from(["AAAAAAAA", "BBBBBBBB", "CCCCCCCC", "DDDDDDDD"]), min_size=1, max_size=3, unique=True)
ticks = st.lists(st.lists(st.tuples(keys, st.integers(0, 30)), max_size=6), min_size=1, max_size=4)


def _settled(limiter: Limiter, tick: int, traces: Sequence[tuple[list[str], int]], state: Any) -> Any:
    claims = [_claim(names) for names, _ in traces]
    candidates = [Candidate(rv, claim) for claim, (_, rv) in zip(claims, traces, strict=True)]
    return limiter.settle(Tick(tick), candidates, state)


def _claim(names: Sequence[str]) -> Claim:
    return RareClaim("rare", 1.0, keys=tuple(sorted(names)))


@given(ticks, st.integers(1, 3), st.integers(1, 4), st.sampled_from(["after_interval", "after_silence"]))
def test_sets_are_exact(listed: list[list[tuple[list[str], int]]], places: int, room: int, forget: str) -> None:
    """The stated set holds exactly the R for which the trace would be kept, all others being as they are.

    And what is remembered does not depend on the R of anybody: so sets of later ticks are exact too.
    """
    config = {"traces_per_interval": places, "max_keys": room, "interval_ms": 300, "forget": forget}
    (limiter,) = build_policy_set([rare(**config)]).limiters
    state = limiter.initial_state()
    for number, traces in enumerate(listed):
        before = json.dumps(state)
        settlement = _settled(limiter, number * 250, traces, state)
        for index, (names, rv) in enumerate(traces):
            stated = settlement.keep(_claim(names), rv, candidate=True)
            for other in range(32):
                changed = [*traces[:index], (names, other), *traces[index + 1 :]]
                again = json.loads(before)
                outcome = _settled(limiter, number * 250, changed, again)
                assert contains(outcome.keep(_claim(names), other, candidate=True), other) == contains(stated, other)
                assert again == state
        for names in (["AAAAAAAA"], ["BBBBBBBB", "DDDDDDDD"]):
            stated = settlement.keep(_claim(names), 3, candidate=False)
            for other in range(32):
                outcome = _settled(limiter, number * 250, [*traces, (names, other)], json.loads(before))
                assert contains(outcome.keep(_claim(names), other, candidate=True), other) == contains(stated, other)


@given(st.dictionaries(st.text("abcdefgh", min_size=8, max_size=8), st.builds(Known, st.integers(), st.integers(0, 9))))
def test_the_stored_form_loses_nothing(known: dict[str, Known]) -> None:
    """Also through JSON, and in one form only."""
    stored = json.loads(json.dumps(pack(known)))
    assert unpack(stored) == known
    assert pack(dict(reversed(known.items()))) == stored


def test_estimates_stay_unbiased_beside_a_share_of_everything() -> None:
    """Counts weighted by 1/p are those of all traces, in the mean over many seeds, rare and frequent ones alike."""
    names = ["a"] * 30 + ["b"] * 8 + ["c"]
    totals = {"a": 0.0, "b": 0.0, "c": 0.0}
    runs = 400
    for seed in range(runs):
        draw = random.Random(seed)
        run = Run(rare(traces_per_interval=2), spec("probabilistic", "base", sampling_percentage=30))
        order = random.Random(1).sample(names, len(names))
        for tick in range(0, 13):
            part = order[tick * 3 : tick * 3 + 3]
            traces = [subject(name, rv=draw.getrandbits(56)) for name in part]
            for name, verdict in zip(part, run.verdicts(tick * 250, *traces), strict=True):
                totals[name] += 1 / verdict.probability if verdict.sampled else 0
    assert totals["c"] == runs
    assert totals["a"] / runs == pytest.approx(30, rel=0.04)
    assert totals["b"] / runs == pytest.approx(8, rel=0.06)


def test_combinations_are_told_apart() -> None:
    """Neither the order of spans nor equal concatenations confuse them."""

    def keys_of(*pairs: tuple[str, str]) -> tuple[str, ...]:
        units = [resource({"service.name": service}, span(name)) for service, name in pairs]
        return combinations(trace(*units).resource_spans)

    assert keys_of(("ab", "c")) != keys_of(("a", "bc"))
    assert keys_of(("a", "b"), ("c", "d")) == keys_of(("c", "d"), ("a", "b"), ("a", "b"))
    assert all(len(key) == 8 for key in keys_of(("a", "b"), ("é", "\ufffd")))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"traces_per_interval": 0}, "greater than or equal to 1"),
        ({"interval_ms": "5m"}, "whole number of milliseconds, without unit"),
        ({"interval_ms": 0}, "greater than or equal to 1"),
        ({"forget": "never"}, "after_interval"),
        ({"max_keys": 1_000_000}, "less than or equal to"),
        ({"interval": 5}, "did you mean 'interval_ms'"),
    ],
)
def test_config_errors(config: dict[str, Any], message: str) -> None:
    """Say what is wrong."""
    with pytest.raises(ValueError, match=message):
        build_policy_set([rare(**config)])


def test_a_large_memory_is_noted() -> None:
    """It costs, at every tick."""
    assert [note for note in build_policy_set([rare(max_keys=50_000)]).notes if "decision record" in note]
