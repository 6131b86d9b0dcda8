"""Kept spans and dead letters on their way to the broker."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from sampler.engine.settlement import Settlement
from sampler.engine.watermark import PendingSettlement
from sampler.otlp import Hasher, message_key, partition_of

logger = logging.getLogger(__name__)


class Outputs:
    """An idempotent producer that counts down, per settlement, what the broker has not acknowledged yet.

    `unacknowledged_bytes` is what is under way. `on_fatal` is called when the producer can no longer be used.
    """

    def __init__(
        self,
        conf: Mapping[str, Any],
        *,
        span_topic: str,
        sampled_topic: str,
        sampled_partitions: int,
        dead_letter_topic: str,
        partitioner: Hasher,
        on_fatal: Callable[[str], None],
    ) -> None:
        self._producer = Producer(
            {
                "linger.ms": 10,
                "batch.size": 1_000_000,
                # Cheaper than zstd, and every Kafka client reads it.
                "compression.type": "lz4",
                "queue.buffering.max.messages": 2_000_000,
                "queue.buffering.max.kbytes": 1_000_000,
                **conf,
                "enable.idempotence": True,
                "error_cb": self._on_error,
            }
        )
        self._span_topic = span_topic
        self._sampled_topic = sampled_topic
        self._sampled_partitions = sampled_partitions
        self._dead_letter_topic = dead_letter_topic
        self._partitioner = partitioner
        self._on_fatal = on_fatal
        self.unacknowledged_bytes = 0
        self.records = 0
        self.bytes = 0
        self.failures = 0

    def __len__(self) -> int:
        return len(self._producer)

    def send(self, settlement: Settlement, pending: PendingSettlement, partition: int) -> None:
        """Produce what a settlement asks for; `pending` counts down as it is acknowledged."""

        def delivered(error: KafkaError | None, message: Message) -> None:
            self.unacknowledged_bytes -= len(message)
            pending.unacknowledged -= 1
            if error is not None:
                self.failures += 1
                if not pending.failed:
                    logger.error("%s: an output was refused: %s", message.topic(), error.str())
                pending.failed = True

        produce, topic, partitions = self._produce, self._sampled_topic, self._sampled_partitions
        for trace_id, payload in settlement.outputs:
            self.unacknowledged_bytes += len(payload)
            self.bytes += len(payload)
            to = partition_of(trace_id, partitions, self._partitioner)
            produce(topic, payload, message_key(trace_id), to, on_delivery=delivered)
        self.records += len(settlement.outputs)
        for letter in settlement.dead_letters:
            headers = self._headers(partition, letter.offset, letter.reason, letter.error)
            self.unacknowledged_bytes += len(letter.value)
            produce(self._dead_letter_topic, letter.value, on_delivery=delivered, headers=headers)

    def _produce(self, *args: Any, **kwargs: Any) -> None:
        """Produce, waiting for room where the local queue is full: one long replay can settle more than it holds."""
        while True:
            try:
                self._producer.produce(*args, **kwargs)
            except BufferError:
                self._producer.poll(0.1)
            else:
                return

    def poll(self) -> None:
        """Let acknowledgements that have come take effect."""
        self._producer.poll(0)

    def purge(self) -> None:
        """Throw away what has not been acknowledged; its settlements fail with the next polls."""
        self._producer.purge()

    def _headers(
        self, partition: int, offset: int | None, reason: str, error: str
    ) -> list[tuple[str, str | bytes | None]]:
        return [
            ("tailsampler.topic", self._span_topic.encode()),
            ("tailsampler.partition", str(partition).encode()),
            ("tailsampler.offset", b"" if offset is None else str(offset).encode()),
            ("tailsampler.reason", reason.encode()),
            ("tailsampler.error", error.encode()),
        ]

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._on_fatal(f"the output producer cannot go on: {error.str()}")
        else:
            logger.warning("outputs: %s", error.str())
