"""The bucket of tokens in stream time."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from policies import NEVER, SPACE, Candidate, Claim, Tick
from policies.rset import contains
from policies.tokens import TokenBucket


def spend(
    bucket: TokenBucket,
    state: dict[str, Any],
    ms: int,
    *costs: float,
    share: float = 1.0,
    draw: random.Random | None = None,
) -> float:
    """What is granted to traces of these costs; their R are the highest there are, in order, or drawn."""
    highest = [SPACE - 1 - place for place in range(len(costs))]
    places = highest if draw is None else [draw.getrandbits(56) for _ in costs]
    pool = [Candidate(randomness, Claim("limit", cost)) for randomness, cost in zip(places, costs, strict=True)]
    settlement = bucket.settle(Tick(ms, share), pool, state)
    sets = [settlement.keep(each.claim, each.randomness, candidate=True) for each in pool]
    return sum(each.cost for each, keep in zip(pool, sets, strict=True) if contains(keep, each.randomness))


def test_starts_full_and_saves_no_more_than_the_burst() -> None:
    """The first tick finds the burst, whatever time it is; a long pause refills to the burst and no further."""
    bucket = TokenBucket(rate=2, burst=5)
    state = bucket.initial_state()
    assert spend(bucket, state, 1_700_000_000_123, *[1] * 9) == 5
    assert spend(bucket, state, 1_700_000_000_623, *[1] * 9) == 1
    assert spend(bucket, state, 1_700_009_000_000, *[1] * 9) == 5


def test_loses_nothing_to_rounding() -> None:
    """A hundred ticks of 10 ms at 100 tokens a second are a hundred tokens, one each."""
    bucket = TokenBucket(rate=100, burst=1)
    state = bucket.initial_state()
    spend(bucket, state, 0, 1)
    assert [spend(bucket, state, ms, 1) for ms in range(10, 1010, 10)] == [1] * 100


def test_a_tick_that_lies_before_the_last_one_refills_nothing() -> None:
    """Early decisions may be stamped before the tick that was settled last; time does not run twice."""
    bucket = TokenBucket(rate=4, burst=4)
    state = bucket.initial_state()
    assert spend(bucket, state, 1000, 4) == 4
    assert spend(bucket, state, 500, 1) == 0
    assert spend(bucket, state, 1250, 1, 1) == 1


@pytest.mark.parametrize("partitions", [1, 3, 12, 48])
@pytest.mark.parametrize("costs", [(1, 2, 3), (7, 19), (20,)], ids=["small", "large", "of the whole burst"])
def test_all_partitions_together_grant_the_rate(partitions: int, costs: tuple[int, ...]) -> None:
    """Under load the shares add up to the rate, also where a share is less than one trace costs.

    But for what is saved at the beginning, and at the end a few traces of debt a partition.
    """
    bucket = TokenBucket(rate=10, burst=20)
    draw = random.Random(partitions)
    states = [bucket.initial_state() for _ in range(partitions)]
    seconds = 800
    granted = 0.0
    for ms in range(0, 1000 * seconds, 1000):
        for state in states:
            granted += spend(bucket, state, ms, *draw.choices(costs, k=8), share=1 / partitions, draw=draw)
    assert abs(granted - 10 * seconds) <= 20 + 30 * (partitions if partitions > 1 else 0)


def test_a_share_goes_into_debt_for_the_topmost() -> None:
    """A tenth of a burst of 20 keeps one trace of 20, and none beside it; one of 21 it never keeps."""
    bucket = TokenBucket(rate=10, burst=20)
    assert spend(bucket, bucket.initial_state(), 0, 20, 1, share=0.1) == 20
    assert spend(bucket, bucket.initial_state(), 0, 21, share=0.1) == 0


def test_in_debt_every_trace_has_a_chance() -> None:
    """Half of what was refilled is granted on average, whoever asks, and half pays the debt back."""
    bucket = TokenBucket(rate=10, burst=20)
    state = json.loads(json.dumps(bucket.initial_state()))
    spend(bucket, state, 0, 20, share=0.1)
    claims = [Claim("limit", cost) for cost in (10, 15, 21)]
    pool = [Candidate(number, claim) for number, claim in enumerate(claims)]
    settlement = bucket.settle(Tick(5_000, 0.1), pool, state)
    sets = [settlement.keep(each.claim, each.randomness, candidate=True) for each in pool]
    assert sets == [round(SPACE * (1 - 2.5 / 25))] * 2 + [NEVER]
    assert settlement.keep(Claim("limit", 25), 7, candidate=False) == NEVER
    assert settlement.keep(Claim("limit", 20), 7, candidate=False) == round(SPACE * (1 - 2.5 / 45))
    assert state == {"tokens_milli": -13_000, "at_ms": 5_000}


def test_a_share_grants_what_fits_as_a_whole_bucket_does() -> None:
    """Out of debt, traces that fit by themselves are kept from the top as long as they fit together."""
    bucket = TokenBucket(rate=10, burst=200)
    state = bucket.initial_state()
    assert spend(bucket, state, 0, *[1] * 30, share=0.1) == 20
    assert spend(bucket, state, 5000, 2, 2, 2, share=0.1) == 4


def test_another_number_of_partitions_takes_the_bucket_over() -> None:
    """A share that becomes smaller or larger goes on from what the bucket holds, cut to its new size; debt stays."""
    bucket = TokenBucket(rate=10, burst=20)
    state = bucket.initial_state()
    assert spend(bucket, state, 0, 5) == 5
    assert spend(bucket, state, 0, *[1] * 30, share=0.5) == 10
    assert spend(bucket, state, 1000, 20, share=0.5) == 20
    assert spend(bucket, state, 1000, 1) == 0
    assert spend(bucket, state, 3000, *[1] * 9) == 5
