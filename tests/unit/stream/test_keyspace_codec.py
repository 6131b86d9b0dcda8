"""Records of the keyspace topic: what goes in comes out, and nothing else gets in."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.tier_counts import NO_REPORTS, Report, Reported
from sampler.stream.keyspace_codec import (
    FUTURE_MS,
    PART_BYTES,
    SLOTS,
    ClockRecord,
    CountsPart,
    PoisonError,
    Removed,
    decode,
    encode_clock,
    encode_counts,
)
from sampler.stream.keyspace_parts import MAX_UNFINISHED, Parts

NOW_MS = 1_800_000_000_000
TEXT = st.text(max_size=20)
NUMBERS = st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=4).map(tuple)
REPORTS = st.builds(
    Report, TEXT, st.integers(0, NOW_MS // 5000), st.just(5000), st.dictionaries(TEXT, NUMBERS, max_size=5)
)


def parts_of(report: Report, partition: int = 3) -> list[CountsPart]:
    """The records of a report as they are read."""
    decoded = [decode(key, value, NOW_MS) for key, value in encode_counts(partition, "me", report)]
    assert all(isinstance(each, CountsPart) for each in decoded)
    return [each for each in decoded if isinstance(each, CountsPart)]


@given(REPORTS, st.integers(0, 1000))
def test_counts_come_back_as_they_were(report: Report, partition: int) -> None:
    """Any text as a key, any number that is finite, from any partition."""
    (part,) = parts_of(report, partition)
    assert (part.report, part.partition, part.by, part.parts) == (report, partition, "me", 1)


@given(st.dictionaries(TEXT, st.builds(Reported, st.integers(0, 2**40), st.integers(0, 2**12 - 1)), max_size=3))
def test_clocks_come_back_as_they_were(reported: dict[str, Reported]) -> None:
    """With all they say of what was reported."""
    clock = ClockRecord(7, "me", 12, NOW_MS - 5, True, {**reported, "new": NO_REPORTS})
    key, value = encode_clock(clock)
    assert decode(key, value, NOW_MS) == clock


def test_a_tombstone_names_what_is_gone() -> None:
    """A key without a value."""
    ((key, _),) = encode_counts(3, "me", Report("p", 9, 5000, {}))
    assert decode(key, None, NOW_MS) == Removed("p", 3)


def test_many_keys_are_split_below_the_limit_of_messages_and_put_together() -> None:
    """Whatever the order of the parts, and though another report comes in between."""
    report = Report("p", 9, 5000, {f"{number:0100}": (float(number), 0.5) for number in range(6000)})
    records = encode_counts(3, "me", report)
    assert len(records) > 3
    assert max(len(key) + len(value) for key, value in records) < PART_BYTES + 1000
    gathered = Parts()
    other = encode_counts(4, "me", report)
    turned = [*reversed(parts_of(report)), *parts_of(report)]
    between = [part for pair in zip(turned, parts_of(report, 4) * 2, strict=True) for part in pair]
    assert len({key for key, _ in (*records, *other)}) == 2 * len(records)
    assert [found for part in turned[: len(records)] if (found := gathered.add(part))] == [report]
    assert len([found for part in between if (found := gathered.add(part))]) == 4


def test_a_newer_report_ends_one_of_which_parts_are_missing() -> None:
    """Parts of two intervals in the same place of the topic never make one report."""
    first, second = (
        Report("p", interval, 5000, {f"{number:0100}": (float(interval),) for number in range(6000)})
        for interval in (1, 1 + SLOTS)
    )
    gathered = Parts()
    for part in [*parts_of(first)[1:], *parts_of(second)[:-1], *parts_of(first)[:1]]:
        assert gathered.add(part) is None
    assert [found for part in parts_of(second) if (found := gathered.add(part))] == [second]


def test_reports_that_never_end_do_not_pile_up() -> None:
    """Beyond a limit the oldest are given up."""
    gathered = Parts()
    part = parts_of(Report("p", 1, 5000, {f"{number:0100}": (1.0,) for number in range(6000)}))[0]
    for partition in range(MAX_UNFINISHED + 5):
        gathered.add(CountsPart(partition, part.by, part.slot, 0, part.parts, part.report))
    assert len(gathered._unfinished) == MAX_UNFINISHED


def counts(**changes: Any) -> bytes:
    """The value of a record of counts with something changed."""
    body = {"v": 1, "by": "me", "interval": 9, "interval_ms": 5000, "parts": 1, "counts": {"a": [1]}}
    return json.dumps({**body, **changes}).encode()


KEY = json.dumps(["counts", "p", 3, 9 % SLOTS, 0]).encode()


def test_a_record_as_these_tests_write_it_is_sound() -> None:
    """So that what is refused below is refused for what was changed."""
    assert decode(KEY, counts(), NOW_MS) == CountsPart(3, "me", 1, 0, 1, Report("p", 9, 5000, {"a": (1.0,)}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, counts()),
        (b"", counts()),
        (b"\xff", counts()),
        (b"[" * 100_000, counts()),
        (b'["counts"]', counts()),
        (b'["counts","p",-1,1,0]', counts()),
        (b'["counts","p",3,0,0]', counts()),
        (b'["clock",1]', None),
        (b'["clock",1]', b"{}"),
        (KEY, b""),
        (KEY, b"null"),
        (KEY, b"\x00\x01"),
        (KEY, counts(v=2)),
        (KEY, counts(parts=0)),
        (KEY, counts(parts=10**9)),
        (KEY, counts(interval=-3)),
        (KEY, counts(interval=9.0)),
        (KEY, counts(interval=9 + SLOTS * 10**12)),
        (KEY, counts(interval_ms=0)),
        (KEY, counts(counts=[1])),
        (KEY, counts(counts={"a": 1})),
        (KEY, counts(counts={"a": [float("nan")]})),
        (KEY, counts(counts={"a": [float("inf")]})),
        (KEY, counts(counts={"a": [1] * 17})),
        (KEY, counts(counts={"a" * 5000: [1]})),
        (KEY, counts(counts={str(number): [] for number in range(50_001)})),
    ],
)
def test_poison_is_named(key: bytes | None, value: bytes | None) -> None:
    """What none of us can have written is an error with a short text, whatever it is."""
    with pytest.raises(PoisonError) as caught:
        decode(key, value, NOW_MS)
    assert 0 < len(str(caught.value)) <= 250


def test_a_clock_from_the_future_is_poison() -> None:
    """Stream time is never ahead of the clock: one that is would make all the others look late."""
    key, value = encode_clock(ClockRecord(7, "me", 12, NOW_MS + FUTURE_MS + 1, False, {}))
    with pytest.raises(PoisonError, match="future"):
        decode(key, value, NOW_MS)


@given(st.binary(max_size=80), st.one_of(st.none(), st.binary(max_size=80)))
def test_any_bytes_are_a_record_or_poison(key: bytes, value: bytes | None) -> None:
    """Nothing else is raised."""
    for each in (key, KEY, b'["clock",1]'):
        with suppress(PoisonError):
            decode(each, value, NOW_MS)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["v", "by", "n", "ms", "deaf", "reported", "interval", "counts"]), JSON))
def test_any_values_are_a_record_or_poison(changes: dict[str, Any]) -> None:
    """Valid JSON with anything in any place."""
    clock = {"v": 1, "by": "me", "n": 1, "ms": 5, "deaf": False, "reported": {}}
    for key, value in ((KEY, counts(**changes)), (b'["clock",1]', json.dumps({**clock, **changes}).encode())):
        with suppress(PoisonError):
            decode(key, value, NOW_MS)
