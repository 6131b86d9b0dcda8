"""How old the oldest needed record is, and what of the topic's retention that has used up."""

from __future__ import annotations

import pytest

from sampler.stream.needed_since import NeededSince, Standing
from sampler.stream.topic_retention import TopicRetention

NOW = 1_000_000


def test_nothing_is_needed_where_all_is_decided() -> None:
    """However long ago the last record came."""
    assert NeededSince().look({0: Standing(10, 10, None, 5, lag=0)}, NOW) is None
    assert NeededSince().look({}, NOW) is None


def test_the_oldest_undecided_trace_is_needed() -> None:
    """Of all partitions the oldest."""
    standings = {
        0: Standing(5, 10, 900_000, 999_000, lag=0),
        1: Standing(7, 10, 800_000, 999_000, lag=0),
    }
    assert NeededSince().look(standings, NOW) == 800_000


def test_what_is_not_read_yet_is_needed() -> None:
    """It came after the last record that was read; where none was, now is the best that can be said."""
    assert NeededSince().look({0: Standing(10, 10, None, 700_000, lag=4)}, NOW) == 700_000
    assert NeededSince().look({0: Standing(10, 10, None, -1, lag=4)}, NOW) == NOW


def test_a_watermark_that_stands_still_keeps_what_it_needed() -> None:
    """Traces whose outputs are not acknowledged have left the table, and would be read again all the same."""
    needed = NeededSince()
    assert needed.look({0: Standing(5, 10, 900_000, 999_000, lag=0)}, NOW) == 900_000
    assert needed.look({0: Standing(5, 20, None, 1_005_000, lag=0)}, NOW + 10_000) == 900_000
    assert needed.look({0: Standing(5, 30, 1_009_000, 1_015_000, lag=0)}, NOW + 20_000) == 900_000
    assert needed.look({0: Standing(20, 30, 1_009_000, 1_015_000, lag=0)}, NOW + 30_000) == 1_009_000
    assert needed.look({0: Standing(30, 30, None, 1_015_000, lag=0)}, NOW + 40_000) is None


def test_a_partition_that_is_gone_is_forgotten() -> None:
    """And comes back as one that is new."""
    needed = NeededSince()
    needed.look({0: Standing(5, 10, 900_000, 999_000, lag=0)}, NOW)
    assert needed.look({}, NOW) is None
    assert needed.look({0: Standing(5, 10, 950_000, 999_000, lag=0)}, NOW) == 950_000


def test_the_future_is_not_needed_since() -> None:
    """A record with a timestamp ahead of the clock does not make a negative age."""
    assert NeededSince().look({0: Standing(5, 10, NOW + 5000, NOW + 6000, lag=0)}, NOW) == NOW


@pytest.mark.parametrize(
    ("retention_ms", "retention_bytes", "used"),
    [(None, None, 0.0), (60_000, None, 0.5), (None, 4000, 0.25), (60_000, 1000, 1.0), (3_600_000, 4000, 0.25)],
)
def test_retention_is_used_in_time_or_in_bytes(
    retention_ms: int | None, retention_bytes: int | None, used: float
) -> None:
    """Whichever is more; 0 where nothing limits it."""
    retention = TopicRetention({}, "otlp_spans")
    retention.retention_ms, retention.retention_bytes = retention_ms, retention_bytes
    assert retention.used(30.0, 1000.0) == used


def test_no_answer_leaves_what_was_known(caplog: pytest.LogCaptureFixture) -> None:
    """Without brokers, or without the right to ask, the metric stays and the log says so once."""
    retention = TopicRetention({"bootstrap.servers": "127.0.0.1:1", "log_level": 0}, "otlp_spans")
    retention.retention_ms = 5
    with caplog.at_level("INFO"):
        retention.ask(0.2)
        retention.ask(0.2)
    assert retention.retention_ms == 5
    assert caplog.text.count("retention is not known") == 1
