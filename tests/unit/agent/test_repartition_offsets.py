"""Offsets of the source that may be committed: never beyond what is not stored, whatever the order of answers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sampler.agent.repartition_offsets import Offsets, Run
from sampler.agent.repartition_records import BadRecord, Request, may_be_joined, requests_of

A, B = ("t", 0), ("t", 1)


@given(st.lists(st.tuples(st.sampled_from([A, B]), st.integers(0, 5)), max_size=40))
def test_the_watermark_never_passes_what_is_not_stored(steps: list[tuple[tuple[str, int], int]]) -> None:
    """Runs end in any order; what may be committed is always the end of an unbroken line of ended runs."""
    offsets, open_runs = Offsets(), {A: list[tuple[Run, bool]](), B: list[tuple[Run, bool]]()}
    ends, committed = {A: 0, B: 0}, {A: 0, B: 0}
    for partition, choice in steps:
        runs = open_runs[partition]
        waiting = [number for number, (_, done) in enumerate(runs) if not done]
        if choice < 2 or not waiting:
            ends[partition] += choice + 1
            runs.append((offsets.begin(partition, ends[partition]), False))
        else:
            number = waiting[choice % len(waiting)]
            runs[number] = (runs[number][0], True)
            offsets.finish(runs[number][0])
        for each, offset in offsets.take_ready().items():
            assert offset > committed[each]
            committed[each] = offset
        for each, held in open_runs.items():
            expected = 0
            for run, done in held:
                if not done:
                    break
                expected = run.next_offset
            assert committed[each] == expected


def test_a_failed_commit_does_not_go_back_behind_a_newer_one() -> None:
    """Offsets of a failed commit may be committed again, unless newer ones have been taken since."""
    offsets = Offsets()
    first, second = offsets.begin(A, 5), offsets.begin(A, 9)
    offsets.finish(first)
    taken = offsets.take_ready()
    offsets.put_back(taken)
    assert offsets.take_ready() == taken == {A: 5}
    offsets.finish(second)
    assert offsets.take_ready() == {A: 9}
    offsets.put_back(taken)
    assert offsets.take_ready() == {}


def test_what_others_read_now_counts_no_more() -> None:
    """After a partition was given away, answers for it change nothing."""
    offsets = Offsets()
    run = offsets.begin(A, 5)
    assert offsets.unfinished([A])
    offsets.forget([A])
    offsets.finish(run)
    assert not offsets.unfinished([A])
    assert offsets.take_ready() == {}


class Raw:
    """A record as the consumer gives it."""

    def __init__(self, partition: int, offset: int, value: bytes | None) -> None:
        self._parts = partition, offset, value

    def topic(self) -> str:
        """Always the same."""
        return "t"

    def partition(self) -> int:
        """Given."""
        return self._parts[0]

    def offset(self) -> int:
        """Given."""
        return self._parts[1]

    def value(self) -> bytes | None:
        """Given."""
        return self._parts[2]


SECTION = b"\x0a\x02\x1a\x00"  # a ResourceSpans with an empty schema URL
LONG = b"\x0a\x84\x01" + bytes([0x1A, 0x81, 0x01]) + b"x" * 129
VALUES = (SECTION, SECTION * 2, LONG, b"", SECTION[:-1], LONG[:-3], b"\x12\x00", b"{", b'{"resourceSpans": 1}', b"\x0a")


@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from(VALUES)), max_size=30))
def test_every_record_is_in_one_request_and_bad_ones_alone(records: list[tuple[int, bytes]]) -> None:
    """Requests hold all records in order; only whole ones are put together, and runs begin in the order of offsets."""
    offsets = Offsets()
    begun: list[Run] = []

    def begin(partition: tuple[str, int], next_offset: int) -> Run:
        begun.append(offsets.begin(partition, next_offset))
        return begun[-1]

    raw = [Raw(partition, number, value) for number, (partition, value) in enumerate(records)]
    seen: list[tuple[int, bytes]] = []
    for each in requests_of(raw, begin, "auto"):
        pieces = [each.piece] if isinstance(each, BadRecord) else each.pieces
        seen += [(piece.run.partition[1], piece.value) for piece in pieces]
        if isinstance(each, BadRecord):
            assert each.piece.value[:1] == b"{"
        elif len(pieces) > 1:
            assert all(may_be_joined(piece.value) for piece in pieces)
    assert seen == records
    for partition in (A, B):
        ends = [run.next_offset for run in begun if run.partition == partition]
        assert ends == sorted(ends)
        last = max((number for number, (where, _) in enumerate(records) if where == partition[1]), default=-1)
        assert (ends[-1] if ends else 0) == last + 1


def test_a_request_taken_apart_is_finished_by_all_its_records() -> None:
    """The offset of a request's records may be committed when each of them is stored on its own."""
    offsets = Offsets()
    (request,) = requests_of([Raw(0, 0, SECTION), Raw(1, 0, SECTION), Raw(0, 1, SECTION)], offsets.begin, "auto")
    assert isinstance(request, Request)
    singles = request.apart()
    assert [single.body for single in singles] == [SECTION] * 3
    for single in (singles[2], singles[1]):
        offsets.finish(single.runs[0])
    assert offsets.take_ready() == {B: 1}
    offsets.finish(singles[0].runs[0])
    assert offsets.take_ready() == {A: 2}
