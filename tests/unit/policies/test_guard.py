"""What stands between a policy that misbehaves and the others."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from policies import (
    ALWAYS,
    NEVER,
    SPACE,
    Candidate,
    Claim,
    Intent,
    Policy,
    PolicyConfigError,
    PolicySet,
    Reads,
    Settlement,
    Tick,
    TraceView,
    build_policy_set,
    installed,
)
from policies.conditions import AttributeIn
from policies.guard import MAX_INTERVALS, SAVED_S, SHARE
from policies.intent import Complement, FirstMatch, FirstOf, Intersection
from policies.state import MAX_STATE_BYTES
from policies.testing import span, trace
from tests.unit.policies.sample_policies import TokenBucket

SUBJECT = trace(span("s", 0, 10))
GOOD = {"name": "good", "type": "always_sample"}


class Answering(Policy):
    """Answers what it is told to."""

    type = "answering"
    reads = Reads.SUMMARY
    answer: Callable[[TraceView], Any] = staticmethod(lambda trace: ALWAYS)

    def evaluate(self, trace: TraceView) -> Intent:
        """Whatever."""
        answer: Intent = type(self).answer(trace)
        return answer

    def describe(self) -> str:
        """Says nothing."""
        return "whatever"


def answering(answer: Callable[[TraceView], Any], *others: dict[str, Any], **attributes: Any) -> PolicySet:
    """A set of a policy that answers so, called bad, and others."""
    policy = type("Told", (Answering,), {"answer": staticmethod(answer), **attributes})
    return build_policy_set([{"name": "bad", "type": "answering"}, *others], registry=installed({"answering": policy}))


def decide(policy_set: PolicySet, count: int = 1) -> list[str | None]:
    """Who decided each of `count` traces."""
    state = policy_set.initial_state()
    inputs = [SUBJECT.input_for(policy_set)] * count
    return [verdict.policy for verdict in policy_set.decide(0, inputs, state)]


class BadText:
    """Cannot even be shown."""

    def __repr__(self) -> str:
        """Fails."""
        raise RuntimeError("no text")


NONSENSE = [
    (None, "answered None of type NoneType"),
    (True, "answered True of type bool"),
    (0.5, "answered 0.5 of type float"),
    (-1, "lies outside of 0"),
    (SPACE + 1, "lies outside of 0"),
    ("always", "of type str"),
    (BadText(), "of type BadText"),
    ([(0, 5)], "of type list"),
    ((), "from_intervals"),
    (((5, SPACE),), "from_intervals"),
    (((5, 5),), "from_intervals"),
    (((7, 9), (1, 3)), "from_intervals"),
    (((1, 3), (3, 5)), "from_intervals"),
    (((-1, 3),), "from_intervals"),
    (((1, SPACE + 1),), "from_intervals"),
    (((1.0, 3),), "pairs of whole numbers"),
    (((1, 2, 3),), "pairs of whole numbers"),
    ((1, 2), "pairs of whole numbers"),
    (tuple((n * 4, n * 4 + 1) for n in range(MAX_INTERVALS + 1)), f"{MAX_INTERVALS + 1} intervals"),
    (Claim("other/limiter", 1.0), "'other/limiter', which is no limiter of this policy"),
    (Complement(None), "answered None"),  # type: ignore[arg-type]
    (Intersection([ALWAYS]), "where a tuple belongs"),  # type: ignore[arg-type]
    (Intersection((ALWAYS, 0.5)), "answered 0.5"),  # type: ignore[arg-type]
    (FirstOf(((7, ALWAYS),)), "the name 7 of a decider"),  # type: ignore[arg-type]
    (FirstOf((("x" * 1000, ALWAYS),)), "of a decider is no text of at most"),
    (FirstMatch((("rule", ALWAYS, "yes"),)), "answered 'yes'"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("answer", "message"), NONSENSE, ids=[message for _, message in NONSENSE])
@pytest.mark.parametrize("reads", [Reads.CONDITIONS, Reads.SUMMARY, Reads.SPANS])
def test_nonsense_is_no_vote(answer: Any, message: str, reads: Reads) -> None:
    """What is no set of R counts as a failure under the policy's name, and the others decide."""
    policy_set = answering(lambda _: answer, GOOD, reads=reads)
    assert decide(policy_set, 2) == ["good", "good"]
    assert policy_set.errors == {"bad": 2}
    assert message in policy_set.last_errors["bad"]


