"""What librdkafka's producers of a worker tell of the brokers."""

from __future__ import annotations

import logging

import pytest
from confluent_kafka import ThrottleEvent

from sampler.stream.producers import Producers


def test_a_long_wait_for_a_quota_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """What to change stands beside it; short waits, as a quota always makes them, are no news, nor is the next one."""
    producers = Producers({"bootstrap.servers": "127.0.0.1:1", "log_level": 0}, on_fatal=pytest.fail)
    with caplog.at_level(logging.WARNING):
        for wait_s in (0.4, 7.25, 9.0):
            producers._on_throttle(ThrottleEvent("broker", 3, wait_s))
    (record,) = caplog.records
    assert "broker 3 lets us wait 7.2 s" in record.getMessage()
    assert "raise producer_byte_rate" in record.getMessage()
