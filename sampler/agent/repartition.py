"""The agent's second source: a topic whose spans are not keyed by trace is read and written anew, keyed by trace.

A thread reads records, puts them together into requests and hands these to the publisher, which splits and packs them
as those of any sender. A record's offset may be committed when Kafka has acknowledged everything that came of it and
of the records before it, so whatever ends this process, the next one begins with what is not stored.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from sampler.agent.publisher import BufferFullError, PublishError, Receipt, RequestTooLargeError
from sampler.agent.repartition_letters import DeadLetters
from sampler.agent.repartition_offsets import Offsets, Partition
from sampler.agent.repartition_records import BadRecord, Piece, Request, decode_second_try, requests_of
from sampler.agent.repartition_settings import SourceSettings
from sampler.clock import monotonic_s
from sampler.metrics.source import SourceMetrics
from sampler.otlp import ScanError

log = logging.getLogger(__name__)

RECORDS = 500  # at most, in one fetch
FETCH_S = 0.05
WAIT_S = 0.1
RETRY_S = 1.0
RETRY_FULL_S = 0.05
PAUSE_AFTER_S = 30.0  # the group expects a sign of life within max.poll.interval.ms, 5 minutes
REVOKE_S = 5.0
SAY_EVERY_S = 60.0


class Publishes(Protocol):
    """What stores requests: the agent's publisher."""

    async def publish(self, request: bytes) -> Receipt: ...