def endless() -> Intent:
    """An intent that contains itself without end."""
    intent: Intent = ALWAYS
    for _ in range(sys.getrecursionlimit() * 2):
        intent = Complement(intent)
    return intent


def test_an_answer_too_deep_to_read_is_no_vote() -> None:
    """Running out of stack while the answer is read is the policy's failure."""
    policy_set = answering(lambda _: endless(), GOOD)
    assert decide(policy_set) == ["good"]
    assert "RecursionError" in policy_set.last_errors["bad"]


def leave(_: TraceView) -> int:
    """Ends the program, as far as it can."""
    sys.exit("enough")


def test_a_policy_cannot_end_the_program() -> None:
    """sys.exit() in a policy is a failure like any other, with the line it came from."""
    policy_set = answering(leave, GOOD)
    assert decide(policy_set) == ["good"]
    assert policy_set.last_errors["bad"].startswith("SystemExit: enough (")
    assert f"{__file__}:{leave.__code__.co_firstlineno + 2}" in policy_set.last_errors["bad"]


def test_names_of_deciders_are_bounded() -> None:
    """A policy that names a decider for every trace would make a metric for every trace: it fails instead."""
    numbers = iter(range(10_000))
    policy_set = answering(lambda _: FirstOf(((f"trace {next(numbers)}", ALWAYS),)), GOOD)
    deciders = decide(policy_set, 1000)
    assert 0 < policy_set.errors["bad"] < 10
    assert deciders.count("good") == policy_set.errors["bad"]
    assert "a name stands for a rule" in policy_set.last_errors["bad"]


@pytest.mark.parametrize("cost", [float("nan"), float("inf"), -1.0, "1", None, True])
def test_a_cost_that_is_no_number_is_no_claim(cost: Any) -> None:
    """Limiters share out finite numbers of tokens that are not negative."""
    bad = type("Bad", (TokenBucket,), {"type": "bad", "cost": lambda self, trace: cost})
    policy_set = build_policy_set(
        [{"name": "bad", "type": "bad", "bad": {"rate": 1.0, "burst": 1.0}}, GOOD], registry=installed({"bad": bad})
    )
    assert decide(policy_set) == ["good"]
    assert "is not a finite number of at least 0" in policy_set.last_errors["bad"]


class Odd(TokenBucket):
    """Settles oddly, as told by its rate."""

    type = "odd"

    def settle(self, tick: Tick, candidates: Sequence[Candidate], state: dict[str, Any]) -> Settlement:
        """Spoils its state or its settlement."""
        match self.config.rate:
            case 1:
                state["when"] = (1, 2)
            case 2:
                state["big"] = "x" * MAX_STATE_BYTES
            case 3:
                state["mean"] = float("nan")
            case 4:
                return Grants(0.5)
            case 5:
                return None  # type: ignore[return-value]
            case 6:
                raise SystemExit
        return super().settle(tick, candidates, state)


class Grants:
    """A settlement that grants what it is told."""

    def __init__(self, keep: Any) -> None:
        self._keep = keep

    def keep(self, claim: Claim, randomness: int, *, candidate: bool) -> Any:
        """The same for all."""
        return self._keep


