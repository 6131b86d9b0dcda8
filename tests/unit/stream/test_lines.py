"""Settlements of a partition wait until the one before is acknowledged, and its decisions are recorded."""

from __future__ import annotations

from sampler.engine.settlement import DeadLetter, Settlement
from sampler.engine.watermark import PendingSettlement, Watermark
from sampler.stream.lines import Lines


def joined(lines: Lines, partition: int, traces: int) -> PendingSettlement:
    """A settlement of so many traces of five bytes at the end of a line."""
    settlement = Settlement([(b"t%d" % number, b"bytes") for number in range(traces)], [], [], 1)
    pending = Watermark(0).begin(settlement)
    lines.add(partition, settlement, pending)
    return pending


class Recording:
    """A record that is with the brokers, or not yet."""

    def __init__(self) -> None:
        self.there = False

    def done(self) -> bool:
        return self.there


def finish(pending: PendingSettlement) -> None:
    """Outputs acknowledged, decisions recorded."""
    pending.unacknowledged, pending.recordings = 0, []


def sizes(lines: Lines, partition: int) -> list[int]:
    return [each.messages for each in lines.next(partition)]


def test_the_next_goes_when_the_one_before_is_finished() -> None:
    """Not before, and other partitions do not wait for it."""
    lines = Lines()
    first = joined(lines, 0, 3)
    joined(lines, 0, 3)
    joined(lines, 1, 2)
    assert (sizes(lines, 0), sizes(lines, 0), sizes(lines, 1)) == ([3], [], [2])
    assert (lines.messages, lines.size_bytes, lines.partitions()) == (3, 15, [0])
    finish(first)
    assert (sizes(lines, 0), lines.messages, lines.partitions()) == ([3], 0, [])


def test_what_is_acknowledged_and_not_recorded_holds_the_next_back() -> None:
    """A crash would repeat both: the decisions of the first are not known to the next owner."""
    lines, recording = Lines(), Recording()
    first = joined(lines, 0, 3)
    joined(lines, 0, 3)
    assert sizes(lines, 0) == [3]
    first.unacknowledged = 0
    assert sizes(lines, 0) == []
    first.recordings = [recording]
    assert sizes(lines, 0) == []
    recording.there = True
    assert sizes(lines, 0) == [3]


def test_small_ones_go_together_up_to_the_largest_so_far() -> None:
    """So that a long line gets shorter, and a crash still repeats no more than one settlement may hold."""
    lines = Lines()
    for traces in (10, 4, 4, 4, 10):
        joined(lines, 0, traces)
    sent = []
    for _ in range(5):
        due = lines.next(0)
        sent.append([each.messages for each in due])
        for each in due:
            finish(each.pending)
    assert sent == [[10], [4, 4], [4], [10], []]


def test_dead_letters_make_no_room_for_traces() -> None:
    """Together no more traces go than one settlement has had, though one may have had more messages."""
    lines = Lines()
    letters = [DeadLetter(n, b"x", "no OTLP", "not_otlp") for n in range(8)]
    settlement = Settlement([(b"t", b"bytes")], letters, [], 1)
    lines.add(0, settlement, Watermark(0).begin(settlement))
    for _ in range(3):
        joined(lines, 0, 1)
    for waits in (9, 1, 1, 1):
        due = lines.next(0)
        assert [each.messages for each in due] == [waits]
        finish(due[0].pending)


def test_what_was_given_up_is_not_sent() -> None:
    """Neither after its partition was taken away, nor after all was thrown away; both count as failed."""
    lines = Lines()
    first, second, third = joined(lines, 0, 1), joined(lines, 0, 1), joined(lines, 0, 1)
    assert sizes(lines, 0) == [1]
    first.failed = second.failed = True
    assert sizes(lines, 0) == [1]
    fourth = joined(lines, 0, 1)
    lines.give_up()
    assert (fourth.failed, fourth.unacknowledged, lines.messages, lines.size_bytes) == (True, 0, 0, 0)
    third.unacknowledged = 0
    assert sizes(lines, 0) == []
