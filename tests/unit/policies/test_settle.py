"""Two phases: who may claim tokens, and what the claims do to the sets."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest

from policies import (
    SPACE,
    Intent,
    PolicySet,
    TraceInput,
    TraceView,
    build_policy_set,
    first_of,
    installed,
    intersect,
)
from policies.reference import PlainSummary
from policies.rset import contains
from policies.testing import span, trace
from tests.unit.policies.sample_policies import SAMPLES, Choice, build, spec

RED = spec("string_attribute", key="team", values=["red"])
PLENTY = {"rate": 0.0, "burst": 1000.0}


def ticket(team: str, rv: int, policy_set: PolicySet, spans: int = 1) -> TraceInput:
    """A trace of a team with a given R."""
    spans_of = [span("s", attributes={"team": team}, tracestate=f"ot=rv:{rv:014x}") for _ in range(spans)]
    return trace(*spans_of, trace_id=rv.to_bytes(16, "big")).input_for(policy_set)


def tokens_spent(policy_set: PolicySet, traces: list[TraceInput], path: str, burst: float = 1000.0) -> float:
    """How many tokens one tick takes from a full bucket."""
    state = policy_set.initial_state()
    policy_set.decide(0, traces, state)
    assert not policy_set.errors
    (tokens,) = (own["tokens"] for key, own in state.items() if key.startswith(f"{path}@"))
    return burst - float(tokens)


def test_a_limiter_keeps_the_traces_of_highest_r_with_their_probability() -> None:
    """Of four traces a bucket of three tokens keeps the upper three; T is just above the fourth."""
    policy_set = build(spec("token_bucket", "limit", rate=1.0, burst=3.0))
    traces = [ticket("red", rv, policy_set) for rv in (40, 10, 30, 20)]
    verdicts = policy_set.decide(0, traces, policy_set.initial_state())
    assert [verdict.sampled for verdict in verdicts] == [True, False, True, True]
    assert {verdict.threshold for verdict in verdicts if verdict.sampled} == {11}
    assert {verdict.policy for verdict in verdicts} == {"limit", None}


@pytest.mark.parametrize(
    ("policies", "path", "spent"),
    [
        ([spec("and", "a", and_sub_policy=[RED, spec("token_bucket", "l", **PLENTY)])], "a/l", 2),
        ([spec("and", "a", and_sub_policy=[spec("token_bucket", "l", **PLENTY), RED])], "a/l", 2),
        ([spec("token_bucket", "l", **PLENTY), spec("always_sample", "all")], "l", 3),
        ([spec("drop", "d", drop_sub_policy=[RED]), spec("token_bucket", "l", **PLENTY)], "l", 1),
        ([spec("token_bucket", "l", **PLENTY), spec("drop", "d", drop_sub_policy=[RED])], "l", 1),
        ([spec("not", "n", not_sub_policy=spec("token_bucket", "l", **PLENTY))], "n/l", 3),
        ([spec("choice", "c", of=[RED | {"name": "r"}, spec("token_bucket", "l", **PLENTY)])], "c/l", 1),
        (
            [
                spec(
                    "and",
                    "a",
                    and_sub_policy=[
                        spec("token_bucket", "m", rate=0.0, burst=1.0),
                        spec("token_bucket", "l", **PLENTY),
                    ],
                )
            ],
            "a/l",
            1,
        ),
    ],
    ids=[
        "only what the other term keeps",
        "in any order of terms",
        "also where another policy keeps the trace",
        "not what is dropped",
        "not what a later drop policy drops",
        "below not",
        "not what an earlier alternative keeps",
        "what an earlier claim grants",
    ],
)
def test_candidates(policies: list[dict[str, Any]], path: str, spent: float) -> None:
    """Tokens are spent on exactly the traces for which the claim decides: two red and one blue."""
    policy_set = build(*policies)
    traces = [ticket("red", 1, policy_set), ticket("red", 2, policy_set), ticket("blue", 3, policy_set)]
    assert tokens_spent(policy_set, traces, path) == spent


def test_first_match_spares_the_tokens_of_later_limiters() -> None:
    """`sample_on_first_match` changes which limiters spend tokens, and nothing of what is kept or recorded."""
    policies = [RED | {"name": "red"}, spec("token_bucket", "limit", **PLENTY)]
    plain, first = build(*policies), build(*policies, sample_on_first_match=True)
    traces = [ticket("red", 1, plain), ticket("blue", 2, plain)]
    assert tokens_spent(plain, traces, "limit") == 2
    assert tokens_spent(first, traces, "limit") == 1
    verdicts = [subject.decide(0, traces, subject.initial_state()) for subject in (plain, first)]
    assert verdicts[0] == verdicts[1]
    assert [verdict.policy for verdict in verdicts[0]] == ["red", "limit"]


def test_a_replay_settles_the_same() -> None:
    """From the stored state of a tick, the next ticks give the same verdicts and state as they did live."""
    policy_set = build(
        spec("and", "a", and_sub_policy=[RED, spec("token_bucket", "l", rate=4.0, burst=6.0)]),
        spec("token_bucket", "rest", rate=2.0, burst=2.0),
    )
    draw = random.Random(3)
    ticks = [
        (tick, [ticket(draw.choice(["red", "blue"]), draw.getrandbits(56), policy_set, 2) for _ in range(5)])
        for tick in range(0, 5000, 250)
    ]
    live, stored, seen = policy_set.initial_state(), [], []
    for tick_ms, traces in ticks:
        stored.append(json.dumps(live))
        seen.append((policy_set.decide(tick_ms, traces, live), json.dumps(live)))
    for (tick_ms, traces), before, (verdicts, after) in zip(ticks, stored, seen, strict=True):
        state = json.loads(before)
        assert policy_set.decide(tick_ms, traces[::-1], state)[::-1] == verdicts
        assert json.dumps(state) == after
    assert len({verdict.threshold for verdicts, _ in seen for verdict in verdicts}) > 5


@pytest.mark.parametrize(
    "policies",
    [
        [spec("token_bucket", rate=1.0, burst=4.0)],
        [
            spec(
                "and",
                and_sub_policy=[
                    spec("probabilistic", sampling_percentage=60),
                    spec("token_bucket", rate=1.0, burst=3.0),
                ],
            ),
            RED,
        ],
        [
            spec("not", not_sub_policy=spec("token_bucket", rate=1.0, burst=4.0)),
            spec("drop", drop_sub_policy=[spec("probabilistic", sampling_percentage=30)]),
        ],
        [
            spec(
                "choice",
                of=[spec("probabilistic", sampling_percentage=20), spec("token_bucket", rate=1.0, burst=4.0)],
            )
        ],
    ],
    ids=["a limiter", "and with an or", "not with a drop", "a choice"],
)
def test_estimates_are_unbiased(policies: list[dict[str, Any]]) -> None:
    """1/p over the kept traces estimates how many there were that could be kept at all, over many seeds."""
    policy_set = build(*policies, sample_on_first_match=True)
    rounds, total, weight = 1500, 10, 0.0
    for seed in range(rounds):
        draw = random.Random(seed)
        traces = [
            ticket("red" if index == 0 else "blue", draw.getrandbits(56), policy_set, 1 + index % 3)
            for index in range(total)
        ]
        verdicts = policy_set.decide(0, traces, policy_set.initial_state())
        for (_, summary, _), verdict in zip(traces, verdicts, strict=True):
            assert verdict.sampled == contains(verdict.keep, summary.rv)
            weight += 1 / verdict.probability if verdict.sampled else 0
    assert abs(weight / rounds / total - 1) < 0.06


def test_the_set_of_a_limited_and_is_the_intersection() -> None:
    """A claim inside `and` keeps what both terms keep, so the higher threshold counts."""
    policy_set = build(
        spec(
            "and",
            and_sub_policy=[
                spec("probabilistic", sampling_percentage=50),
                spec("token_bucket", rate=1.0, burst=1.0),
            ],
        )
    )
    high = SPACE // 2
    traces = [ticket("red", rv, policy_set) for rv in (high + 5, high + 3, 7)]
    verdicts = policy_set.decide(0, traces, policy_set.initial_state())
    assert [verdict.sampled for verdict in verdicts] == [True, False, False]
    assert verdicts[0].threshold == high + 4
    roomy = policy_set.decide(0, traces[:1], policy_set.initial_state())
    assert roomy[0].threshold == high


class Twice(Choice):
    """Asks its sub-policy twice and keeps what both answers keep."""

    type = "twice"

    def evaluate(self, trace: TraceView) -> Intent:
        """The same claim in two places."""
        asked = [sub.policy.evaluate(trace) for sub in self.subs]
        return intersect([*asked, first_of([("again", answer) for answer in asked])])


def test_a_claim_that_stands_twice_is_one_claim() -> None:
    """A trace pays once for the tokens of one limiter, wherever in its policy they are claimed."""
    twice = {"name": "t", **spec("twice", of=[spec("token_bucket", "l", **PLENTY)])}
    policy_set = build_policy_set([twice], registry=installed({**SAMPLES, "twice": Twice}))
    assert tokens_spent(policy_set, [ticket("red", 1, policy_set)], "t/l") == 1


@pytest.mark.parametrize(
    "policies",
    [
        [spec("rate_limiting", "r", spans_per_second=5000)],
        [
            spec("and", "a", and_sub_policy=[RED, spec("rate_limiting", "r", spans_per_second=5000)]),
            RED | {"name": "s"},
        ],
        [
            spec(
                "composite",
                "c",
                max_total_spans_per_second=5000,
                composite_sub_policy=[RED, spec("always_sample", "z")],
            )
        ],
    ],
    ids=["a limiter", "and with an or", "composite"],
)
def test_the_time_of_a_tick_grows_with_its_traces_only(policies: list[dict[str, Any]]) -> None:
    """A tick of 20,000 claiming traces takes a fraction of a second; with quadratic work it would take minutes."""
    policy_set = build(*policies, sample_on_first_match=True)
    draw = random.Random(5)
    bits = (1 << len(policy_set.span_conditions)) - 1
    traces: list[TraceInput] = [
        (bytes(16), PlainSummary(span_count=1 + index % 9, rv=draw.getrandbits(56), bits=bits), tuple)
        for index in range(20_000)
    ]
    before = time.process_time()
    policy_set.decide(0, traces, policy_set.initial_state())
    assert time.process_time() - before < 5
    assert not policy_set.errors
