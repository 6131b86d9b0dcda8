"""Sharing out partitions among workers that come and go."""

from __future__ import annotations

import copy

import pytest
from faust.assignor import partition_assignor
from faust.assignor.client_assignment import CopartitionedAssignment
from hypothesis import given, settings
from hypothesis import strategies as st

from sampler.stream.assignor import BalancedAssignor, register

Shares = dict[str, CopartitionedAssignment]
MEMBERS = st.lists(st.sets(st.sampled_from("abcdef"), min_size=1), min_size=1, max_size=8)


def share_out(partitions: int, replicas: int, members: set[str], before: Shares) -> Shares:
    """The shares of a generation, made from those of the one before."""
    now = {name: copy.deepcopy(before.get(name)) or CopartitionedAssignment(topics={"spans"}) for name in members}
    return dict(BalancedAssignor({"spans"}, now, partitions, replicas).get_assignment())


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 13), st.integers(0, 3), MEMBERS)
def test_shares_are_even_whole_and_copied_elsewhere(partitions: int, replicas: int, members: list[set[str]]) -> None:
    """Over any coming and going: every partition is one worker's, copies are with others, shares differ by one."""
    shares: Shares = {}
    for present in members:
        before, shares = shares, share_out(partitions, replicas, present, shares)
        active = sorted(partition for share in shares.values() for partition in share.actives)
        assert active == list(range(partitions))
        sizes = [len(share.actives) for share in shares.values()]
        assert max(sizes) - min(sizes) <= 1
        copies = sorted(partition for share in shares.values() for partition in share.standbys)
        assert copies == sorted(list(range(partitions)) * min(replicas, len(present) - 1))
        assert all(share.actives.isdisjoint(share.standbys) for share in shares.values())
        for name in present & before.keys():
            # Nobody gives up more than brings it down to the smaller share.
            kept = len(before[name].actives & shares[name].actives)
            assert kept >= min(len(before[name].actives), partitions // len(present))
        if present == before.keys():
            assert {name: share.actives for name, share in shares.items()} == {
                name: share.actives for name, share in before.items()
            }


def test_a_worker_that_joins_gets_its_share() -> None:
    """Also where the partitions cannot be shared out evenly, and there are copies of decisions."""
    shares: Shares = {}
    for present in ({"a"}, {"a", "b"}, {"a", "b", "c"}):
        shares = share_out(4, 1, present, shares)
    assert sorted(len(share.actives) for share in shares.values()) == [1, 1, 2]


def test_a_worker_with_a_copy_takes_over() -> None:
    """The partitions of a worker that went away go to where their decisions are."""
    before = share_out(6, 1, {"a", "b", "c"}, {})
    after = share_out(6, 1, {"a", "b"}, before)
    for partition in before["c"].actives:
        holder = next(name for name in "ab" if partition in before[name].standbys)
        assert partition in after[holder].actives or len(after[holder].actives) == 3


def test_faust_shares_out_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its assignor takes the class by this name."""
    monkeypatch.setattr(partition_assignor, "CopartitionedAssignor", None)
    register()
    assert vars(partition_assignor)["CopartitionedAssignor"] is BalancedAssignor
    assert "CopartitionedAssignor" in partition_assignor.PartitionAssignor._perform_assignment.__code__.co_names
