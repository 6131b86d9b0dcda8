"""A broker for outputs that refuses what it is told to refuse, in the place of librdkafka's producers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from confluent_kafka import KafkaError, KafkaException

from sampler.engine.settlement import Settlement
from sampler.engine.watermark import PendingSettlement
from sampler.stream.outputs import Outputs
from tests.unit.stream.pipeline_lab import Broker, Worker

SAMPLED, DEAD = "sampled", "dead"
FIRST_BATCH_BYTES = 1024


class Message(NamedTuple):
    """A message on its way, and as it comes back."""

    batch_bytes: int
    topic_name: str
    content: bytes
    message_key: bytes | None
    to: int
    on_delivery: Callable[[KafkaError | None, Any], None]
    headers: list[tuple[str, Any]] | None

    def topic(self) -> str:
        return self.topic_name

    def key(self) -> bytes | None:
        return self.message_key

    def value(self) -> bytes:
        return self.content

    def partition(self) -> int:
        return self.to

    def __len__(self) -> int:
        return len(self.content)


@dataclass
class RefusingKafka:
    """Takes batches of up to `batch_bytes`, or one larger message; refuses those above the `limits` of their topic and,
    while `error` is set, everything.
    """

    broker: Broker
    batch_bytes: int = FIRST_BATCH_BYTES
    limits: dict[str, int] = field(default_factory=dict)
    largest_bytes: int = 1 << 30
    error: int | None = None
    under_way: deque[Message] = field(default_factory=deque)
    letters: list[tuple[bytes, dict[str, bytes]]] = field(default_factory=list)
    requests: int = 0

    def __len__(self) -> int:
        return len(self.under_way)

    def produce(self, topic: str, value: bytes, key: bytes | None, to: int, on_delivery: Any, headers: Any) -> None:
        if len(value) > self.largest_bytes:
            raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
        self.under_way.append(Message(self.batch_bytes, topic, value, key, to, on_delivery, headers))

    def narrow(self, refused_bytes: int, smallest_bytes: int) -> None:
        if self.batch_bytes >= refused_bytes:
            self.batch_bytes = max(smallest_bytes, refused_bytes // 2)

    def poll(self) -> None:
        pass

    def purge(self, *, in_flight: bool) -> None:
        messages, self.under_way = self.under_way, deque()
        for message in messages:
            message.on_delivery(KafkaError(KafkaError._PURGE_QUEUE), message)

    def answer(self, batches: int = 1) -> None:
        """Answer so many batches; nothing happens where there are none."""
        for _ in range(batches):
            if not self.under_way:
                return
            self.requests += 1
            batch = [self.under_way.popleft()]
            size = len(batch[0])
            while self.under_way and self.under_way[0].topic_name == batch[0].topic_name:
                size += len(self.under_way[0])
                if size > batch[0].batch_bytes:
                    size -= len(self.under_way[0])
                    break
                batch.append(self.under_way.popleft())
            error = self.error
            if error is None and size > self.limits.get(batch[0].topic_name, size):
                error = KafkaError.MSG_SIZE_TOO_LARGE
            for message in batch:
                if error is None:
                    self._store(message)
                message.on_delivery(None if error is None else KafkaError(error), message)

    def _store(self, message: Message) -> None:
        if message.topic_name == DEAD:
            self.broker.dead.append(message.content)
            self.letters.append((message.content, dict(message.headers or [])))
        else:
            self.broker.sampled.append(message.content)


def make_outputs(kafka: RefusingKafka) -> Outputs:
    """Real outputs before that broker."""

    def fatal(reason: str) -> None:
        raise AssertionError(reason)

    outputs = Outputs(
        {"bootstrap.servers": ""}, span_topic="spans", sampled_topic=SAMPLED, topics={SAMPLED: 3},
        dead_letter_topic=DEAD, partitioner="sarama", on_fatal=fatal,
    )  # fmt: skip
    outputs._producers = cast(Any, kafka)
    return outputs


class RefusedWorker(Worker):
    """A pipeline whose outputs go through real `Outputs` to a broker that refuses."""

    def __post_init__(self) -> None:
        self.kafka = RefusingKafka(self.broker)
        self.outputs = make_outputs(self.kafka)
        self.now_s = 0.0
        super().__post_init__()

    def send(self, settlement: Settlement, pending: PendingSettlement, partition: int) -> None:
        self.decided += [decision for record in settlement.records for decision in record]
        self.outputs.send(settlement, pending, partition)

    def turn(self, seconds: float = 20.0) -> None:
        """One round of housekeeping, so long after the last."""
        self.now_s += seconds
        self.outputs.send_again(self.now_s)
        self.kafka.answer(1000)
        self.pipeline.finish_acknowledged()

    def acknowledge(self, count: int, *, refused: bool = False) -> None:
        for _ in range(5):
            self.turn()
