"""Limiters speak of all partitions; an engine has the part of one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sampler.engine.partition import PartitionStart
from tests.unit.engine.test_partition_engine import FROM_ZERO, SETTINGS, lab, span

RATE: dict[str, Any] = {
    "name": "rate",
    "type": "rate_limiting",
    "rate_limiting": {"spans_per_second": 8, "burst_capacity": 16},
}


@pytest.mark.parametrize(("partitions", "kept"), [(1, 16), (4, 4), (16, 1)])
def test_one_of_several_partitions_grants_its_part(partitions: int, kept: int) -> None:
    """Of twenty single-span traces that are due in one tick each engine keeps its part of the burst."""
    subject = lab(RATE, engine_settings=replace(SETTINGS, partitions=partitions))
    subject.append(*((number, 1000, span(number + 1, 1)) for number in range(20)))
    subject.advance(4000)
    assert sorted(subject.decisions.values()) == ["not_sampled"] * (20 - kept) + ["sampled"] * kept


def test_a_partition_goes_on_with_its_tokens_after_a_restart() -> None:
    """The state stands in the decision record; an engine that begins with it grants only what has been refilled."""
    first = lab(RATE)
    first.append(*((number, 1000, span(number + 1, 1)) for number in range(20)))
    first.advance(4000)
    state = first.records[-1].state
    assert state is not None
    start = PartitionStart(FROM_ZERO.partition, FROM_ZERO.owner, FROM_ZERO.offset, state=dict(state))
    second = lab(RATE, start=start)
    second.append(*((number, 2000, span(number + 1, 1)) for number in range(20)))
    second.advance(5000)
    assert list(second.decisions.values()).count("sampled") == 8
