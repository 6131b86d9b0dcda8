"""Workers that own one partition one after the other, and at once where one does not know yet that it has lost it.

What outlives them is in `Cluster`. Each has real outputs, and a decision table of its own: what it read back when it
began and what it put there since. What a worker sends is on its way until the test says what becomes of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from confluent_kafka import KafkaError

from sampler.engine.decision_record import DecisionRecord, decode
from sampler.engine.settlement import Settlement
from sampler.engine.watermark import PendingSettlement
from tests.unit.stream.pipeline_lab import Broker, Worker, spans_in
from tests.unit.stream.refusing_kafka import DEAD, Message, RefusingKafka, make_outputs

DECISION_TTL_MS = 2000
"""As short as the latest span of a trace allows, so that decisions expire within a run."""


@dataclass
class Cluster:
    """The brokers. `coming` is the log as it will be, `log` what is there by now; `generation` is the group's."""

    coming: list[tuple[int, int, bytes]]
    log: list[tuple[int, int, bytes]] = field(default_factory=list)
    now_ms: int = 0
    committed: int = 0
    generation: int = 0
    changelog: dict[bytes, bytes] = field(default_factory=dict)
    sampled: list[bytes] = field(default_factory=list)
    dead: list[bytes] = field(default_factory=list)

    def grow(self, ms: int) -> None:
        """Time passes, and the records of that time come."""
        self.now_ms += ms
        while len(self.log) < len(self.coming) and self.coming[len(self.log)][1] <= self.now_ms:
            self.log.append(self.coming[len(self.log)])

    def grow_to_the_end(self) -> None:
        """All records come, and some more time passes."""
        self.grow(max(0, self.coming[-1][1] - self.now_ms) + 6000)


class Change:
    """A change of the decision table on its way to the brokers; a value of None deletes."""

    def __init__(self, key: bytes, value: bytes | None) -> None:
        self.key, self.value = key, value
        self.landed = False

    def done(self) -> bool:
        return self.landed


