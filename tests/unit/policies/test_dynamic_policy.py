"""The policy `dynamic` as a policy: its contract, its settings, exact probabilities, and state that stays small."""

from __future__ import annotations

import copy
import json
import math
import random
from collections.abc import Iterable
from typing import Any

import pytest

from policies import PolicyConfigError, PolicySet
from policies.builtin.dynamic import Dynamic
from policies.claims import Candidate, Tick
from policies.contract import Reads
from policies.dynamic.stored import MAX_BYTES
from policies.intent import Claim
from policies.reference import PlainSummary
from policies.state import check_state
from policies.testing import PolicyConformance
from tests.unit.policies.dynamic_run import INTERVAL_MS, TICKS, Run, policy, zipf
from tests.unit.policies.more_traces import SAMPLES
from tests.unit.policies.sample_policies import build, spec


class TestDynamic(PolicyConformance):
    """With every kind of goal, key and mode."""

    policy = Dynamic
    configs = (
        {"key": ["operation", "error"], "goal": {"spans_per_second": 10}, "interval_ms": 1000},
        {"key": [{"any": "http.response.status_code"}, "status"], "goal": {"mean_rate": 3}, "max_keys": 2},
        {"key": ["span_count"], "goal": {"bytes_per_second": 1000}, "mode": "windowed", "interval_ms": 2000},
        {"key": [{"duration_ms": [10]}], "goal": {"traces_per_second": 4}, "starting_rate": 2, "burst_multiple": 0},
    )
    traces = tuple(sample.resource_spans for sample in SAMPLES)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"goal": {}}, "exactly one of mean_rate, spans_per_second, traces_per_second and bytes_per_second, not 0"),
        ({"goal": {"mean_rate": 2, "spans_per_second": 5}}, "not 2"),
        ({"goal": {"mean_rate": 0.5}}, "mean_rate"),
        ({"goal": {"spans_per_second": 0}}, "spans_per_second"),
        ({"goal": {"spans_per_second": 5, "mean_rate_of": "traces"}}, "mean_rate_of says what mean_rate counts"),
        ({"mode": "windowed", "ema_weight": 0.2}, "ema_weight has a meaning with mode: ema only"),
        ({"window_intervals": 3}, "window_intervals has a meaning with mode: windowed only"),
        ({"burst_multiple": 1}, "burst_multiple must be above 1"),
        ({"interval_ms": 500}, "interval_ms"),
        ({"key": []}, "key"),
    ],
)
def test_settings_that_make_no_sense_are_refused(config: dict[str, Any], says: str) -> None:
    """With what is wrong."""
    settings = {"key": ["service"], "goal": {"mean_rate": 2}, **config}
    with pytest.raises(PolicyConfigError, match=says):
        build(spec("dynamic", "d", **settings))


def test_it_says_what_it_keeps() -> None:
    """The goal and the fields."""
    assert policy(key=["service", {"root": "http.route"}]).describe() == (
        "about 80 traces a second, shared by log10 of traffic among keys of service, root http.route"
    )
    assert policy(goal={"mean_rate": 20}).describe().startswith("about 1 in 20 spans")


def test_only_keys_of_spans_read_spans() -> None:
    """What a summary tells costs no decoding."""
    assert policy(key=["error", "span_count", {"duration_ms": [5]}]).reads is Reads.SUMMARY
    assert policy(key=["error", "service"]).reads is Reads.SPANS


def test_keys_that_are_spelt_otherwise_have_the_same_chances() -> None:
    """Refinery's depend on the alphabet."""
    runs = Run(policy()), Run(policy())
    for run, name in zip(runs, ("k{}", "{}z"), strict=True):
        for number in range(5):
            run.interval(
                number,
                lambda interval, tick, name=name: [  # type: ignore[misc]
                    (name.format(999 - int(key[1:]) if name == "{}z" else key[1:]), cost)
                    for key, cost in zipf(30, 100)(interval, tick)
                ],
            )
    one, other = runs
    assert {key: one.chances[f"k{key}"] for key in range(30)} == {
        key: other.chances[f"{999 - key}z"] for key in range(30)
    }


def test_the_order_of_candidates_does_not_matter() -> None:
    """Neither in their tick nor for later ones, also where there are more keys than places."""
    outcomes = []
    for turned in (False, True):
        run = Run(policy(max_keys=5))
        for number in range(4):
            run.interval(
                number,
                lambda interval, tick, turned=turned: sorted(zipf(200, 60)(interval, tick), reverse=turned),  # type: ignore[misc]
            )
        known = json.loads(run.states[0]["known"])
        del (
            known["ledger"][2][2],
            known["ledger"][3][2],
        )  # what was kept follows from R, which goes by order in this run
        outcomes.append((known, run.chances))
    assert outcomes[0] == outcomes[1]


