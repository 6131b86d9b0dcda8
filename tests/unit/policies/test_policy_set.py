"""Deciding with a list of policies."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from policies import ALWAYS, NEVER, SPACE, PolicySet, RandomnessSource
from policies.conditions import AttributeIn, StatusIn
from policies.reference import PlainSummary
from policies.rset import contains
from policies.testing import decide, span, trace
from tests.unit.policies.sample_policies import build, spec

ERRORS = spec("status_code", "errors", status_codes=["ERROR"])
SLOW = spec("latency", "slow", threshold_ms=1000)
TENTH = spec("probabilistic", "tenth", sampling_percentage=10)
SMALL = spec("span_count", "small", min_spans=1, max_spans=3)


def random_summaries(policy_set: PolicySet, count: int) -> list[tuple[bytes, PlainSummary, Any]]:
    """Random traces, many of them exactly on the bounds of conditions."""
    draw = random.Random(11)
    start = 10**18
    return [
        (
            draw.randbytes(16),
            PlainSummary(
                start_unix_nano=draw.choice([0, start]),
                end_unix_nano=draw.choice([0, start, start + 999_999_999, start + 10**9, start + 3 * 10**9, 1]),
                span_count=draw.randrange(6),
                size_bytes=draw.randrange(1000),
                has_root=draw.random() < 0.5,
                bits=draw.randrange(1 << len(policy_set.span_conditions)),
                rv=draw.choice([-1, draw.getrandbits(56)]),
                has_threshold=draw.random() < 0.5,
            ),
            tuple,
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize(
    "policies",
    [
        [ERRORS, SLOW, TENTH],
        [TENTH, ERRORS, SMALL],
        [spec("drop", "d", drop_sub_policy=[SMALL, spec("probabilistic", sampling_percentage=40)]), ERRORS, TENTH],
        [spec("choice", "c", of=[TENTH, SLOW, spec("not", "n", not_sub_policy=TENTH)]), ERRORS],
        [spec("not", not_sub_policy=spec("and", and_sub_policy=[TENTH, SLOW]))],
    ],
)
@pytest.mark.parametrize("mode", ["auto", "collector_hash", "trace_id"])
def test_remembered_answers_never_show(policies: list[dict[str, Any]], mode: str) -> None:
    """The fast path by plan, the general path and a fresh set give the same verdict for every trace."""
    remembering = build(*policies, randomness=mode)
    inputs = random_summaries(remembering, 400)
    fast = remembering.decide(0, inputs, {})
    # odd_id comes last and is refused by an `and`, so it changes no verdict but takes the set off the fast path
    never = spec("and", "never", and_sub_policy=[spec("odd_id"), spec("probabilistic", sampling_percentage=0)])
    general = build(*policies, never, randomness=mode)
    assert general.decide(0, inputs, {}) == fast
    assert [build(*policies, randomness=mode).decide(0, [one], {})[0] for one in inputs[:60]] == fast[:60]
    for (trace_id, summary, _), verdict in zip(inputs, fast, strict=True):
        value, source = remembering.randomness_of(trace_id, summary)
        assert verdict.source is source
        assert (verdict.decision == "sampled") == contains(verdict.keep, value)


def test_equal_verdicts_are_one_object() -> None:
    """Millions of verdicts take the space of a few."""
    policy_set = build(ERRORS, TENTH)
    verdicts = policy_set.decide(0, random_summaries(policy_set, 500), {})
    assert len({id(verdict) for verdict in verdicts}) == len(set(verdicts)) <= 12


def test_probability_is_that_of_the_whole_list() -> None:
    """The set is the union of what all keep: a trace that `tenth` alone keeps has 10 %, an error 100 %."""
    policy_set = build(TENTH, ERRORS)
    kept = trace(span("s", tracestate="ot=rv:ffffffffffffff"))
    verdict = decide(policy_set, kept)
    assert (verdict.policy, verdict.threshold) == ("tenth", round(0.9 * SPACE))
    assert verdict.probability == pytest.approx(0.1)
    error = decide(policy_set, trace(span("s", status="ERROR", tracestate="ot=rv:ffffffffffffff")))
    assert (error.policy, error.threshold, error.probability) == ("tenth", 0, 1.0)
    low = decide(policy_set, trace(span("s", status="ERROR", tracestate="ot=rv:00000000000000")))
    assert (low.policy, low.keep, low.source) == ("errors", ALWAYS, RandomnessSource.RV)


def test_dropped_only_where_r_lies_in_the_drop_set() -> None:
    """A drop policy with a share drops that share; the rest keeps a set that is no upper interval."""
    policy_set = build(spec("drop", "d", drop_sub_policy=[TENTH]), spec("always_sample", "all"))
    top = decide(policy_set, trace(span("s", tracestate="ot=rv:ffffffffffffff")))
    assert (top.decision, top.policy) == ("dropped", "d")
    rest = decide(policy_set, trace(span("s", tracestate="ot=rv:00000000000000")))
    assert (rest.decision, rest.policy, rest.threshold) == ("sampled", "all", None)
    assert rest.probability == pytest.approx(0.9)


def test_paths_name_the_picked_sub_policy_only() -> None:
    """A choice is recorded with the sub-policy that decided, `and` and `not` by their own name."""
    everything = spec("always_sample", "inner")
    one = trace(span("s"))
    assert decide(build(spec("choice", "outer", of=[ERRORS, everything])), one).policy == "outer/inner"
    nested = spec("choice", "outer", of=[spec("choice", "mid", of=[everything])])
    assert decide(build(nested), one).policy == "outer/mid/inner"
    inside = spec("and", "outer", and_sub_policy=[spec("choice", "mid", of=[everything])])
    assert decide(build(inside), one).policy == "outer"
    assert decide(build(spec("not", "outer", not_sub_policy=ERRORS)), one).policy == "outer"


def test_equal_conditions_share_a_bit() -> None:
    """Two policies that ask the same are answered by one bit, in order of first mention."""
    red = spec("string_attribute", "red", key="team", values=["red"])
    policy_set = build(ERRORS, red, spec("and", "both", and_sub_policy=[red, ERRORS]), SLOW)
    assert policy_set.span_conditions == (StatusIn(frozenset({2})), AttributeIn("team", frozenset({"red"})))
    assert not policy_set.needs_spans


def test_spans_are_loaded_only_where_they_can_matter() -> None:
    """A policy that reads spans is not asked, and nothing is decoded, where an earlier one keeps the trace."""
    policy_set = build(ERRORS, spec("span_named", "named", span="checkout"))
    assert policy_set.needs_spans
    loads: list[bytes] = []
    verdicts = []
    for one in (trace(span("x", status="ERROR")), trace(span("checkout")), trace(span("x"))):
        trace_id, summary, load = one.input_for(policy_set)

        def counting(load: Callable[[], Sequence[Any]] = load, name: bytes = trace_id) -> Sequence[Any]:
            loads.append(name)
            return load()

        verdicts.append(policy_set.decide(0, [(trace_id, summary, counting)], {})[0])
    assert [verdict.policy for verdict in verdicts] == ["errors", "named", None]
    assert len(loads) == 2


def test_salts_are_shared_and_said() -> None:
    """The first salt in the list, depth first, counts for all; another one is noted with both names."""
    salted = spec("probabilistic", "a", sampling_percentage=10, hash_salt="one")
    other = spec("probabilistic", "b", sampling_percentage=10, hash_salt="two")
    policy_set = build(spec("and", "outer", and_sub_policy=[salted]), TENTH, other)
    assert policy_set.randomness.salt == "one"
    assert len(policy_set.notes) == 1
    assert 'policy "b"' in policy_set.notes[0]
    assert 'policy "outer/a"' in policy_set.notes[0]
    overridden = build(salted, other, hash_salt="three")
    assert overridden.randomness.salt == "three"
    assert len(overridden.notes) == 2
    assert build(TENTH).notes == ()


def test_content_hash_covers_what_changes_answers() -> None:
    """Equal settings, defaults written out or not, give equal hashes; any change of meaning gives another."""
    written_out = spec("latency", "slow", threshold_ms=1000, upper_threshold_ms=0)
    assert build(SLOW).content_hash == build(written_out).content_hash
    variants = [
        build(SLOW),
        build(spec("latency", "slow", threshold_ms=1001)),
        build(spec("latency", "other", threshold_ms=1000)),
        build(SLOW, TENTH),
        build(TENTH, SLOW),
        build(SLOW, randomness="trace_id"),
        build(SLOW, hash_salt="x"),
        build(SLOW, sample_on_first_match=True),
        build(SLOW | {"on_error": "keep"}),
        build(spec("not", "slow", not_sub_policy=SLOW)),
    ]
    assert len({variant.content_hash for variant in variants}) == len(variants)


def test_state_is_that_of_limiters_only() -> None:
    """The initial state names every limiter by a unique path and is JSON."""
    bucket = spec("token_bucket", "", rate=1.0, burst=2.0)
    policy_set = build(spec("and", "a", and_sub_policy=[bucket, bucket, TENTH]), ERRORS)
    state = policy_set.initial_state()
    assert [key.partition("@")[0] for key in state] == ["a/token_bucket", "a/token_bucket#2"]
    assert json.loads(json.dumps(state)) == state
    assert build(ERRORS).initial_state() == {}


def test_description_has_a_line_a_policy_in_order_of_evaluation() -> None:
    """Drop policies are listed first, as they are evaluated."""
    policy_set = build(ERRORS, spec("drop", "d", drop_sub_policy=[SLOW]))
    assert policy_set.describe() == (
        "d (drop): drops (takes 1000 ms or longer)\nerrors (status_code): a span with status ERROR"
    )


def test_no_trace_of_a_set_that_keeps_nothing() -> None:
    """NEVER measures 0."""
    verdict = decide(build(spec("probabilistic", sampling_percentage=0)), trace(span("s")))
    assert (verdict.keep, verdict.probability, verdict.sampled) == (NEVER, 0.0, False)
