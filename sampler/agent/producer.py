"""Records to Kafka through librdkafka, and what is known of Kafka and the topic.

Two threads: one serves delivery reports and hands them on in batches, one watches the topic (its partition count, and
whether brokers answer at all). Everything the owner passes in is called from these threads.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from sampler.agent.settings import PublisherSettings
from sampler.clock import monotonic_s
from sampler.otlp.trace_context import trace_context_of
from sampler.topics.access import explained

log = logging.getLogger(__name__)

POLL_S = 0.1
PROBE_S = 0.5  # at least, between two looks at the topic
PROBE_TIMEOUT_S = 3.0


@dataclass(slots=True)
class Record:
    """A record on its way: its parts are joined when it is sent. `owners` are told of its fate, opaque here."""

    partition: int
    parts: list[bytes] = field(default_factory=list)
    size: int = 0
    owners: list[Any] = field(default_factory=list)
    sent_at_s: float = 0.0
    acknowledged_at_s: float = 0.0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class TopicState:
    """Partitions of the topic; where it cannot be written, `problem` says why and what to do."""

    partitions: int
    problem: str | None = None


def librdkafka_config(settings: PublisherSettings) -> dict[str, Any]:
    """The producer's configuration: our defaults, the operator's entries over them, our promises over both."""
    return {
        "client.id": "tailsampler-agent",
        "compression.type": "zstd",
        "linger.ms": 0,  # the publisher has waited already
        "batch.size": settings.record_size_bytes,  # a record is a batch: more in one would pass the broker's limit
        "message.max.bytes": settings.max_message_bytes,
        "queue.buffering.max.kbytes": 2 * settings.max_buffer_bytes // 1024 + 1024,  # the publisher sets the bound
        "delivery.timeout.ms": settings.delivery_timeout_ms,
        "reconnect.backoff.max.ms": 1000,
        "allow.auto.create.topics": False,
        **settings.librdkafka,
        "enable.idempotence": True,
        "acks": "all",
    }


class RecordProducer:
    """Sends records idempotently; reports each exactly once, acknowledged or failed, in batches to `on_settled`.

    ValueError where librdkafka does not take the settings.
    """

    def __init__(
        self,
        settings: PublisherSettings,
        on_settled: Callable[[list[Record]], None],
        on_topic: Callable[[TopicState], None],
    ) -> None:
        self._settings = settings
        self._config = librdkafka_config(settings)
        self._on_settled = on_settled
        self._on_topic = on_topic
        self._settled: deque[Record] = deque()  # appended to by whichever thread serves delivery reports
        self._fatal = False
        self._stop = threading.Event()
        self._look = threading.Event()
        self._producer = self._connect()
        self._threads = [
            threading.Thread(target=self._poll_loop, name="agent-deliveries", daemon=True),
            threading.Thread(target=self._watch_loop, name="agent-topic", daemon=True),
        ]

    def start(self) -> None:
        """Start both threads; the first report to `on_topic` follows."""
        for thread in self._threads:
            thread.start()

    def send(self, record: Record) -> str | None:
        """Hand a record over, without waiting. A returned text says why it was not taken; no report follows then."""
        value = record.parts[0] if len(record.parts) == 1 else b"".join(record.parts)
        record.parts = []  # librdkafka has its own copy from here on
        record.sent_at_s = monotonic_s()

        def delivered(error: KafkaError | None, _message: Message) -> None:
            record.acknowledged_at_s = monotonic_s()
            if error is not None:
                record.error = explained(error, self._settings.topic)
                self._look.set()
            self._settled.append(record)

        headers = trace_context_of(value) if self._settings.trace_context else None
        options: dict[str, Any] = {"headers": headers} if headers else {}
        try:
            self._producer.produce(
                self._settings.topic, value=value, partition=record.partition, on_delivery=delivered, **options
            )
        except (BufferError, KafkaException) as error:
            self._look.set()
            return str(error)
        return None

    def close(self, timeout_s: float) -> int:
        """Wait for what is on its way, at most `timeout_s`; fail the rest. Returns the number of records failed."""
        left = _drain(self._producer, timeout_s)
        if left:
            self._producer.purge()
            _drain(self._producer)
        self._stop.set()
        self._look.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(PROBE_TIMEOUT_S + 1)
        self._report()
        return left

    def _connect(self) -> Producer:
        try:
            return Producer({"logger": log, **self._config, "error_cb": self._on_error})
        except KafkaException as refused:
            raise ValueError(f"librdkafka does not take the Kafka settings: {refused.args[0].str()}") from refused

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            log.error("the Kafka producer failed for good (%s); a new one takes over", error.str())
            self._fatal = True
        else:
            log.debug("librdkafka: %s", error.str())
        self._look.set()

    def _poll_loop(self) -> None:
        while not self._stop.is_set():
            try:
                self._producer.poll(POLL_S)
            except KafkaException as failure:
                # In place of the error callback librdkafka's binding raises an error that ends the producer here.
                self._on_error(failure.args[0])
            if self._fatal:
                self._replace()
            self._report()

    def _replace(self) -> None:
        """After a fatal error librdkafka takes nothing more: what was on its way fails, later records use a new one."""
        self._fatal = False
        old = self._producer
        self._producer = self._connect()
        old.purge()
        _drain(old)

    def _report(self) -> None:
        settled: list[Record] = []
        while self._settled:
            settled.append(self._settled.popleft())
        if settled:
            self._on_settled(settled)

    def _watch_loop(self) -> None:
        while not self._stop.is_set():
            self._look.clear()
            state = self._look_at_topic()
            if self._stop.is_set():
                return
            self._on_topic(state)
            self._stop.wait(PROBE_S)  # however many errors come, no more looks than that
            if state.problem is None:
                self._look.wait(self._settings.metadata_refresh_s)

    def _look_at_topic(self) -> TopicState:
        topic = self._settings.topic
        servers = self._config.get("bootstrap.servers") or self._config.get("metadata.broker.list")
        try:
            metadata = self._producer.list_topics(topic, timeout=PROBE_TIMEOUT_S)
        except KafkaException as failure:
            reason = failure.args[0].str()
            return TopicState(0, f"Kafka at {servers} does not answer ({reason}); is it running and reachable?")
        found = metadata.topics.get(topic)
        if found is None or found.error is not None or not found.partitions:
            reason = found.error.str() if found is not None and found.error is not None else "no partitions"
            return TopicState(
                0, f"Kafka at {servers} has no usable topic {topic} ({reason}); `tailsampler topics create` creates it"
            )
        return TopicState(len(found.partitions))


def _drain(producer: Producer, timeout_s: float = 1.0) -> int:
    """Serve delivery reports until none is due; returns the number of records still on their way."""
    try:
        return int(producer.flush(timeout_s))
    except KafkaException as failure:
        # A fatal error, which the producer repeats; the reports behind it are still due.
        log.debug("librdkafka: %s", failure)
        return int(producer.flush(timeout_s))
