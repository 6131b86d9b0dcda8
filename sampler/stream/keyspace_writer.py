"""Writes what this worker's partitions have counted to the keyspace topic; never waits, and never fails for long."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

logger = logging.getLogger(__name__)

DELIVERY_MS = 15_000
"""What is older serves nobody any more."""
SAY_EVERY_S = 60.0


class KeyspaceWriter:
    """A producer whose records may get lost: those of the next interval say more."""

    def __init__(
        self, conf: Mapping[str, Any], topic: str, monotonic_s: Callable[[], float], *, delivery_ms: int = DELIVERY_MS
    ) -> None:
        self.topic = topic
        self._delivery_ms = delivery_ms
        self._clock = monotonic_s
        self._say_again_s = 0.0
        self.delivered = 0
        """Records that the broker has."""
        self.lost = 0
        """Records that it did not get."""
        self._conf = conf
        self._producer: Producer | None = None

    def start(self) -> None:
        """Connect; nothing is sent before."""
        self._producer = Producer(
            {
                "linger.ms": 20,
                "compression.type": "zstd",
                "queue.buffering.max.kbytes": 32 * 1024,
                # A broker refuses a batch as a whole where it is larger than the topic allows.
                "batch.size": 250_000,
                **self._conf,
                "delivery.timeout.ms": self._delivery_ms,
                "error_cb": self._on_error,
            }
        )

    def send(self, key: bytes, value: bytes | None, partition: int) -> None:
        """Hand over a record for a partition of the topic."""
        assert self._producer is not None, "started before anything is sent"
        try:
            self._producer.produce(self.topic, value, key, partition, on_delivery=self._on_delivery)
        except (BufferError, KafkaException) as error:
            self.lost += 1
            self._say(str(error))

    def poll(self) -> None:
        """Take note of answers that have come."""
        if self._producer is not None:
            self._producer.poll(0)

    def close(self, timeout_s: float) -> None:
        """Wait a little for what is under way."""
        if self._producer is not None:
            with suppress(KafkaException):
                self._producer.flush(timeout_s)

    def _on_delivery(self, error: KafkaError | None, _: Any) -> None:
        if error is None:
            self.delivered += 1
        else:
            self.lost += 1
            self._say(error.str())

    def _on_error(self, error: KafkaError) -> None:
        self._say(error.str())

    def _say(self, what: str) -> None:
        now_s = self._clock()
        if now_s >= self._say_again_s:
            self._say_again_s = now_s + SAY_EVERY_S
            logger.warning("%s: counts for the other workers are not written: %s", self.topic, what)
