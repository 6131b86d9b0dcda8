"""What integration tests share: one real Kafka for the whole run, and topics nobody else uses."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.distribution import MissingToolError
from tests.harness.kafka import KafkaCluster

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that asks for a Kafka, so that `-m "not kafka"` runs the rest without Java."""
    for item in items:
        if HERE in item.path.parents and {"kafka", "kafka3"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.kafka)


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaCluster]:
    """A running Apache Kafka of one broker; it is shared, so nobody stops it."""
    try:
        cluster = KafkaCluster().start()
    except MissingToolError as error:
        pytest.fail(str(error), pytrace=False)
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def topics() -> Callable[[str], str]:
    """Makes a topic name out of a base name that is this test's alone; the same base gives the same name."""
    suffix = uuid.uuid4().hex[:8]
    return lambda base: f"{base}.{suffix}"