@pytest.mark.parametrize(
    ("rate", "message"),
    [
        (1, "not the same after it was stored"),
        (2, "has grown to"),
        (3, "Out of range float values are not JSON compliant"),
        (4, "answered 0.5 of type float"),
        (5, "AttributeError"),
        (6, "SystemExit"),
    ],
)
def test_a_limiter_that_spoils_state_or_settlement(rate: float, message: str) -> None:
    """Its claims count as failures, and its state stays as it was before."""
    policy_set = build_policy_set(
        [{"name": "odd", "type": "odd", "odd": {"rate": float(rate), "burst": 9.0}}, GOOD],
        registry=installed({"odd": Odd}),
    )
    state = policy_set.initial_state()
    before = policy_set.initial_state()
    verdict = policy_set.decide(0, [SUBJECT.input_for(policy_set)], state)[0]
    assert verdict.policy == "good"
    assert policy_set.errors == {"odd": 1}
    assert message in policy_set.last_errors["odd"]
    assert state == before


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        """The time now."""
        return self.now_s

    def takes(self, seconds: float) -> Callable[[TraceView], Intent]:
        """An answer that takes so long, and keeps the trace."""

        def answer(_: TraceView) -> Intent:
            self.now_s += seconds
            return ALWAYS

        return answer


@pytest.mark.parametrize("reads", list(Reads))
def test_a_slow_policy_is_asked_for_its_share_only(reads: Reads) -> None:
    """Of 100 ms a trace it takes what is saved up and its share of the time; the others decide the rest."""
    clock = Clock()
    policy_set = answering(clock.takes(0.1), {"name": "late", "type": "span_count"}, reads=reads)
    policy_set.use_clock(clock)
    if reads is Reads.CONDITIONS:  # remembered: asked once
        assert decide(policy_set, 1000) == ["bad"] * 1000
        return
    began_s = clock.now_s
    deciders = decide(policy_set, 1000)
    asked = deciders.count("bad")
    assert deciders.count("late") == 1000 - asked == policy_set.errors["bad"] == policy_set.too_slow["bad"]
    # What it may take while T seconds pass, of which it takes all, is SAVED_S + SHARE * T.
    assert clock.now_s - began_s == pytest.approx(SAVED_S / (1 - SHARE), abs=0.2)
    assert policy_set.seconds == {"bad": pytest.approx(clock.now_s - began_s)}
    assert "too slow: it takes 100 ms each time" in policy_set.last_errors["bad"]
    clock.now_s += 60
    assert decide(policy_set) == ["bad"]


def test_a_quick_policy_is_always_asked() -> None:
    """One that takes less than its share is never refused, however long it goes on."""
    clock = Clock()
    policy_set = answering(clock.takes(0.001))
    policy_set.use_clock(clock)
    for _ in range(2000):
        assert decide(policy_set, 3) == ["bad"] * 3
        clock.now_s += 0.01
    assert not policy_set.errors


def test_a_slow_policy_does_not_take_the_share_of_another() -> None:
    """Each of two plugins has a share of its own."""
    clock = Clock()
    types: dict[str, type[Policy]] = {
        "slow": type("Slow", (Answering,), {"type": "slow", "answer": staticmethod(clock.takes(0.1))}),
        "quick": type("Quick", (Answering,), {"type": "quick", "answer": staticmethod(clock.takes(0.001))}),
    }
    policy_set = build_policy_set([{"name": name, "type": name} for name in types], registry=installed(types))
    policy_set.use_clock(clock)
    for _ in range(100):
        decide(policy_set, 2)
        clock.now_s += 0.05
    assert policy_set.errors["slow"] > 100
    assert "quick" not in policy_set.errors


def test_slow_settling_counts_too() -> None:
    """A limiter that takes long to share out is not asked to for a while."""
    clock = Clock()

    def settle(self: TokenBucket, tick: Tick, candidates: Sequence[Candidate], state: dict[str, Any]) -> Settlement:
        clock.now_s += 3
        return TokenBucket.settle(self, tick, candidates, state)

    slow = type("Slow", (TokenBucket,), {"type": "slow", "settle": settle})
    policy_set = build_policy_set(
        [{"name": "slow", "type": "slow", "slow": {"rate": 100.0, "burst": 100.0}}], registry=installed({"slow": slow})
    )
    policy_set.use_clock(clock)
    assert decide(policy_set) == ["slow"]
    assert decide(policy_set) == [None]
    assert policy_set.too_slow == {"slow": 1}


