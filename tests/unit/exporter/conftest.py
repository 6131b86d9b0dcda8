"""An exporter before an embedded broker, backends for it, and what was written and read."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import pytest
from confluent_kafka import Producer
from prometheus_client import CollectorRegistry

from sampler.config.models import Config
from sampler.config.policies import PolicyFile
from sampler.embedded.broker import EmbeddedBroker
from sampler.exporter.service import Exporter
from sampler.web.health import Health
from tests.harness.otlp_backend import OtlpBackend
from tests.harness.reading import Record, read_topic
from tests.unit.exporter.exporter_lab import (
    PARTITIONS,
    Eventually,
    Names,
    OpenExporter,
    RunningExporter,
    Write,
)

NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    """An embedded broker, shared by the tests of a file."""
    with EmbeddedBroker(rebalance_delay_ms=1) as running:
        yield running


@pytest.fixture
def names(broker: EmbeddedBroker) -> Names:
    """Topics and a group that are this test's alone; the topics are there."""
    number = next(NUMBERS)
    made = Names(f"sampled-{number}", f"letters-{number}", f"group-{number}")
    # Naming a topic makes it at once; `create_topic` may wait a second for the broker's thread.
    asking = Producer({"bootstrap.servers": broker.bootstrap})
    for topic in (made.sampled, made.letters):
        assert len(asking.list_topics(topic, timeout=10).topics[topic].partitions) == PARTITIONS
    return made


@pytest.fixture
async def backend() -> AsyncIterator[OtlpBackend]:
    """A backend that accepts everything unless it is told otherwise."""
    running = OtlpBackend()
    await running.start()
    try:
        yield running
    finally:
        await running.stop()


@pytest.fixture
def eventually() -> Eventually:
    """Waits until a condition holds; the test's own time limit ends it."""

    async def wait(condition: Callable[[], Any]) -> None:
        while not condition():  # noqa: ASYNC110  what is waited for happens in other threads and processes
            await asyncio.sleep(0.01)

    return wait


@pytest.fixture
def open_exporter(broker: EmbeddedBroker, names: Names) -> OpenExporter:
    """Opens an exporter for blocks of `exporter.backends`."""

    @contextlib.asynccontextmanager
    async def opened(
        *backends: dict[str, Any],
        policies: PolicyFile | None = None,
        stop_timeout: str = "3s",
        session_timeout: str = "6s",
    ) -> AsyncIterator[RunningExporter]:
        config = Config.model_validate(
            {
                # The embedded broker lets an empty fetch wait for the client's whole time.
                "kafka": {
                    "brokers": broker.bootstrap,
                    "group_id": names.group,
                    "topics": {"sampled": names.sampled, "dead_letter": names.letters},
                    "librdkafka": {"fetch.wait.max.ms": 10},
                },
                "exporter": {
                    "backends": list(backends),
                    "commit_interval": "20ms",
                    "session_timeout": session_timeout,
                    "stop_timeout": stop_timeout,
                },
            }
        )
        registry, health = CollectorRegistry(), Health()
        exporter = Exporter(config, policies, registry, health)
        exporter.start()
        try:
            running = RunningExporter(exporter, registry, health, broker, names)
            yield running
        finally:
            await exporter.stop()
            running.close()

    return opened


@pytest.fixture
def write(broker: EmbeddedBroker, names: Names) -> Write:
    """Writes values into a topic, spread over its partitions."""

    def write_all(values: Iterable[bytes], topic: str = names.sampled, partition: int | None = None) -> None:
        producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 1})
        for number, value in enumerate(values):
            producer.produce(topic, value, partition=number % PARTITIONS if partition is None else partition)
        assert producer.flush(10) == 0

    return write_all


@pytest.fixture
def letters(broker: EmbeddedBroker, names: Names) -> Callable[[], list[Record]]:
    """The dead letters so far."""
    return lambda: read_topic({"bootstrap.servers": broker.bootstrap, "fetch.wait.max.ms": 10}, names.letters, 10.0)
