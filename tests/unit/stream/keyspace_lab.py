"""A keyspace topic in memory, and workers that exchange counts over it; time and faults are the test's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from policies.partition_exchange import PartitionExchange
from sampler.stream.keyspace import Keyspace
from sampler.stream.keyspace_codec import Decoded, decode

START_MS = 1_800_000_000_000
INTERVAL_MS = 5000
START = START_MS // INTERVAL_MS
POLICY = "rate@0123"


@dataclass
class Topic:
    """What was written, in order."""

    records: list[tuple[bytes, bytes | None, int]] = field(default_factory=list)
    now_ms: int = START_MS

    def compacted(self) -> Topic:
        """Only the newest record of each key, as a worker may find it that starts late."""
        newest = {key: place for place, (key, _, _) in enumerate(self.records)}
        return Topic([self.records[place] for place in sorted(newest.values())], self.now_ms)


@dataclass
class Link:
    """One worker's way to the topic and back; both directions can be cut. It is what reads, too."""

    log: Topic
    topic: str = "keyspace"
    hears: bool = True
    speaks: bool = True
    caught_up: bool = True
    missing: bool = False
    partitions: int = 1
    started: bool = False
    closed: bool = False
    read: int = 0

    def start(self) -> None:
        self.started = True

    def take(self) -> list[tuple[bytes, int, Decoded]]:
        if not (self.started and self.hears):
            return []
        fresh, self.read = self.log.records[self.read :], len(self.log.records)
        return [(key, at_ms, decode(key, value, at_ms)) for key, value, at_ms in fresh]

    def close(self, timeout_s: float = 0.0) -> None:
        self.closed = True


class Sender:
    """The writing half of a link."""

    def __init__(self, link: Link) -> None:
        self.link = link

    def start(self) -> None:
        """There is nothing to connect to."""

    def send(self, key: bytes, value: bytes | None, partition: int) -> None:
        assert partition == 0
        if self.link.speaks:
            self.link.log.records.append((key, value, self.link.log.now_ms))

    def poll(self) -> None:
        """Answers are not waited for."""

    def close(self, timeout_s: float) -> None:
        self.link.closed = True


@dataclass
class Worker:
    """A worker's keyspace with the partitions it has, by their stream time."""

    topic: Topic
    partitions: int
    stream_ms: dict[int, int]
    now_s: float = 1000.0

    def __post_init__(self) -> None:
        self.link = Link(self.topic)
        self.keyspace = Keyspace(
            self.partitions, self.link, Sender(self.link), lambda: self.now_s, lambda: self.topic.now_ms
        )
        self.keyspace.use_policies({POLICY})
        self.exchange: dict[int, PartitionExchange] = {}
        self.own(self.stream_ms)

    def own(self, stream_ms: Mapping[int, int]) -> None:
        """These are the worker's partitions from now on."""
        for partition in stream_ms:
            if partition not in self.exchange or partition not in self.stream_ms:
                found = self.keyspace.exchange_of(partition)
                assert found is not None
                self.exchange[partition] = found
        self.stream_ms = dict(stream_ms)

    def count(self, interval: int, counts: Mapping[int, float]) -> None:
        """Each partition counts so much in an interval."""
        for partition, value in counts.items():
            self.exchange[partition].publish(POLICY, interval, INTERVAL_MS, {"": (value,)})

    def go_to(self, interval: int, seconds: float = 1.0) -> None:
        """Stream time of all partitions comes to the beginning of an interval, and what has ended is told."""
        self.now_s += seconds
        self.stream_ms = dict.fromkeys(self.stream_ms, interval * INTERVAL_MS)
        self.look()

    def look(self) -> None:
        """Exchange what there is."""
        self.keyspace.look(self.now_s, lambda: self.stream_ms, at_once=True)

    def sums(self, partition: int, interval: int) -> tuple[float, bool]:
        """(the sum, whether it is stale) that a partition is given."""
        found = self.exchange[partition].sums(POLICY, interval)
        return found.counts.get("", (0.0,))[0], found.stale


def go_to(workers: Iterable[Worker], interval: int) -> None:
    """All workers' stream time comes to an interval; each then hears what the others have told."""
    for worker in workers:
        worker.topic.now_ms = max(worker.topic.now_ms, interval * INTERVAL_MS)
        worker.go_to(interval)
    for worker in workers:
        worker.keyspace.refresh()
