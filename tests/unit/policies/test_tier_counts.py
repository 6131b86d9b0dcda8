"""The counts of all partitions: sums that are true, and what is given where they are not to be had."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.exchange import BEHIND, MAX_AGE, Exchange, TenantExchange
from policies.partition_exchange import MAX_KEY_CHARACTERS, MAX_KEYS, MAX_OPEN, MemoryExchange, PartitionExchange
from policies.tier_counts import HISTORY, LEAST_HISTORY, NO_REPORTS, Report, Reported, TierCounts

MS = 1000
KEYS = st.sampled_from("abcd")
COUNTS = st.dictionaries(KEYS, st.tuples(st.integers(0, 50).map(float), st.integers(0, 50).map(float)), max_size=4)


def report(interval: int, policy: str = "p", **counts: float) -> Report:
    """A report of one number by key."""
    return Report(policy, interval, MS, {key: (value,) for key, value in counts.items()})


def told(tier: TierCounts, interval: int, partition: int = 0, policy: str = "p") -> tuple[dict[str, float], bool]:
    """(sums by key, whether they are stale)."""
    sums = tier.sums(partition, policy, interval)
    return {key: values[0] for key, values in sums.counts.items()}, sums.stale


@given(st.data(), st.integers(2, 5), st.integers(1, 6))
def test_sums_are_those_of_what_was_counted_in_any_order(data: st.DataObject, partitions: int, intervals: int) -> None:
    """Every report once or more often, in any order, earlier versions of it before the last: the sums are the same."""
    final = {
        (partition, interval): data.draw(COUNTS) for partition in range(partitions) for interval in range(intervals)
    }
    arrivals = list(final.items())
    earlier = data.draw(st.lists(st.tuples(st.sampled_from(sorted(final)), COUNTS)))
    again = data.draw(st.lists(st.sampled_from(arrivals)))
    shuffled = data.draw(st.permutations([*arrivals, *again]))
    tier = TierCounts(partitions)
    for (partition, interval), counts in [*earlier, *shuffled]:
        assert tier.add(partition, Report("p", interval, MS, counts))
    for asking in range(partitions):
        for interval in range(intervals):
            if intervals - 1 - interval > MAX_AGE + BEHIND:
                continue
            expected: dict[str, Any] = {}
            for partition in range(partitions):
                for key, values in final[partition, interval].items():
                    before = expected.get(key, (0.0, 0.0))
                    expected[key] = (before[0] + values[0], before[1] + values[1])
            sums = tier.sums(asking, "p", interval)
            assert (sums.stale, sums.partitions, sums.interval) == (False, partitions, interval)
            assert sums.counts == expected
            assert sums.own == final[asking, interval]
    assert tier.held == sum(map(len, final.values()))


def test_a_partition_without_traffic_has_counted_nothing() -> None:
    """Its stream time is past the interval: so its part is known, and it is nothing."""
    tier = TierCounts(3)
    tier.add(0, report(4, a=1))
    tier.add(1, report(4, a=2))
    assert told(tier, 4) == ({"a": 3}, True)  # the own counts, times the partitions
    tier.clock(2, 5 * MS - 1)
    assert told(tier, 4) == ({"a": 3}, True)
    tier.clock(2, 5 * MS)
    assert told(tier, 4) == ({"a": 3}, False)
    assert tier.sums(0, "p", 4).own == {"a": (1.0,)}


def test_what_was_reported_and_got_lost_is_no_nothing() -> None:
    """A partition says of which intervals it has reported; what it says and is not there is waited for."""
    tier = TierCounts(2)
    tier.add(0, report(7, a=1))
    tier.clock(1, 9 * MS, reported={"p": Reported(8, 0b10)})
    assert told(tier, 7)[1]
    tier.clock(1, 9 * MS, reported={"p": Reported(8, 0b01)})
    assert told(tier, 7) == ({"a": 1}, False)
    tier.clock(1, 40 * MS, reported={"p": Reported(7 + HISTORY, 1)})
    assert told(tier, 7)[1], "too long ago to say"


def test_a_worker_with_other_policies_has_not_counted() -> None:
    """Of a policy that does not run there a partition's silence means nothing."""
    tier = TierCounts(2)
    tier.add(0, report(7, a=1))
    tier.clock(1, 9 * MS, reported={"other": NO_REPORTS})
    assert told(tier, 7)[1]
    tier.clock(1, 9 * MS, reported={"other": NO_REPORTS, "p": NO_REPORTS})
    assert told(tier, 7) == ({"a": 1}, False)