def test_the_state_is_bounded_whatever_the_keys() -> None:
    """With thousands of long keys, of many bytes each, the largest are still known."""
    run = Run(policy(max_keys=1000, mode="windowed", window_intervals=20))

    def traffic(interval: int, tick: int) -> Iterable[tuple[str, float]]:
        draw = random.Random(f"{interval} {tick}")
        return [(f'é\\"{draw.randrange(5_000)}{"x" * 100}', 1.0) for _ in range(100)] + [("large", 1.0)] * 100

    run.intervals(range(3), traffic)
    check_state(run.states[0])
    assert len(json.dumps(run.states[0])) < MAX_BYTES + 100
    assert run.chances["large"] < 0.2


def test_with_an_exchange_the_state_is_a_few_bytes() -> None:
    """What is known lives beside it."""
    run = Run(policy(), 2, exchange=True)
    run.intervals(range(4), zipf(300, 100))
    assert max(len(json.dumps(state)) for state in run.states) < 100


def inputs_of(seed: int, traces: int) -> list[Any]:
    """Traces of two keys, by their number of spans; a third of them with an error."""
    draw = random.Random(seed)
    return [
        (
            bytes(16),
            PlainSummary(span_count=1 + 9 * (index % 4 == 0), rv=draw.getrandbits(56), bits=1 if index % 3 == 1 else 0),
            tuple,
        )
        for index in range(traces)
    ]


ERRORS = spec("status_code", "errors", status_codes=["ERROR"])
HALF = spec("probabilistic", "half", sampling_percentage=50)
DYNAMIC = spec("dynamic", "d", key=[{"span_count": [5]}], goal={"traces_per_second": 6}, interval_ms=1000)
PLACES = {
    "alone": [DYNAMIC],
    "beside others": [ERRORS, DYNAMIC],
    "in an and": [ERRORS, spec("and", "both", and_sub_policy=[HALF, DYNAMIC])],
    "in a not": [spec("not", "others", not_sub_policy=spec("and", "both", and_sub_policy=[HALF, DYNAMIC]))],
    "in a first_match": [
        spec(
            "first_match",
            "rules",
            rules=[{"name": "errors", "when": ERRORS, "sampling_percentage": 30}, {"name": "rest", "policy": DYNAMIC}],
        )
    ],
    "as a condition": [
        spec(
            "first_match",
            "rules",
            rules=[{"name": "some", "when": DYNAMIC, "sampling_percentage": 60}],
            default_percentage=20,
        )
    ],
}
ROUNDS = 500
TRACES = 24


@pytest.mark.parametrize("learned", [False, True], ids=["at the start", "with a plan"])
@pytest.mark.parametrize("place", PLACES)
def test_counts_are_unbiased_wherever_it_stands(place: str, learned: bool) -> None:
    """Over many seeds the mean of the sum over 1/p is the number of traces, within three standard errors and a half."""
    policies: PolicySet = build(*PLACES[place])
    before = policies.initial_state()
    for seed in range(12 if learned else 0):
        policies.decide(250 * seed, inputs_of(-seed - 1, TRACES), before)
    sums = []
    for seed in range(ROUNDS):
        verdicts = policies.decide(3_000, inputs_of(seed, TRACES), copy.deepcopy(before))
        sums.append(sum(1 / verdict.probability for verdict in verdicts if verdict.sampled))
    assert not policies.errors, policies.last_errors
    mean = sum(sums) / ROUNDS
    error = math.sqrt(sum((each - mean) ** 2 for each in sums) / (ROUNDS - 1) / ROUNDS)
    assert error > 0
    assert abs(mean - TRACES) < 3.5 * error


def test_the_threshold_is_that_of_the_exact_chance() -> None:
    """1 in 3 of a single key is a third of all R, to the last bit."""
    subject = policy(goal={"mean_rate": 3})
    candidates = [Candidate(number, Claim("d", 1.0, "k")) for number in range(30)]
    settlement = subject.settle(Tick(0), candidates, subject.initial_state())
    assert settlement.keep(candidates[0].claim, 0, candidate=True) == (1 << 56) - round((1 << 56) / 3)


def test_a_tick_without_candidates_in_the_middle_of_everything_does_no_harm() -> None:
    """Chances are those of the ticks around it."""
    run = Run(policy())
    run.intervals(range(4), zipf(30, 100))
    before = dict(run.chances)
    for number in range(4 * TICKS, 9 * TICKS, 7):
        assert run.settle(number * 250, 0, []) == 0
    run.settle(9 * INTERVAL_MS, 0, [(key, 1.0) for key in before])
    assert run.chances == pytest.approx(before, rel=0.6)
