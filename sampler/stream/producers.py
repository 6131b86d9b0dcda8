"""librdkafka's producers of a worker: one, and those before it that have something under way."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from confluent_kafka import KafkaError, Producer, ThrottleEvent

from sampler.clock import monotonic_s
from sampler.stream.refusals import Headers

logger = logging.getLogger(__name__)

Answer: TypeAlias = Callable[[KafkaError | None, Any], None]

LARGEST_BATCH_BYTES = 1_000_000
SAY_EVERY_S = 60.0
QUOTA_TOLD_S = 1.0
"""A broker that holds us back for less than this at once by a quota is no news."""


class Producers:
    """An idempotent producer whose batches can be made smaller while it runs.

    librdkafka fixes the size of batches when it makes a producer. A broker refuses a batch as a whole, however small
    the records in it, where it is larger than the topic allows. `batch_bytes` is that of the producer in use.
    """

    def __init__(self, conf: Mapping[str, Any], on_fatal: Callable[[str], None]) -> None:
        self._conf = conf
        self._on_fatal = on_fatal
        self._say_again_s: dict[str, float] = {}
        self.batch_bytes = LARGEST_BATCH_BYTES
        self._producer = self._new()
        self._before: list[Producer] = []

    def __len__(self) -> int:
        return len(self._producer) + sum(len(producer) for producer in self._before)

    def produce(
        self, topic: str, value: bytes, key: bytes | None, to: int, on_delivery: Answer, headers: Headers | None
    ) -> None:
        """Produce, waiting for room where the local queue is full: one long replay can settle more than it holds.

        KafkaException where the producer does not take it.
        """
        options: dict[str, Any] = {"headers": headers} if headers else {}
        while True:
            try:
                self._producer.produce(topic, value, key, to, on_delivery=on_delivery, **options)
            except BufferError:
                self._producer.poll(0.1)
            else:
                return

    def narrow(self, refused_bytes: int, smallest_bytes: int) -> None:
        """A batch that was filled to this size was too large: fill them to half from now on, unless that is so already.

        What is under way arrives by the producer before.
        """
        if self.batch_bytes >= refused_bytes:
            self.batch_bytes = max(smallest_bytes, refused_bytes // 2)
            logger.warning("a batch of outputs was too large: batches have at most %d bytes now", self.batch_bytes)
            self._before.append(self._producer)
            self._producer = self._new()

    def poll(self) -> None:
        """Call those who wait for answers that have come."""
        self._producer.poll(0)
        if self._before:
            for producer in self._before:
                producer.poll(0)
            self._before = [producer for producer in self._before if len(producer)]

    def purge(self, *, in_flight: bool) -> None:
        """Throw away what has not been sent, and forget what has been and was not answered yet."""
        for producer in (self._producer, *self._before):
            producer.purge(in_flight=in_flight)

    def _new(self) -> Producer:
        return Producer(
            {
                "linger.ms": 10,
                # Cheaper than zstd, and every Kafka client reads it.
                "compression.type": "lz4",
                "queue.buffering.max.messages": 2_000_000,
                "queue.buffering.max.kbytes": 1_000_000,
                "batch.size": LARGEST_BATCH_BYTES,
                **self._conf,
                **({"batch.size": self.batch_bytes} if self.batch_bytes != LARGEST_BATCH_BYTES else {}),
                "enable.idempotence": True,
                "error_cb": self._on_error,
                "throttle_cb": self._on_throttle,
            }
        )

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._on_fatal(f"the output producer cannot go on: {error.str()}")
            return
        self._say(error.name(), error.str())

    def _on_throttle(self, event: ThrottleEvent) -> None:
        """The broker lets what comes next wait for so long: beyond the delivery timeout it will be refused."""
        if event.throttle_time >= QUOTA_TOLD_S:
            waits = f"lets us wait {event.throttle_time:.1f} s, for a quota on our user or client id"
            self._say("throttled", f"broker {event.broker_id} {waits}: raise producer_byte_rate")

    def _say(self, what: str, text: str) -> None:
        """A warning, at most one a minute of the same kind."""
        now_s = monotonic_s()
        if now_s >= self._say_again_s.get(what, now_s):
            self._say_again_s[what] = now_s + SAY_EVERY_S
            logger.warning("outputs: %s", text)