def test_loading_the_spans_is_not_the_policys_time() -> None:
    """A slow disk does not make a policy look slow."""
    clock = Clock()
    policy_set = answering(lambda trace: ALWAYS if trace.spans else NEVER, reads=Reads.SPANS)
    policy_set.use_clock(clock)
    trace_id, summary, load = SUBJECT.input_for(policy_set)

    def slowly() -> Sequence[Any]:
        clock.now_s += 5
        return load()

    verdicts = policy_set.decide(0, [(trace_id, summary, slowly)] * 5, {})
    assert [verdict.policy for verdict in verdicts] == ["bad"] * 5
    assert policy_set.seconds == {"bad": 0}


def test_built_in_policies_are_not_timed() -> None:
    """What is part of tailsampler costs no look at the clock."""

    def clock() -> float:
        raise AssertionError("looked at the clock")

    policy_set = build_policy_set([GOOD, {"name": "n", "type": "not", "not": {"not_sub_policy": GOOD}}])
    policy_set.use_clock(clock)
    assert decide(policy_set) == ["good"]
    assert policy_set.seconds == {}


@pytest.mark.parametrize("policy_reads", [Reads.SUMMARY, Reads.SPANS])
def test_a_failing_policy_does_not_make_the_others_be_asked_again(policy_reads: Reads) -> None:
    """Answers that follow from conditions stay remembered beside a policy that always fails."""
    asked: list[int] = []
    other = type(
        "Other",
        (Answering,),
        {"type": "other", "reads": Reads.CONDITIONS, "answer": staticmethod(lambda _: asked.append(1) or ALWAYS)},
    )
    bad = type("Bad", (Answering,), {"type": "bad", "reads": policy_reads, "answer": staticmethod(lambda _: None)})
    policy_set = build_policy_set(
        [{"name": "bad", "type": "bad"}, {"name": "other", "type": "other"}],
        registry=installed({"bad": bad, "other": other}),
    )
    assert decide(policy_set, 50) == ["other"] * 50
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"reads": "spans"}, "`reads` must be one of"),
        ({"conditions": [1]}, "`conditions` must be a tuple, not list"),
        ({"conditions": ("error",)}, "`conditions` must be made of policies.conditions, not of 'error'"),
        ({"conditions": (AttributeIn("k", ["v"]),)}, "`conditions` fails: TypeError: unhashable"),  # type: ignore[arg-type]
        ({"subs": None}, "`subs` must be a tuple"),
        ({"notes": "one"}, "`notes` must be a tuple of sentences"),
        ({"notes_beside_others": [1]}, "`notes_beside_others` must be a tuple of sentences"),
        ({"veto": 5}, "`veto` must be a policy with `drops = True`"),
        ({"hash_salt": 7}, "`hash_salt` must be text"),
        ({"settings": lambda self: {"at": object()}}, r"settings\(\) fails: TypeError: .*not JSON serializable"),
        ({"settings": lambda self: 7}, r"settings\(\) gives int, not a mapping"),
        ({"describe": lambda self: None}, r"describe\(\) gives NoneType"),
        ({"describe": lambda self: ""}, r"describe\(\) must be one line"),
        ({"describe": lambda self: 1 / 0}, r"describe\(\) fails: ZeroDivisionError"),
        ({"__init__": lambda self, config, context: sys.exit(3)}, "failed to start: SystemExit: 3"),
    ],
)
def test_what_can_be_seen_at_load_is_an_error_at_load(attributes: dict[str, Any], message: str) -> None:
    """A policy object that breaks the contract is refused with the policy's place in the file."""
    with pytest.raises(PolicyConfigError, match=message) as caught:
        answering(lambda _: ALWAYS, **attributes)
    assert caught.value.loc == (0, "answering")


@pytest.mark.parametrize("state", [None, {1: 2}, {"a": {1}}, {"a": float("inf")}])
def test_an_initial_state_that_cannot_be_stored_is_an_error_at_load(state: Any) -> None:
    """A limiter whose state could not be written is refused."""
    bad = type("Bad", (TokenBucket,), {"type": "bad", "initial_state": lambda self: state})
    with pytest.raises(PolicyConfigError, match=r"initial_state\(\) fails"):
        build_policy_set(
            [{"name": "bad", "type": "bad", "bad": {"rate": 1.0, "burst": 1.0}}], registry=installed({"bad": bad})
        )
