"""What librdkafka's statistics say about answers to fetches."""

from __future__ import annotations

from typing import Any

from sampler.stream.fetches_answered import UNREACHABLE_S, FetchesAnswered


def broker(sent: int, **trouble: int) -> dict[str, Any]:
    """Statistics of broker 1 after so many fetches were sent to it."""
    return {"nodeid": 1, "req": {"Fetch": sent, "Metadata": 3}, **trouble}


def test_a_fetch_sent_after_a_look_and_followed_by_another_was_answered() -> None:
    """Then everything up to that look is known, not up to now."""
    fetches = FetchesAnswered()
    assert fetches.answered(broker(5), 10.0) is None
    assert fetches.answered(broker(7), 10.5) == 10.0
    assert fetches.answered(broker(12), 11.0) == 10.5


def test_an_answer_that_is_still_coming_says_nothing() -> None:
    """The fetch that was under way at a look, and the one after it, may each be a long answer on a slow line."""
    fetches = FetchesAnswered()
    fetches.answered(broker(5), 10.0)
    assert [fetches.answered(broker(5), 10.5), fetches.answered(broker(6), 15.0)] == [None, None]
    assert fetches.answered(broker(7), 19.0) == 10.0


def test_a_fetch_that_failed_counts_for_nothing() -> None:
    """After any trouble of the connection only fetches from then on count."""
    fetches = FetchesAnswered()
    fetches.answered(broker(5), 10.0)
    assert fetches.answered(broker(8, disconnects=1), 10.5) is None
    assert fetches.answered(broker(9, disconnects=1), 11.0) is None
    assert fetches.answered(broker(10, disconnects=1), 11.5) == 10.5


def test_brokers_are_told_apart() -> None:
    """Answers of one say nothing of another."""
    fetches = FetchesAnswered()
    fetches.answered(broker(5), 10.0)
    fetches.answered({"nodeid": 2, "req": {}}, 10.0)
    assert fetches.answered({"nodeid": 2, "req": {"Fetch": 1}}, 10.5) is None
    assert fetches.answered(broker(9), 10.5) == 10.0


def test_nothing_is_known_for_a_while_after_a_broker_was_lost() -> None:
    """Until Kafka waits for it no longer, or it is back; a broker that is gone for good holds nobody up for ever."""
    fetches = FetchesAnswered()

    def look(sent: int, now_s: float, state: str) -> dict[int, float]:
        other = {"nodeid": 2, "req": {}, "state": state}
        return fetches.look([{**broker(sent), "state": "UP"}, other], now_s)

    assert look(5, 10.0, "INIT") == {}
    assert look(9, 10.5, "UP") == {1: 10.0}
    assert look(13, 11.0, "CONNECT") == {}
    assert look(17, 11.5, "UP") == {1: 11.0}
    assert [look(20 + n, 12.0 + n, "DOWN") for n in range(40)] == [{}] * 40
    assert look(70, 12.0 + UNREACHABLE_S, "TRY_CONNECT") == {1: 50.0}
