"""What the settings refuse, keep to themselves, and hand to librdkafka."""

from __future__ import annotations

from typing import Any

import pytest

from sampler.agent.producer import RecordProducer, librdkafka_config
from sampler.agent.settings import AgentSettings, PublisherSettings

KAFKA = {"bootstrap.servers": "kafka:9092", "sasl.password": "hunter2"}


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"max_message_bytes": 100}, "max_message_bytes"),
        ({"record_size_bytes": 0}, "record_size_bytes"),
        ({"max_buffer_bytes": -1}, "max_buffer_bytes"),
    ],
)
def test_impossible_publisher_settings_are_named(changes: dict[str, Any], names: str) -> None:
    """A value that cannot work is refused by name."""
    with pytest.raises(ValueError, match=names):
        PublisherSettings(topic="t", librdkafka=KAFKA, **changes)


def test_impossible_agent_settings_are_named() -> None:
    """A request larger than the buffer, and an agent that listens nowhere, are refused."""
    publisher = PublisherSettings(topic="t", librdkafka=KAFKA, max_buffer_bytes=1000)
    with pytest.raises(ValueError, match="max_request_bytes"):
        AgentSettings(publisher, max_request_bytes=1001)
    with pytest.raises(ValueError, match="grpc_listen and http_listen"):
        AgentSettings(publisher, None, None, max_request_bytes=10)


def test_passwords_are_not_shown() -> None:
    """The text form of the settings holds no entry of librdkafka's."""
    assert "hunter2" not in repr(PublisherSettings(topic="t", librdkafka=KAFKA))


def test_the_operator_may_change_all_but_the_promise() -> None:
    """Entries for librdkafka win over the defaults, but acknowledgement and idempotence stay."""
    given = {**KAFKA, "compression.type": "lz4", "acks": "1", "enable.idempotence": False}
    config = librdkafka_config(PublisherSettings(topic="t", librdkafka=given))
    assert (config["compression.type"], config["acks"], config["enable.idempotence"]) == ("lz4", "all", True)
    assert config["sasl.password"] == "hunter2"


def test_what_librdkafka_refuses_is_said() -> None:
    """A setting that librdkafka does not know is an error that names it, at start."""
    settings = PublisherSettings(topic="t", librdkafka={"bootstrap.servers": "kafka:9092", "bootstrap.sevrers": "x"})
    with pytest.raises(ValueError, match=r"bootstrap\.sevrers"):
        RecordProducer(settings, lambda records: None, lambda topic: None)
