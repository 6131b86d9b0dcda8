"""Record timestamps as the clock of a partition, those of wrong clocks among them."""

from __future__ import annotations

from sampler.engine.stream_time import StreamTime

HOUR_MS = 3_600_000


def test_live_a_record_from_the_future_counts_as_written_when_it_came() -> None:
    """The wall clock has gone on since the record before, and so has stream time."""
    time = StreamTime()
    time.observe(10_000, 10_100)
    time.observe(10_300 + HOUR_MS, 10_400)
    assert time.now_ms == 10_300
    assert time.take_skew_ms() == HOUR_MS - 100


def test_in_a_backlog_a_record_from_the_future_makes_nothing_due() -> None:
    """Stream time stays with the backlog, instead of jumping to the wall clock and deciding all that is pending."""
    time = StreamTime()
    time.observe(10_000, 900_000)
    time.observe(10_000 + HOUR_MS, 900_000)
    time.observe(10_020 + HOUR_MS, 900_005)
    assert time.now_ms == 10_005
    time.observe(10_300, 900_010)
    assert time.now_ms == 10_300


def test_where_all_are_from_the_future_time_goes_as_the_wall_clock() -> None:
    """The first one counts as written now, for want of anything better."""
    time = StreamTime()
    for wall_ms in (50_000, 50_100, 51_000):
        time.observe(wall_ms + HOUR_MS, wall_ms)
        assert time.now_ms == wall_ms
