"""Reads the topics of one backend, in a thread and a consumer group of its own, and commits what it has accepted."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from queue import Empty, SimpleQueue
from typing import Any, Final

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from sampler.agent.repartition_offsets import Offsets, Partition
from sampler.clock import monotonic_s, wall_ms
from sampler.exporter.assembler import UNKNOWN, Assembler
from sampler.exporter.batch import Batch
from sampler.exporter.state import BackendState
from sampler.metrics.exporter import BackendMetrics

log = logging.getLogger(__name__)

FETCH_S: Final = 0.05
WAIT_S: Final = 0.1
PAUSE_AFTER_S: Final = 1.0
"""A shorter rest needs no pause: what librdkafka has read ahead would be thrown away by one."""
HANDOVER_S: Final = 3.0
"""How long partitions that another process takes are held for the answers to what is under way."""
REQUEST_S: Final = 5.0
PROBE_S: Final = 5.0
"""How often Kafka is asked whether it is back."""
MOST_RECORDS: Final = 2000
MEASURE_S: Final = 1.0


class Reader:
    """Reads until it is stopped. `submit` takes batches, from this thread; `settled` says that one is done, from any.

    `on_turn` is called several times a second, `on_failure` with an error that ended the thread.
    """

    def __init__(
        self,
        conf: Mapping[str, Any],
        topics: Iterable[str],
        assembler: Assembler,
        metrics: BackendMetrics,
        state: BackendState,
        submit: Callable[[Batch], None],
        *,
        max_in_flight_bytes: int,
        commit_interval_s: float,
        from_latest: bool,
        on_turn: Callable[[], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        """With `from_latest` what the group has never committed is read from its end, else from its beginning.

        ValueError where librdkafka does not take the settings.
        """
        self._topics = list(topics)
        self._assembler = assembler
        self._metrics = metrics
        self._state = state
        self._submit = submit
        self._max_in_flight_bytes = max_in_flight_bytes
        self._commit_interval_s = commit_interval_s
        self._from_latest = from_latest
        self._on_turn, self._on_failure = on_turn, on_failure
        self._offsets = Offsets()
        self._settled: SimpleQueue[Batch] = SimpleQueue()
        self._open: dict[Batch, None] = {}
        self._begins: dict[Partition, int] = {}
        """Where this process began to read each partition."""
        self._in_flight_bytes = 0
        self._full_since_s: float | None = None
        self._paused = self._pause_anew = False
        self._next_commit_s = self._next_measure_s = self._next_probe_s = 0.0
        self._fatal: KafkaError | None = None
        self._stopping = threading.Event()
        self._drained = threading.Event()
        self._thread = threading.Thread(target=self._guarded, name=f"read-{state.name}", daemon=True)
        try:
            self._consumer = Consumer({**conf, "on_commit": self._committed, "error_cb": self._on_error}, logger=log)
        except KafkaException as refused:
            raise ValueError(f"librdkafka does not take the Kafka settings: {refused.args[0].str()}") from refused

    def start(self) -> None:
        """Join the group and read."""
        self._thread.start()

    def settled(self, batch: Batch) -> None:
        """Everything in a batch was accepted or is in the dead-letter topic."""
        self._settled.put(batch)

    def stop(self) -> None:
        """Read nothing more."""
        self._stopping.set()

    def leave(self, timeout_s: float) -> bool:
        """After `stop`, when nothing more will be settled: commit and leave; False where that takes longer."""
        self._drained.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _guarded(self) -> None:
        try:
            self._work()
        except Exception as error:  # whatever it was: it must not end a thread unseen
            log.exception("backend %s: reading failed", self._state.name)
            self._on_failure(error)

    def _work(self) -> None:
        self._consumer.subscribe(self._topics, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)
        while not self._stopping.is_set():
            self._on_turn()
            self._turn()
        self._drained.wait()
        self._collect(0)
        self._consumer.close()  # leaves through `_revoked`, which commits

    def _turn(self) -> None:
        if self._fatal is not None:
            raise KafkaException(self._fatal)
        full = self._in_flight_bytes >= self._max_in_flight_bytes
        self._collect(WAIT_S if full else 0)
        if full:
            self._rest()
        else:
            self._go_on()
            count = max(1, min(MOST_RECORDS, self._assembler.records_wanted()))
            self._take(self._consumer.consume(count, FETCH_S))
        now_s = monotonic_s()
        self._hand_over(self._assembler.due(now_s))
        if now_s >= self._next_commit_s:
            self._next_commit_s = now_s + self._commit_interval_s
            self._commit(self._offsets.take_ready())
        if now_s >= self._next_measure_s:
            self._next_measure_s = now_s + MEASURE_S
            self._measure()
        self._probe(now_s)

    # The way in

    def _take(self, messages: list[Message]) -> None:
        good = [message for message in messages if message.error() is None]
        if len(good) < len(messages):
            self._say_errors(messages)
        if good:
            self._state.kafka_problem = ""
            self._metrics.read_records.inc(len(good))
            for batch in self._assembler.take(good, monotonic_s()):
                self._hand_over(batch)

    def _hand_over(self, batch: Batch | None) -> None:
        if batch is None:
            return
        batch.runs = [self._offsets.begin(partition, end) for partition, end in batch.ends.items()]
        if not batch.records:
            for run in batch.runs:
                self._offsets.finish(run)
            return
        self._open[batch] = None
        self._in_flight_bytes += batch.size_bytes
        self._metrics.in_flight_bytes.set(self._in_flight_bytes)
        self._submit(batch)

    def _collect(self, wait_s: float) -> None:
        """Take note of the batches that are settled, waiting for the first."""
        try:
            batch = self._settled.get(timeout=wait_s) if wait_s else self._settled.get_nowait()
            while True:
                self._open.pop(batch, None)
                self._in_flight_bytes -= batch.size_bytes
                for run in batch.runs:
                    self._offsets.finish(run)
                batch = self._settled.get_nowait()
        except Empty:
            pass
        self._metrics.in_flight_bytes.set(self._in_flight_bytes)

    def _rest(self) -> None:
        """Nothing more is read; the group is told in time that we live, by polls in which nothing can come."""
        now_s = monotonic_s()
        if self._full_since_s is None:
            self._full_since_s = now_s
        if now_s - self._full_since_s < PAUSE_AFTER_S:
            return
        if not self._paused or self._pause_anew:
            self._paused, self._pause_anew = True, False
            self._metrics.reading_paused.set(1)
            self._consumer.pause(self._consumer.assignment())
        self._take(self._consumer.consume(1, 0))

    def _go_on(self) -> None:
        self._full_since_s = None
        if self._paused:
            self._paused = self._pause_anew = False
            self._metrics.reading_paused.set(0)
            self._consumer.resume(self._consumer.assignment())

    # The group

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._state.kafka_problem = ""
        self._metrics.rebalances.inc()
        begins: dict[Partition, int] = {(each.topic, each.partition): UNKNOWN for each in partitions}
        if partitions:
            try:
                for each in consumer.committed(partitions, REQUEST_S):
                    begins[each.topic, each.partition] = max(UNKNOWN, each.offset)
                if self._from_latest:
                    begins |= self._ends(consumer, [place for place, offset in begins.items() if offset == UNKNOWN])
            except KafkaException as failure:
                self._state.say("offsets", f"Kafka did not tell where to begin: {failure.args[0].str()}")
        self._begins.update(begins)
        self._assembler.begin(begins)
        if self._from_latest:
            consumer.incremental_assign(
                [
                    TopicPartition(*place, OFFSET_END if offset == UNKNOWN else offset)
                    for place, offset in begins.items()
                ]
            )
        self._pause_anew = True  # what has just come is not paused

    def _ends(self, consumer: Consumer, places: list[Partition]) -> dict[Partition, int]:
        """The ends of partitions that the group has never committed; it commits them, to begin there only once."""
        ends = {}
        for place in places:
            _, ends[place] = consumer.get_watermark_offsets(TopicPartition(*place), REQUEST_S)
            self._offsets.finish(self._offsets.begin(place, ends[place]))
        return ends

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Another process reads them from now on: wait a little for answers, so that it sends little twice."""
        self._metrics.rebalances.inc()
        places = [(each.topic, each.partition) for each in partitions]
        if not self._drained.is_set():
            self._hand_over(self._assembler.close())
            end_s = monotonic_s() + HANDOVER_S
            while self._offsets.unfinished(places) and not self._state.failing and monotonic_s() < end_s:
                self._on_turn()
                self._collect(WAIT_S)
        ready = self._offsets.take_ready(places)
        if ready:
            try:
                if self._state.kafka_problem:
                    # Waiting for a broker that is not there could take minutes; what is not committed is sent again.
                    consumer.commit(offsets=_positions(ready), asynchronous=True)
                else:
                    consumer.commit(offsets=_positions(ready), asynchronous=False)
            except KafkaException as failure:
                self._state.say(
                    "commit", f"a last commit of partitions that others take failed: {failure.args[0].str()}"
                )
        self._forget(places)

    def _lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """They are others' already: what is accepted of them from now on is not ours to commit."""
        self._metrics.rebalances.inc()
        self._state.say(
            "lost", f"{len(partitions)} partitions were given to others before this process could let them go"
        )
        self._forget([(each.topic, each.partition) for each in partitions])

    def _forget(self, places: list[Partition]) -> None:
        self._assembler.forget(places)
        self._offsets.forget(places)
        for place in places:
            self._begins.pop(place, None)

    # Commits and numbers

    def _commit(self, offsets: dict[Partition, int]) -> None:
        if not offsets:
            return
        try:
            self._consumer.commit(offsets=_positions(offsets), asynchronous=True)
        except KafkaException as failure:
            self._offsets.put_back(offsets)
            self._state.say("commit", f"a commit failed and is tried again: {failure.args[0].str()}")

    def _committed(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        """The broker's answer, called from `consume`."""
        if error is None:
            return
        self._state.say("commit", f"a commit failed and is tried again: {error.str()}")
        failed = {(each.topic, each.partition): each.offset for each in partitions}
        # What is others' now, or was when it came back, is theirs to commit.
        mine = {place: offset for place, offset in failed.items() if offset > self._begins.get(place, offset)}
        self._offsets.put_back(mine)

    def _measure(self) -> None:
        lag = 0
        assigned = self._assembler.positions
        for (topic, partition), position in assigned.items():
            try:
                _, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), cached=True)
            except KafkaException:
                continue
            if position >= 0 and high > position:
                lag += high - position
        waiting = sum(len(batch.records) for batch in self._open)
        oldest_ms = min((batch.oldest_ms for batch in self._open), default=0)
        self._metrics.lag_records.set(lag + waiting + self._assembler.waiting_records)
        self._metrics.lag_seconds.set(max(0.0, (wall_ms() - oldest_ms) / 1000) if oldest_ms > 0 else 0.0)
        self._metrics.partitions_assigned.set(len(assigned))

    # Trouble with Kafka

    def _on_error(self, error: KafkaError) -> None:
        """Called from `consume`."""
        if error.fatal():
            self._fatal = error
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._state.kafka_problem = f"no broker answers: {error.str()}"
        self._state.say(error.name(), f"Kafka: {error.str()}")

    def _say_errors(self, messages: list[Message]) -> None:
        for message in messages:
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                self._state.kafka_problem = f"{message.topic() or 'the topics'} cannot be read: {error.str()}"
                self._state.say(error.name(), self._state.kafka_problem)
                self._next_probe_s = monotonic_s() + PROBE_S

    def _probe(self, now_s: float) -> None:
        """While something was wrong and nothing is read, ask whether the brokers answer again."""
        if not self._state.kafka_problem or now_s < self._next_probe_s:
            return
        self._next_probe_s = now_s + PROBE_S
        try:
            known = self._consumer.list_topics(timeout=1.0).topics
        except KafkaException as failure:
            self._state.kafka_problem = f"no broker answers: {failure.args[0].str()}"
            return
        missing = [topic for topic in self._topics if not topic.startswith("^") and topic not in known]
        self._state.kafka_problem = f"topic {missing[0]} does not exist, or may not be read" if missing else ""


def _positions(offsets: Mapping[Partition, int]) -> list[TopicPartition]:
    return [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]