class KafkaSource:
    """Reads the topics of its settings until it is stopped; start and stop once, on the publisher's event loop.

    `on_turn` is called every now and then from its thread, `on_assigned` when the group has told which partitions are
    ours, `on_failure` with an error that ended the thread.
    """

    def __init__(
        self,
        settings: SourceSettings,
        publisher: Publishes,
        metrics: SourceMetrics,
        *,
        on_turn: Callable[[], None] = lambda: None,
        on_assigned: Callable[[], None] = lambda: None,
        on_failure: Callable[[BaseException], None] = lambda error: None,
    ) -> None:
        self._settings = settings
        self._publisher = publisher
        self._metrics = metrics
        self._on_turn, self._on_assigned, self._on_failure = on_turn, on_assigned, on_failure
        self._offsets = Offsets()
        self._answers: SimpleQueue[tuple[Request, Future[Receipt]]] = SimpleQueue()
        self._again: list[tuple[float, Request]] = []
        self._in_flight_bytes = 0
        self._full_since_s: float | None = None
        self._paused = False
        self._next_commit_s = 0.0
        self._stop_s = 0.0
        self._stopping = threading.Event()
        self._said_s: dict[str, float] = {}
        self._thread = threading.Thread(target=self._guarded, name="agent-source", daemon=True)
        metrics.in_flight_bytes.set_function(lambda: self._in_flight_bytes)

    def start(self) -> None:
        """Join the group; ValueError where librdkafka does not take the settings."""
        self._loop = asyncio.get_running_loop()
        conf: dict[str, Any] = {
            **self._settings.librdkafka(), "on_commit": self._committed, "error_cb": self._on_error
        }  # fmt: skip
        try:
            self._consumer = Consumer(conf, logger=log)
        except KafkaException as refused:
            raise ValueError(f"librdkafka does not take the Kafka settings: {refused.args[0].str()}") from refused
        self._letters = DeadLetters(
            self._settings.producer,
            self._settings.dead_letter_topic,
            self._settings.max_message_bytes,
            self._finish,
            leave_out=self._settings.leave_out,
        )
        self._thread.start()

    async def stop(self, timeout_s: float) -> None:
        """Read nothing more, wait at most `timeout_s` for what is on its way, commit, and leave the group."""
        self._stop_s = monotonic_s() + timeout_s
        self._stopping.set()
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join, timeout_s + REVOKE_S)

    def _guarded(self) -> None:
        try:
            self._work()
        except Exception as error:  # whatever it was: it must not end a thread unseen
            log.exception("the Kafka source failed")
            self._on_failure(error)

    def _work(self) -> None:
        self._consumer.subscribe(
            list(self._settings.topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )
        while not self._stopping.is_set():
            self._on_turn()
            full = self._in_flight_bytes >= self._settings.max_in_flight_bytes
            self._serve(WAIT_S if full else 0)
            if full:
                self._rest()
            else:
                self._go_on()
                self._take(self._consumer.consume(RECORDS, FETCH_S))
        self._consumer.close()  # leaves through `_revoked`
        self._letters.close(max(0.1, self._stop_s - monotonic_s()))

    # The way in

    def _take(self, messages: list[Message]) -> None:
        records = [message for message in messages if not self._is_error(message)]
        if not records:
            return
        self._metrics.records_total.inc(len(records))
        for request in requests_of(records, self._offsets.begin, self._settings.encoding):
            if isinstance(request, BadRecord):
                self._in_flight_bytes += len(request.piece.value)
                self._bury(request.piece, "not_otlp", request.error)
                self._metrics.received_bytes_total.inc(len(request.piece.value))
            else:
                self._in_flight_bytes += request.size
                self._submit(request)
                self._metrics.received_bytes_total.inc(request.size)

    def _submit(self, request: Request) -> None:
        future = asyncio.run_coroutine_threadsafe(self.store(request), self._loop)
        future.add_done_callback(lambda done: self._answers.put((request, done)))

    async def store(self, request: Request) -> Receipt:
        """Hand a request to the publisher; on its event loop."""
        return await self._publisher.publish(request.body)

    def _rest(self) -> None:
        """Nothing more is read. The group is told in time that we live: by a poll in which nothing can come."""
        now_s = monotonic_s()
        if self._full_since_s is None:
            self._full_since_s = now_s
        if now_s - self._full_since_s > PAUSE_AFTER_S:
            if not self._paused:
                self._paused = True
                self._say("paused", "Kafka takes no spans: reading the source rests until it does")
                self._consumer.pause(self._consumer.assignment())
            self._take(self._consumer.consume(RECORDS, 0))

    def _go_on(self) -> None:
        self._full_since_s = None
        if self._paused:
            self._paused = False
            self._consumer.resume(self._consumer.assignment())

    def _is_error(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return False
        if error.code() != KafkaError._PARTITION_EOF:
            self._say(error.name(), f"reading {message.topic() or 'the source'}: {error.str()}")
        return True

    # The way out

    def _serve(self, wait_s: float) -> None:
        """Take the publisher's answers that have come, waiting for the first; send again and commit what is due."""
        try:
            answer = self._answers.get(timeout=wait_s) if wait_s else self._answers.get_nowait()
            while True:
                self._answered(*answer)
                answer = self._answers.get_nowait()
        except Empty:
            pass
        now_s = monotonic_s()
        self._letters.serve(now_s)
        if self._again:
            due = [request for due_s, request in self._again if due_s <= now_s]
            self._again = [each for each in self._again if each[0] > now_s]
            for request in due:
                self._submit(request)
        if now_s >= self._next_commit_s:
            self._next_commit_s = now_s + self._settings.commit_interval_s
            self._commit(self._offsets.take_ready())
            self._measure()

    def _answered(self, request: Request, answer: Future[Receipt]) -> None:
        try:
            answer.result()
        except PublishError as error:
            self._metrics.retries_total.inc()
            wait_s = RETRY_FULL_S if isinstance(error, BufferFullError) else RETRY_S
            self._again.append((monotonic_s() + wait_s, request))
        except (ScanError, RequestTooLargeError) as error:
            self._refused(request, error)
        except CancelledError:
            pass  # the loop ends; what is not stored is not committed
        else:
            self._in_flight_bytes -= request.size
            for run in request.runs:
                self._offsets.finish(run)

    def _refused(self, request: Request, error: Exception) -> None:
        """Records that cannot be read, perhaps only one of those in the request."""
        if len(request.pieces) > 1:
            for single in request.apart():
                self._submit(single)
            return
        piece = request.pieces[0]
        if isinstance(error, RequestTooLargeError):
            self._bury(piece, "too_large", str(error))
            return
        other = decode_second_try(piece.value, self._settings.encoding) if piece.body is piece.value else None
        if other is None:
            self._bury(piece, "not_otlp", str(error))
        else:
            piece.body = other
            self._submit(request)

    def _bury(self, piece: Piece, reason: str, error: str) -> None:
        self._metrics.dead_letters_total.labels(reason).inc()
        self._letters.send(piece, reason, error)

    def _finish(self, piece: Piece) -> None:
        """The broker has the record's dead letter."""
        self._in_flight_bytes -= len(piece.value)
        self._offsets.finish(piece.run)

    # The group

    def _assigned(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        log.info("reading %s", ", ".join(f"{one.topic}[{one.partition}]" for one in partitions) or "no more partitions")
        self._on_assigned()

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Others read these next: what we have of them is stored and committed first, as far as time allows."""
        ours = _pairs(partitions)
        deadline_s = self._stop_s if self._stopping.is_set() else monotonic_s() + REVOKE_S
        while self._offsets.unfinished(ours) and monotonic_s() < deadline_s:
            self._serve(WAIT_S)
        offsets = self._offsets.take_ready(ours)
        if offsets:
            try:
                consumer.commit(offsets=_positions(offsets), asynchronous=False)
                self._metrics.commits_total.inc()
            except KafkaException as error:
                log.warning("offsets could not be committed (%s): what they stand for is read again", error)
        self._offsets.forget(ours)

    def _lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Others may read these already."""
        log.warning("the group has given %d of our partitions to others", len(partitions))
        self._offsets.forget(_pairs(partitions))

    def _commit(self, offsets: dict[Partition, int]) -> None:
        if offsets:
            try:
                self._consumer.commit(offsets=_positions(offsets), asynchronous=True)
            except KafkaException as error:
                self._say("commit", f"offsets could not be committed ({error}); they are again in a moment")
                self._offsets.put_back(offsets)

    def _committed(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        if error is None:
            self._metrics.commits_total.inc()
            return
        self._say("commit", f"offsets could not be committed ({error.str()}); they are again in a moment")
        ours = set(_pairs(self._consumer.assignment()))
        offsets = {(one.topic, one.partition): one.offset for one in partitions}
        self._offsets.put_back({partition: offset for partition, offset in offsets.items() if partition in ours})

    def _measure(self) -> None:
        assigned = self._consumer.assignment()
        self._metrics.partitions_assigned.set(len(assigned))
        lag = 0
        for one in self._consumer.position(assigned) if assigned else ():
            low, high = self._consumer.get_watermark_offsets(one, cached=True)
            if high > 0:
                lag += high - max(one.offset, low, 0)
        self._metrics.lag_records.set(lag)

    def _on_error(self, error: KafkaError) -> None:
        self._say(error.name(), f"reading {', '.join(self._settings.topics)}: {error.str()}")

    def _say(self, what: str, text: str) -> None:
        """A warning, at most once a minute of its kind."""
        now_s = monotonic_s()
        if now_s >= self._said_s.get(what, now_s):
            self._said_s[what] = now_s + SAY_EVERY_S
            log.warning("%s", text)


def _pairs(partitions: list[TopicPartition]) -> list[Partition]:
    return [(one.topic, one.partition) for one in partitions]


def _positions(offsets: dict[Partition, int]) -> list[TopicPartition]:
    return [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]
