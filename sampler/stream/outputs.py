"""Kept spans and dead letters on their way to the broker."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from confluent_kafka import KafkaError, KafkaException

from sampler.engine.settlement import Settlement
from sampler.engine.watermark import PendingSettlement
from sampler.log_fields import where
from sampler.otlp import Hasher, ScanError, message_key, partition_of
from sampler.otlp.annotate import divide
from sampler.otlp.trace_context import trace_context_of
from sampler.stream.lines import Lines
from sampler.stream.producers import Answer, Producers
from sampler.stream.refusals import Headers, Refusals, Sent
from sampler.topics.access import explained

logger = logging.getLogger(__name__)

PURGED = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})
SMALLEST_LIMIT_BYTES = 4096
"""A topic that refuses so small a record as too large is taken for a mistake, which one waits to be mended."""
CUT_HEADER = "tailsampler.cut"


class _Message(Protocol):
    """What is asked of confluent-kafka's message."""

    def topic(self) -> str | None: ...
    def key(self) -> Any: ...
    def value(self) -> Any: ...
    def partition(self) -> int | None: ...


class Outputs:
    """An idempotent producer that counts down, per settlement, what the broker has not acknowledged yet.

    What the broker refuses is kept and sent again until it is taken; see `send_again`. Only what was purged makes its
    settlement fail. `unacknowledged_bytes` is what is under way. `on_fatal` is called when the producer can no longer
    be used. `topics` has the partitions of every topic that kept spans go to: the sampled one, and those of tenants.
    With `trace_context` kept traces carry it in headers.
    """

    def __init__(
        self,
        conf: Mapping[str, Any],
        *,
        span_topic: str,
        sampled_topic: str,
        topics: Mapping[str, int],
        dead_letter_topic: str,
        partitioner: Hasher,
        on_fatal: Callable[[str], None],
        trace_context: bool = False,
    ) -> None:
        self._producers = Producers(conf, on_fatal)
        self._span_topic = span_topic
        self._sampled_topic = sampled_topic
        self.topics = dict(topics)
        self._unknown: set[str] = set()
        self._dead_letter_topic = dead_letter_topic
        self._partitioner = partitioner
        self._on_fatal = on_fatal
        self._trace_context = trace_context
        self._refusals = Refusals()
        self._at_once: list[Sent] = []
        self._lines = Lines()
        self.limits: dict[str, int] = {}
        """The size to which records for a topic are cut, where the broker has refused larger ones."""
        self.unacknowledged_bytes = 0
        self.records = 0
        self.bytes = 0
        self.failures: Counter[str] = Counter()
        """Refusals by Kafka's name of the error."""
        self.dead_letters: Counter[str] = Counter()
        """Dead letters that were made here, by reason."""

    def __len__(self) -> int:
        return len(self._producers) + len(self._refusals) + len(self._at_once) + self._lines.messages

    @property
    def waiting(self) -> bool:
        """Whether outputs wait until those before them are acknowledged and their decisions recorded."""
        return self._lines.messages > 0

    @property
    def refused(self) -> str:
        """What the broker refuses and why; empty while it takes everything."""
        return self._refusals.error

    def send(self, settlement: Settlement, pending: PendingSettlement, partition: int) -> None:
        """Produce what a settlement asks for, when those before it are acknowledged; `pending` counts down as it is."""
        if pending.unacknowledged:
            before_bytes = self._lines.size_bytes
            self._lines.add(partition, settlement, pending)
            self.unacknowledged_bytes += self._lines.size_bytes - before_bytes
            self._send_next(partition)

    def _send_next(self, partition: int) -> None:
        before_bytes = self._lines.size_bytes
        due = self._lines.next(partition)
        self.unacknowledged_bytes += self._lines.size_bytes - before_bytes
        for each in due:
            self._send_now(each.settlement, each.pending, partition)

    def _send_now(self, settlement: Settlement, pending: PendingSettlement, partition: int) -> None:
        delivered, limits = self._answer(pending, partition), self.limits
        produce, topic, partitions = self._produce, self._sampled_topic, self.topics[self._sampled_topic]
        for trace_id, payload in settlement.outputs:
            self.unacknowledged_bytes += len(payload)
            self.bytes += len(payload)
            to = partition_of(trace_id, partitions, self._partitioner)
            if limits and len(payload) > limits.get(topic, len(payload)):
                self._send_pieces(Sent(topic, message_key(trace_id), payload, to, None, pending, partition))
                continue
            produce(topic, payload, message_key(trace_id), to, on_delivery=delivered)
        for routed_to, trace_id, payload in settlement.routed:
            topic = self._known(routed_to)
            self.unacknowledged_bytes += len(payload)
            self.bytes += len(payload)
            to = partition_of(trace_id, self.topics[topic], self._partitioner)
            if limits and len(payload) > limits.get(topic, len(payload)):
                self._send_pieces(Sent(topic, message_key(trace_id), payload, to, None, pending, partition))
                continue
            produce(topic, payload, message_key(trace_id), to, on_delivery=delivered)
        self.records += len(settlement.outputs) + len(settlement.routed)
        for letter in settlement.dead_letters:
            headers = self._headers(partition, letter.offset, letter.reason, letter.error)
            self.unacknowledged_bytes += len(letter.value)
            self._send_one(Sent(self._dead_letter_topic, None, letter.value, -1, headers, pending, partition))

    def add_topics(self, partitions: Mapping[str, int]) -> None:
        """Further topics that kept spans may go to, with their partitions; callable from any thread."""
        self.topics.update(partitions)

    def poll(self) -> None:
        """Let acknowledgements that have come take effect."""
        self._producers.poll()

    def send_again(self, now_s: float) -> None:
        """Send what was refused and is due, and what may follow; only while the partitions it comes from are ours."""
        for sent in self._refusals.drop():
            self._forget(sent)
        at_once, self._at_once = self._at_once, []
        for sent in at_once:
            if sent.pending.failed:
                self._forget(sent)
            else:
                self._send_one(sent)
        for sent in self._refusals.due(now_s):
            self._send_one(sent, again=True)
        for partition in self._lines.partitions():
            self._send_next(partition)

    def purge(self, *, in_flight: bool = True) -> None:
        """Throw away what has not been acknowledged; its settlements fail, at the latest with the next polls."""
        at_once, self._at_once = self._at_once, []
        for sent in [*at_once, *self._refusals.drop(all_of_them=True)]:
            self._forget(sent)
        self.unacknowledged_bytes -= self._lines.size_bytes
        self._lines.give_up()
        self._producers.purge(in_flight=in_flight)

    def _answer(
        self, pending: PendingSettlement, source: int, headers: Headers | None = None, *, again: bool = False
    ) -> Answer:
        """What the producer calls with the broker's answer."""
        batch_bytes = self._producers.batch_bytes

        def delivered(error: KafkaError | None, message: Any) -> None:
            if error is None:
                self.unacknowledged_bytes -= len(message)
                pending.unacknowledged -= 1
            else:
                sent = _sent(message, headers, pending, source)
                self._on_refusal(error, sent, 0 if isinstance(message, _Unsent) else batch_bytes)
            if again:
                self._refusals.settled(error is None)

        return delivered

    def _send_one(self, sent: Sent, *, again: bool = False) -> None:
        delivered = self._answer(sent.pending, sent.source, sent.headers, again=again)
        self._produce(sent.topic, sent.value, sent.key, sent.to, on_delivery=delivered, headers=sent.headers)

    def _send_pieces(self, sent: Sent) -> None:
        for piece in self._cut(sent, self.limits[sent.topic]):
            self._send_one(piece)

    def _produce(
        self,
        topic: str,
        value: bytes,
        key: bytes | None,
        to: int,
        *,
        on_delivery: Answer,
        headers: Headers | None = None,
    ) -> None:
        if self._trace_context and topic != self._dead_letter_topic:
            headers = trace_context_of(value)
        try:
            self._producers.produce(topic, value, key, to, on_delivery, headers)
        except KafkaException as refusal:
            error = refusal.args[0]
            if error.code() == KafkaError._UNKNOWN_PARTITION:
                self._on_fatal(f"{topic} has no partition {to} any more: its partitions must be counted anew")
            on_delivery(error, _Unsent(topic, key, value, to))

    def _on_refusal(self, error: KafkaError, sent: Sent, batch_bytes: int) -> None:
        """`batch_bytes` is the size to which its batch was filled; 0 where it did not even get into one."""
        if error.code() in PURGED:
            self._forget(sent)
            return
        self.failures[error.name().strip("_").lower()] += 1
        if error.code() != KafkaError.MSG_SIZE_TOO_LARGE or not self._make_smaller(sent, batch_bytes):
            self._refusals.add(sent, f"{sent.topic}: an output was refused: {explained(error, sent.topic)}")

    def _make_smaller(self, sent: Sent, batch_bytes: int) -> bool:
        """Have what was refused as too large sent at once in smaller batches or pieces; False where it is small."""
        size = len(sent.value)
        if size < batch_bytes and batch_bytes > SMALLEST_LIMIT_BYTES:
            # Perhaps only the batch was too large.
            self._producers.narrow(batch_bytes, SMALLEST_LIMIT_BYTES)
            self._at_once.append(sent)
            return True
        if size <= SMALLEST_LIMIT_BYTES:
            return False
        limit = max(SMALLEST_LIMIT_BYTES, size // 2)
        if batch_bytes and sent.topic != self._dead_letter_topic and limit < self.limits.get(sent.topic, size):
            self.limits[sent.topic] = limit
            logger.warning(
                "%s refuses a record of %d bytes: traces for it are cut to %d bytes from now on. Its max.message.bytes "
                "is below kafka.max_message_bytes", sent.topic, size, limit, extra=where(sent.topic),
            )  # fmt: skip
        pieces = self._cut(sent, limit)
        self._at_once += pieces if len(pieces) > 1 or sent.topic == self._dead_letter_topic else [self._buried(sent)]
        return True

    def _cut(self, sent: Sent, limit: int) -> list[Sent]:
        """Pieces of at most `limit` bytes, and larger ones of a single span; their settlement waits for all of them.

        Of a dead letter only the beginning is left.
        """
        headers, pending, size = sent.headers, sent.pending, len(sent.value)
        if sent.topic == self._dead_letter_topic:
            values = [sent.value[:limit]]
            headers = [header for header in headers or [] if header[0] != CUT_HEADER]
            headers.append((CUT_HEADER, b"only the beginning: this topic refuses the whole as too large"))
        else:
            try:
                values = divide(sent.value, limit)
            except ScanError:
                # What we wrote is valid. Were it not, whoever looks after the dead letters should see it.
                values = [sent.value]
        self.unacknowledged_bytes += sum(map(len, values)) - size
        pending.unacknowledged += len(values) - 1
        return [Sent(sent.topic, sent.key, value, sent.to, headers, pending, sent.source) for value in values]

    def _buried(self, sent: Sent) -> Sent:
        """A dead letter with a span that the broker refuses as too large."""
        self.dead_letters["span_too_large"] += 1
        trace_id = (sent.key or b"").decode()
        error = f"a span of trace {trace_id} is {len(sent.value)} bytes, which {sent.topic} refuses as too large"
        about = where(self._dead_letter_topic, sent.source, trace_id=trace_id)
        logger.warning("partition %d: %s; to the dead-letter topic", sent.source, error, extra=about)
        headers = self._headers(sent.source, None, "span_too_large", error)
        return Sent(self._dead_letter_topic, None, sent.value, -1, headers, sent.pending, sent.source)

    def _forget(self, sent: Sent) -> None:
        """It is not sent again: its settlement fails."""
        self.unacknowledged_bytes -= len(sent.value)
        sent.pending.unacknowledged -= 1
        sent.pending.failed = True

    def _known(self, topic: str) -> str:
        """The topic, where this worker knows it; else the sampled one: late spans may be of a tenant that is gone."""
        if topic in self.topics:
            return topic
        if topic not in self._unknown:
            self._unknown.add(topic)
            logger.warning(
                "late spans for %s, which no tenant writes to any more, go to %s", topic, self._sampled_topic
            )
        return self._sampled_topic

    def _headers(self, partition: int, offset: int | None, reason: str, error: str) -> Headers:
        return [
            ("tailsampler.topic", self._span_topic.encode()),
            ("tailsampler.partition", str(partition).encode()),
            ("tailsampler.offset", b"" if offset is None else str(offset).encode()),
            ("tailsampler.reason", reason.encode()),
            ("tailsampler.error", error.encode()),
        ]


class _Unsent:
    """A message that the producer did not take, to be asked like one that came back."""

    def __init__(self, topic: str, key: bytes | None, value: bytes, partition: int) -> None:
        self._parts = topic, key, value, partition

    def topic(self) -> str:
        return self._parts[0]

    def key(self) -> bytes | None:
        return self._parts[1]

    def value(self) -> bytes:
        return self._parts[2]

    def partition(self) -> int:
        return self._parts[3]


def _sent(message: _Message, headers: Headers | None, pending: PendingSettlement, source: int) -> Sent:
    """A message that came back; it does not bring its headers."""
    topic, partition = message.topic(), message.partition()
    assert topic is not None and partition is not None  # noqa: PT018  # only received errors have none
    return Sent(topic, message.key(), message.value() or b"", partition, headers, pending, source)
