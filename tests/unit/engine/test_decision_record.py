"""The record of decisions on the wire, and what is believed of recovered ones."""

from __future__ import annotations

from array import array

import pytest

from policies.randomness import RandomnessSource
from policies.verdict import Verdict
from sampler.engine.decision_memory import trustworthy
from sampler.engine.decision_record import MAX_DECISIONS, DecisionRecord, Owner, RecordError, decode

KEPT = Verdict("sampled", 1 << 55, "base", RandomnessSource.HASH)
DROPPED = Verdict("dropped", ((0, 5), (9, 1 << 56)), "health", RandomnessSource.RV, "policy")


def ident(number: int) -> bytes:
    return number.to_bytes(16, "big")


def record(term: int, base: int, following: int, *numbers: int, at_ms: int = 0, sequence: int = 0) -> DecisionRecord:
    ids = b"".join(map(ident, numbers))
    owner = Owner(term, 5)
    return DecisionRecord(owner, sequence, base, following, at_ms, [KEPT], ids, array("H", [0] * len(numbers)))


def test_a_record_is_read_back_as_it_was_written() -> None:
    """Verdicts with sets of one and of several intervals, state and offsets survive."""
    written = DecisionRecord(
        Owner(7, 3),
        9,
        100,
        250,
        1_790_000_000_123,
        [KEPT, DROPPED],
        ident(1) + ident(2) + ident(3),
        array("H", [1, 0, 1]),
        {"a": 1},
    )
    read = decode(written.key, written.encode())
    assert list(read) == [(ident(1), DROPPED), (ident(2), KEPT), (ident(3), DROPPED)]
    assert (read.owner, read.sequence, read.base_offset, read.next_offset, read.stream_time_ms, read.state) == (
        (7, 3), 9, 100, 250, 1_790_000_000_123, {"a": 1},
    )  # fmt: skip


def test_the_bytes_of_version_1_stay_as_they_are() -> None:
    """A table written by an earlier program must be readable: these bytes are the format."""
    written = record(1, 2, 3, 4, at_ms=5)
    assert written.key.hex() == "000000010000000500000000000000000000"
    assert written.encode().hex() == (
        "0102000000000000000300000000000000050000000000000050000000"
        + b'{"verdicts":[["sampled",36028797018963968,"base","HASH","policy"]],"state":null}'.hex()
        + "01000000" + "00000000000000000000000000000004" + "0000"
    )  # fmt: skip


@pytest.mark.parametrize("cut", [0, 1, 20, 60, -1])
def test_damaged_records_are_named_not_believed(cut: int) -> None:
    """A value that was cut anywhere is an error."""
    written = record(1, 2, 3, 4, 5, 6)
    with pytest.raises(RecordError):
        decode(written.key, written.encode()[:cut])


def test_a_record_of_an_unknown_version_is_refused() -> None:
    """The version byte is looked at before anything else is believed."""
    written = record(1, 2, 3)
    with pytest.raises(RecordError, match="version 9"):
        decode(written.key, b"\x09" + written.encode()[1:])


def test_large_records_are_split_below_the_message_limit() -> None:
    """No part exceeds 512 KiB, and together they say the same under keys of their own."""
    whole = record(1, 0, 9, *range(1, MAX_DECISIONS * 2 + 10))
    parts = list(whole.split())
    assert len({part.key for part in parts}) == len(parts) == 3
    assert max(len(part.encode()) for part in parts) < 512 * 1024
    assert [pair for part in parts for pair in part] == list(whole)


def test_a_record_of_very_many_verdicts_is_split_too() -> None:
    """Each part carries the verdicts it needs and no others."""
    verdicts = [Verdict("sampled", number, "limited", RandomnessSource.HASH) for number in range(2500)]
    ids = b"".join(map(ident, range(2500)))
    whole = DecisionRecord(Owner(1, 1), 0, 0, 9, 0, verdicts, ids, array("L", range(2500)), {"l": 1})
    parts = list(whole.split())
    assert [len(part.verdicts) for part in parts] == [1000, 1000, 500]
    assert [part.state for part in parts] == [{"l": 1}, None, None]
    assert [pair for part in parts for pair in decode(part.key, part.encode())] == list(whole)


def test_records_of_a_worker_that_had_lost_the_partition_are_not_believed() -> None:
    """What an old generation wrote beyond the point where the new one began is left out."""
    before = record(3, 0, 100, 1)
    zombie = record(3, 0, 180, 2, sequence=1)
    owner = record(4, 100, 150, 3)
    assert trustworthy([zombie, owner, before]) == ([before, owner], [zombie])


def test_generations_that_follow_each_other_are_all_believed() -> None:
    """An orderly handover loses no record."""
    records = [record(1, 0, 10, 1), record(1, 0, 20, 2, sequence=1), record(2, 20, 30, 3), record(4, 30, 40, 4)]
    assert trustworthy(reversed(records)) == (records, [])