@pytest.mark.parametrize("age", range(MAX_AGE + 2))
def test_sums_of_shortly_before_serve_and_older_ones_do_not(age: int) -> None:
    """The newest complete interval up to three before the one asked for; then the own counts, as if all had them."""
    tier = TierCounts(2)
    tier.add(0, report(10, a=4))
    tier.add(1, report(10 - age, a=5))
    tier.add(0, report(10 - age, a=1 if age else 4))
    sums = tier.sums(0, "p", 10)
    if age == 0:
        assert (sums.interval, sums.stale, sums.counts) == (10, False, {"a": (9.0,)})
    elif age <= MAX_AGE:
        assert (sums.interval, sums.stale, sums.counts, sums.partitions) == (10 - age, True, {"a": (6.0,)}, 2)
    else:
        assert (sums.interval, sums.stale, sums.counts, sums.partitions) == (10, True, {"a": (8.0,)}, 1)


def test_a_partition_far_behind_goes_by_its_own_counts() -> None:
    """The others decided its intervals without it, by equal parts; with the sums it would take more than is left."""
    tier = TierCounts(2)
    for interval in range(10):
        tier.add(0, report(interval, a=1))
    for interval in range(30):
        tier.add(1, report(interval, a=1))
    assert tier.sums(0, "p", 9).partitions == 1
    for interval in range(10, 29):
        tier.add(0, report(interval, a=1))
    assert not tier.sums(0, "p", 28).stale


def test_out_of_touch_nothing_but_the_own_counts_is_given() -> None:
    """Whether this worker does not hear the others, or another one says that it does not."""
    tier = TierCounts(2)
    for partition in range(2):
        tier.add(partition, report(3, a=1))
    assert not tier.sums(0, "p", 3).stale
    tier.cut_off = True
    assert tier.sums(0, "p", 3).partitions == 1
    tier.cut_off = False
    tier.clock(1, 9 * MS, deaf=True)
    assert tier.sums(0, "p", 3).partitions == 1
    assert tier.latest == {("p", 0): "alone"}
    tier.clock(1, 9 * MS)
    assert not tier.sums(0, "p", 3).stale


def test_a_clock_does_not_go_back_but_for_a_topic_made_anew() -> None:
    """A new owner reads again what was reported; after ten minutes backwards it is another stream."""
    tier = TierCounts(2)
    tier.clock(1, 1_000_000)
    tier.clock(1, 900_000)
    tier.add(0, report(998, a=1))
    assert not told(tier, 998)[1]
    tier.clock(1, 100_000)
    assert told(tier, 998)[1]


def test_intervals_of_a_topic_made_anew_replace_those_before() -> None:
    """What lies far behind all that a partition has reported begins a new history of it."""
    tier = TierCounts(2)
    for partition in range(2):
        tier.add(partition, report(5000, a=1))
        assert not tier.add(partition, report(5000 - HISTORY, a=1)), "merely old"
        assert tier.add(partition, report(10, a=partition))
    assert told(tier, 10) == ({"a": 1}, False)
    assert tier.held == 2


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("pqr"), st.integers(0, 40), st.integers(0, 9))))
def test_what_is_held_is_counted_and_bounded(arrivals: list[tuple[int, str, int, int]]) -> None:
    """Whatever arrives, the number of keys held is what it says, and never above the limit."""
    tier = TierCounts(4, max_counts=30)
    for partition, policy, interval, keys in arrivals:
        tier.add(partition, Report(policy, interval, MS, {str(key): (1.0,) for key in range(keys)}))
        held = sum(
            len(counts)
            for each in tier._policies.values()
            for part in each.parts.values()
            for counts in part.intervals.values()
        )
        assert tier.held == held <= 30
    for policy in "pqr":
        tier.forget(policy)
    assert tier.held == 0


def test_many_keys_shorten_the_history_before_anything_is_left_out() -> None:
    """The newest intervals stay complete; only where not even they fit a report is left out, and counted."""
    tier = TierCounts(2, max_counts=20 * LEAST_HISTORY)
    for interval in range(20):
        for partition in range(2):
            assert tier.add(partition, report(interval, **{f"k{key}": 1.0 for key in range(10)}))
    assert not told(tier, 19)[1]
    assert tier.left_out == 0
    assert not tier.add(0, report(20, **{f"k{key}": 1.0 for key in range(21 * LEAST_HISTORY)}))
    assert tier.left_out == 1