class View:
    """The cluster as one worker sees it, in the place of the lab's broker, with the decision table of that worker."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.log, self.sampled, self.dead = cluster.log, cluster.sampled, cluster.dead
        self.routed: dict[str, list[bytes]] = {}
        self.committed = 0
        self.local: dict[bytes, bytes] = {}
        self.changes: deque[Change] = deque()
        self.recover()

    def recover(self) -> None:
        """Read the decisions and the committed offset, as whoever is given the partition does; own changes stay."""
        self.local = dict(self.cluster.changelog)
        for change in self.changes:
            self._apply(self.local, change)
        self.committed = self.cluster.committed

    def put(self, partition: int, record: DecisionRecord) -> Change:
        assert record.key not in self.local, "a record was overwritten"
        self.local[record.key] = record.encode()
        return self._send(record.key, self.local[record.key])

    def forget(self, partition: int, keys: list[bytes]) -> None:
        for key in keys:
            self.local.pop(key, None)
            self._send(key, None)

    def recovered(self, partition: int) -> list[DecisionRecord]:
        return [decode(key, value) for key, value in self.local.items()]

    def land(self, count: int) -> None:
        """So many changes reach the brokers, in their order."""
        for change in [self.changes.popleft() for _ in range(min(count, len(self.changes)))]:
            self._apply(self.cluster.changelog, change)
            change.landed = True

    @staticmethod
    def _apply(table: dict[bytes, bytes], change: Change) -> None:
        if change.value is None:
            table.pop(change.key, None)
        else:
            table[change.key] = change.value

    def _send(self, key: bytes, value: bytes | None) -> Change:
        self.changes.append(Change(key, value))
        return self.changes[-1]


class Wire(RefusingKafka):
    """The way of outputs to the brokers: what has arrived there may not be acknowledged yet.

    `arrived` is called with the payload of each that reaches the sampled topic, `sent` with each that is produced.
    """

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cast(Any, cluster), batch_bytes=1 << 20)
        self.cluster = cluster
        self.landed = 0
        self.strays: list[Message] = []
        self.sent: Callable[[bytes], None] = lambda _: None

    def produce(self, topic: str, value: bytes, key: bytes | None, to: int, on_delivery: Any, headers: Any) -> None:
        super().produce(topic, value, key, to, on_delivery, headers)
        if topic != DEAD:
            self.sent(value)

    @property
    def spans_under_way(self) -> list[bytes]:
        """Payloads for the sampled topic that are not acknowledged."""
        return [message.content for message in self.under_way if message.topic_name != DEAD]

    def land(self, count: int) -> None:
        """So many more arrive, without an answer."""
        for message in list(self.under_way)[self.landed : self.landed + count]:
            self._write(message)
            self.landed += 1

    def answer(self, batches: int = 1, error: int | None = None) -> None:
        """So many messages are answered; what has arrived before cannot be refused any more."""
        for _ in range(min(batches, len(self.under_way))):
            message = self.under_way.popleft()
            refused = error is not None and not self.landed
            if not refused and not self.landed:
                self._write(message)
            self.landed = max(0, self.landed - 1)
            message.on_delivery(KafkaError(error) if refused and error is not None else None, message)

    def purge(self, *, in_flight: bool) -> None:
        """Of what is thrown away, something may arrive all the same; without `in_flight` the first one stays."""
        kept = [] if in_flight else list(self.under_way)[: self.landed + 1]
        gone = list(self.under_way)[len(kept) :]
        self.strays += gone[self.landed :] if in_flight else []
        self.under_way = deque(kept)
        self.landed = min(self.landed, len(kept))
        for message in gone:
            message.on_delivery(KafkaError(KafkaError._PURGE_QUEUE), message)

    def land_strays(self, count: int) -> None:
        """Of what was thrown away, so many arrive."""
        for _ in range(min(count, len(self.strays))):
            self._write(self.strays.pop(0))

    def _write(self, message: Message) -> None:
        (self.cluster.dead if message.topic_name == DEAD else self.cluster.sampled).append(message.content)


class Owner(Worker):
    """A worker of the next generation of the group; `excused` has the traces it has written without a lease."""

    @classmethod
    def of(cls, cluster: Cluster, specs: Sequence[dict[str, Any]]) -> Owner:
        """Give the partition to a new worker."""
        cluster.generation += 1
        return cls(cast(Broker, View(cluster)), cluster.generation, specs=specs, decision_ttl_ms=DECISION_TTL_MS)

    def __post_init__(self) -> None:
        self.view = cast(View, self.broker)
        self.cluster = self.view.cluster
        self.wire = Wire(self.cluster)
        self.outputs = make_outputs(self.wire)
        self.excused: set[bytes] = set()
        self.now_s = 0.0
        super().__post_init__()

    def send(self, settlement: Settlement, pending: PendingSettlement, partition: int) -> None:
        self.decided += [decision for record in settlement.records for decision in record]
        self.outputs.send(settlement, pending, partition)

    def turn(self) -> None:
        """One round of housekeeping; what was refused is due again."""
        self.now_s += 20.0
        self.outputs.send_again(self.now_s)
        self.pipeline.finish_acknowledged()

    def idle(self) -> None:
        """The source says that it is at the end, and how late it is."""
        if self.at_end:
            self.fetch(0, idle_ms=max(self.last_ms, self.cluster.now_ms))

    def commit(self) -> None:
        """Kafka takes it from the owner of this generation alone."""
        watermark = self.pipeline.watermarks().get(0, 0)
        if self.generation == self.cluster.generation and watermark > self.cluster.committed:
            self.cluster.committed = self.view.committed = watermark

    def lose_lease(self) -> None:
        """No heartbeat was answered in time: as the worker's node does it."""
        self.outputs.purge()
        self.pipeline.start_over()

    def lose_partition(self) -> None:
        """Another one has it, and this one goes on as if it had not: all it sends from now on is out of order."""
        self.wire.sent = lambda payload: self.excused.update(spans_in([payload]))

    def revoked(self, *, flushed: bool) -> None:
        """A rebalance begins: what can be finished is, then the work rests."""
        if flushed:
            self.flush()
        self.commit()
        if self.pipeline.unfinished:
            self.outputs.purge(in_flight=False)
        self.pipeline.hold_all()

    def assigned(self) -> None:
        """The rebalance is over, and the partition is this worker's in the group's next generation."""
        self.cluster.generation += 1
        self.wire.sent = lambda _: None
        self.view.recover()
        self.taken_up(self.cluster.generation - self.generation)

    def flush(self) -> None:
        """Everything that was sent is answered, until nothing is left to send."""
        for _ in range(100):
            self.turn()
            self.wire.answer(1 << 30)
            self.pipeline.finish_acknowledged()
            self.view.land(1 << 30)
            self.pipeline.finish_acknowledged()
            if not (self.pipeline.unfinished or len(self.outputs)):
                return
        raise AssertionError("outputs that are never done")

    def finish(self) -> None:
        """Read to the end and let time pass until all is committed."""
        self.cluster.grow_to_the_end()
        for _ in range(100):
            self.fetch(1000)
            self.idle()
            self.flush()
            self.commit()
            if self.cluster.committed == len(self.cluster.coming):
                return
        raise AssertionError(f"stuck at {self.cluster.committed} of {len(self.cluster.coming)}")
