"""Reads the whole keyspace topic, from its beginning and then as it grows, in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from sampler.stream.keyspace_codec import Decoded, PoisonError, decode

logger = logging.getLogger(__name__)

AT_ONCE = 500
POLL_S = 0.5
RETRY_S = 2.0
LOOK_UP_S = 5.0
SAY_EVERY_S = 60.0
WAITING_RECORDS = 100_000
"""Records that wait to be taken; beyond them the oldest go. Only a worker that hangs gets there."""
CLOSE_S = 3.0


class KeyspaceReader:
    """What stands in the topic, record by record; never in the way of whoever asks.

    Until it has come to the end of the topic it keeps of each key what is newest, and gives nothing out.
    """

    def __init__(self, conf: Mapping[str, Any], topic: str, monotonic_s: Callable[[], float]) -> None:
        self.topic = topic
        self._conf = conf
        self._clock = monotonic_s
        self._records: deque[tuple[bytes, int, Decoded]] = deque(maxlen=WAITING_RECORDS)
        self._stop = threading.Event()
        self._caught_up = threading.Event()
        self._thread: threading.Thread | None = None
        self._say_again_s: dict[str, float] = {}
        self._older: dict[bytes, Message] = {}
        self._behind: set[int] = set()
        self._next: dict[int, int] = {}
        self.partitions = 0
        """Partitions of the topic, 0 until they are known."""
        self.missing = False
        """Whether the topic does not exist."""
        self.received = 0
        """Records read."""
        self.poison = 0
        """Records skipped because none of us can have written them."""

    def start(self) -> None:
        """Begin to read; once is enough."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="keyspace", daemon=True)
            self._thread.start()

    @property
    def caught_up(self) -> bool:
        """Whether the end of the topic, as it was at the start, has been reached."""
        return self._caught_up.is_set()

    def take(self) -> list[tuple[bytes, int, Decoded]]:
        """Key, timestamp in milliseconds and content of what has come since the last call, in order."""
        taken = []
        while self._records:
            taken.append(self._records.popleft())
        return taken

    def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._read()
            except Exception as error:  # the thread must not end: nobody would notice
                self._say("unread", f"cannot be read, trying again: {error}")
            self._stop.wait(RETRY_S)

    def _read(self) -> None:
        consumer = Consumer({**self._conf, "enable.auto.commit": False, "auto.offset.reset": "earliest",
                             "enable.partition.eof": True, "error_cb": self._on_error})  # fmt: skip
        try:
            partitions = self._partitions(consumer)
            if not partitions:
                return
            self._behind = set(partitions)
            self.partitions = len(partitions)
            consumer.assign([TopicPartition(self.topic, p, self._next.get(p, OFFSET_BEGINNING)) for p in partitions])
            while not self._stop.is_set():
                for message in consumer.consume(AT_ONCE, POLL_S):
                    self._take(message)
        finally:
            consumer.close()

    def _partitions(self, consumer: Consumer) -> list[int]:
        found = consumer.list_topics(self.topic, timeout=LOOK_UP_S).topics[self.topic]
        self.missing = found.error is not None
        if self.missing:
            self._say(
                "missing",
                f"{found.error}: budgets and rates of the tier go by equal parts of the partitions. "
                "'tailsampler topics create' makes the topic",
            )
        return list(found.partitions)

    def _take(self, message: Message) -> None:
        error = message.error()
        if error is not None:
            if error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            self._behind -= {message.partition()}
            if not self._behind:
                self._finish_catching_up()
            return
        self.received += 1
        key, partition, offset = message.key(), message.partition(), message.offset()
        assert partition is not None and offset is not None  # noqa: PT018  # only errors have none
        self._next[partition] = offset + 1
        if self.caught_up or key is None:
            self._give_out(message)
        else:
            # The newest goes to the end, so that what is given out later is in the order of the topic.
            self._older.pop(key, None)
            self._older[key] = message

    def _finish_catching_up(self) -> None:
        for message in self._older.values():
            self._give_out(message)
        self._older = {}
        self._caught_up.set()

    def _give_out(self, message: Message) -> None:
        key, timestamp_ms = message.key(), message.timestamp()[1]
        try:
            self._records.append((key or b"", timestamp_ms, decode(key, message.value(), timestamp_ms)))
        except PoisonError as error:
            self.poison += 1
            self._say("poison", f"record {message.partition()}@{message.offset()} is skipped: {error}")

    def _on_error(self, error: KafkaError) -> None:
        self._say(error.name(), error.str())

    def _say(self, kind: str, what: str) -> None:
        """Each kind once a minute: a broker that is gone, or a topic full of nonsense, never stops."""
        now_s = self._clock()
        if now_s >= self._say_again_s.get(kind, now_s):
            self._say_again_s[kind] = now_s + SAY_EVERY_S
            logger.warning("%s: %s", self.topic, what)