def test_counts_may_grow_until_their_interval_has_ended() -> None:
    """A limiter hands over what it counts in; it is read when stream time has passed the end."""
    exchange = MemoryExchange(2)
    growing = {"a": [1.0]}
    exchange.of(0).publish("p", 3, MS, growing)
    exchange.advance(4 * MS - 1)
    growing["a"][0] = 5.0
    growing["b"] = [2.0]
    exchange.advance(4 * MS)
    growing["a"][0] = 9.0
    assert exchange.of(1).sums("p", 3).counts == {"a": (5.0,), "b": (2.0,)}
    assert exchange.of(1).sums("p", 3).own == {}


def test_what_was_counted_is_in_the_sums_that_the_same_partition_asks_for() -> None:
    """Also before anybody has said that stream time went on: whoever asks has passed the interval."""
    tier = TierCounts(2)
    exchange = PartitionExchange(tier, 0)
    exchange.publish("p", 3, MS, {"a": (2.0,)})
    assert exchange.sums("p", 3).counts == {"a": (4.0,)}
    assert exchange.finish(3 * MS) == [Report("p", 3, MS, {"a": (2.0,)})]
    assert exchange.finish(9 * MS) == []


def test_the_same_counts_are_handed_out_once() -> None:
    """A new owner says again what the former one has said; what has changed is handed out again."""
    exchange = PartitionExchange(TierCounts(2), 0)
    for count, handed_out in ((1.0, 1), (1.0, 0), (2.0, 1)):
        exchange.publish("p", 3, MS, {"a": (count,)})
        assert len(exchange.finish(4 * MS)) == handed_out


def test_too_many_keys_are_cut_to_the_largest() -> None:
    """What cannot be carried is left out and counted: small counts first, and keys of absurd length."""
    tier = TierCounts(2)
    exchange = PartitionExchange(tier, 0)
    exchange.publish("p", 0, MS, {f"{key}": (float(key),) for key in range(MAX_KEYS + 10)})
    exchange.publish("p", 1, MS, {"x" * (MAX_KEY_CHARACTERS + 1): (1.0,), "y": (1.0,)})
    many, few = exchange.finish(2 * MS)
    assert min(map(float, many.counts)) == 10
    assert few.counts == {"y": (1.0,)}
    assert tier.keys_cut == 11


@pytest.mark.parametrize(
    "counts", [{"a": (float("nan"),)}, {"a": ("many",)}, {1: (1.0,)}, {"a": 1.0}, {"a": [1.0] * 17}, None]
)
def test_what_is_no_count_is_refused_and_harms_nobody(counts: Any) -> None:
    """A plugin may hand over anything; other counts go on."""
    tier = TierCounts(2)
    exchange = PartitionExchange(tier, 0)
    exchange.publish("bad", 0, MS, counts)
    exchange.publish("good", 0, MS, {"a": (1.0,)})
    assert [each.policy for each in exchange.finish(MS)] == ["good"]
    assert tier.refused == 1


@pytest.mark.parametrize(("policy", "interval", "length"), [(1, 0, 1), ("p", 0.5, 1), ("p", 0, 0), ("p", 0, 1.5)])
def test_a_publication_of_nothing_that_can_be_told_is_an_error(policy: Any, interval: Any, length: Any) -> None:
    """It is raised where the policy can be named."""
    with pytest.raises(TypeError):
        PartitionExchange(TierCounts(2), 0).publish(policy, interval, length, {})


def test_intervals_that_never_end_do_not_pile_up() -> None:
    """Beyond a limit the oldest are taken as ended."""
    exchange = PartitionExchange(TierCounts(2), 0)
    for interval in range(MAX_OPEN + 3):
        exchange.publish("p", interval, MS, {"a": (1.0,)})
    assert [each.interval for each in exchange.finish(0)] == [0, 1, 2]


def test_a_tenants_limiters_have_keys_of_their_own() -> None:
    """The same policy in two sets counts for itself in each."""
    exchange = MemoryExchange(2)
    both: list[Exchange] = [exchange.of(0), TenantExchange(exchange.of(0), "@acme")]
    for count, each in enumerate(both, start=1):
        each.publish("p", 0, MS, {"a": (float(count),)})
    exchange.advance(MS)
    assert [each.sums("p", 0).counts for each in both] == [{"a": (1.0,)}, {"a": (2.0,)}]
    assert exchange.tier.answers == Counter(complete=2)


def test_only_what_is_still_asked_for_counts_as_stale() -> None:
    """Answers to policies that have gone, and to partitions that others have, are forgotten."""
    tier = TierCounts(3)
    for partition in range(2):
        for policy in "pq":
            tier.sums(partition, policy, 4)
    tier.asked_only({"p"}, {0})
    assert tier.latest == {("p", 0): "alone"}
