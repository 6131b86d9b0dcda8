"""Deadlines on the grid of ticks, and the watermark behind them."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sampler.engine.deadlines import Deadlines
from sampler.engine.entry import TraceEntry
from sampler.engine.settlement import Settlement
from sampler.engine.stream_time import StreamTime
from sampler.engine.watermark import Watermark


def entry(number: int = 1) -> TraceEntry:
    return TraceEntry(number.to_bytes(16, "big"), None, number, 0)


def test_a_trace_is_due_at_the_first_grid_line_at_or_after_its_deadline() -> None:
    """Deadlines are rounded up to ticks of 250 ms, never down."""
    deadlines, one = Deadlines(), entry()
    deadlines.set(one, 1001)
    assert deadlines.take(1249) is None
    assert deadlines.take(1250) == (1250, [one])
    assert deadlines.take(10_000) is None


def test_a_deadline_comes_forward_but_is_never_put_off() -> None:
    """A root that arrives late cannot delay a decision, and an entry is due once."""
    deadlines, one, other = Deadlines(), entry(1), entry(2)
    deadlines.set(one, 5000)
    deadlines.set(other, 5000)
    deadlines.set(one, 2000)
    deadlines.set(one, 9000)
    assert deadlines.take(2000) == (2000, [one])
    assert deadlines.take(5000) == (5000, [other])


def test_traces_decided_in_the_meantime_are_not_due_again() -> None:
    """An early decision leaves an empty place at the old tick."""
    deadlines, one = Deadlines(), entry()
    deadlines.set(one, 1000)
    one.gone = True
    assert deadlines.take(1000) == (1000, [])


@given(st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 100_000))))
def test_stream_time_never_goes_back_and_never_ahead_of_the_wall_clock(readings: list[tuple[int, int]]) -> None:
    """Whatever producers write into their records."""
    time, wall_ms = StreamTime(), 0
    for timestamp_ms, step_ms in readings:
        wall_ms += step_ms
        before = time.now_ms
        time.observe(timestamp_ms, wall_ms)
        assert before <= time.now_ms <= wall_ms


def settlement(watermark: int, outputs: int, records: Any = ()) -> Settlement:
    return Settlement([(b"t", b"p")] * outputs, [], records, watermark)


class Table:
    """Takes records; they are recorded when told so."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.recorded = False

    def __call__(self, record: Any) -> Table:
        self.sent.append(record)
        return self

    def done(self) -> bool:
        return self.recorded


def test_the_watermark_passes_a_settlement_only_when_all_before_it_are_acknowledged() -> None:
    """An acknowledged settlement waits for an unacknowledged one in front of it."""
    watermark, table = Watermark(10), Table()
    table.recorded = True
    first = watermark.begin(settlement(20, 2, ["a"]))
    second = watermark.begin(settlement(30, 1, ["b"]))
    second.unacknowledged = 0
    assert watermark.finish(table) == 0
    assert watermark.offset == 10
    first.unacknowledged = 0
    assert watermark.finish(table) == 2
    assert table.sent == ["a", "b"]
    assert watermark.offset == 30


def test_the_watermark_waits_until_the_brokers_have_the_decisions() -> None:
    """Decisions are recorded before the watermark passes their spans; they are sent once."""
    watermark, table = Watermark(10), Table()
    watermark.begin(settlement(20, 0, ["a"]))
    assert watermark.finish(table) == 1
    assert watermark.finish(table) == 0
    assert watermark.offset == 10
    table.recorded = True
    watermark.finish(table)
    assert watermark.offset == 20
    assert table.sent == ["a"]


def test_a_refused_output_holds_the_watermark_and_shows() -> None:
    """Nothing behind a failure is recorded or committed."""
    watermark, table = Watermark(10), Table()
    failed = watermark.begin(settlement(20, 1, ["a"]))
    watermark.begin(settlement(30, 0, ["b"]))
    failed.unacknowledged, failed.failed = 0, True
    assert watermark.finish(table) == 0
    assert watermark.offset == 10
    assert watermark.failed
