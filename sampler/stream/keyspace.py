"""The exchange of the tier over Kafka: what this worker's partitions count goes to a compacted topic, and what all
partitions have counted comes back from it.

Everything here runs where the policies run, and waits for nothing; reading and writing wait in threads of their own. A
worker that does not see its own word come back within TOUCH_S is out of touch: either it does not hear what others
count, or they do not hear of it. So it goes by its own counts, and says so to whoever still hears it.
"""

from __future__ import annotations

import logging
import secrets
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple, Protocol
from weakref import WeakValueDictionary

from policies.partition_exchange import PartitionExchange
from policies.tier_counts import NO_REPORTS, Report, TierCounts
from sampler.stream.keyspace_codec import ClockRecord, CountsPart, Decoded, Removed, encode_clock, encode_counts
from sampler.stream.keyspace_parts import Parts
from sampler.stream.keyspace_removal import Removal

logger = logging.getLogger(__name__)

CLOCK_MS = 1000
"""Stream time between two words on how far a partition is."""
LOOK_S = 0.2
TOUCH_S = 5.0
WARM_S = 10.0
"""How long a worker waits for what the topic holds before it begins to decide."""
MAX_UNSENT = 1000
"""Reports that wait until the topic is found; beyond them the oldest go."""
CLOSE_S = 2.0


class Reader(Protocol):
    """What comes from the topic; see `sampler.stream.keyspace_reader.KeyspaceReader`."""

    topic: str
    partitions: int
    missing: bool

    @property
    def caught_up(self) -> bool: ...
    def start(self) -> None: ...
    def take(self) -> list[tuple[bytes, int, Decoded]]: ...
    def close(self) -> None: ...


class Writer(Protocol):
    """What goes to the topic; see `sampler.stream.keyspace_writer.KeyspaceWriter`."""

    def start(self) -> None: ...
    def send(self, key: bytes, value: bytes | None, partition: int) -> None: ...
    def poll(self) -> None: ...
    def close(self, timeout_s: float) -> None: ...


class _Word(NamedTuple):
    number: int
    sent_s: float


class Keyspace:
    """The counts of the tier, for the partitions of this worker. It costs nothing until a policy asks for it."""

    def __init__(
        self,
        partitions: int,
        reader: Reader,
        writer: Writer,
        monotonic_s: Callable[[], float],
        wall_ms: Callable[[], int],
    ) -> None:
        """`partitions` of the span topic; `reader` and `writer` are started when the first policy needs them."""
        self.tier = TierCounts(partitions)
        self.lag_s = 0.0
        """Since when this worker waits for its own word to come back; 0 where that takes less than TOUCH_S."""
        self._reader = reader
        self._writer = writer
        self.running = False
        """Whether counts are exchanged at all."""
        self._clock = monotonic_s
        self._id = secrets.token_hex(6)
        self._keys: Collection[str] = ()
        # What a policy knows of a partition hangs on its exchange, which goes with the work on the partition.
        self._bound: WeakValueDictionary[int, PartitionExchange] = WeakValueDictionary()
        self._parts = Parts()
        self._removal = Removal(wall_ms)
        self._told: dict[int, int] = {}
        self._unsent: deque[tuple[int, Report]] = deque(maxlen=MAX_UNSENT)
        self._number = 0
        self._waited_for: _Word | None = None
        self._look_again_s = self._started_s = 0.0
        self._warm = False
        self._out_of_touch = False

    def use_policies(self, exchange_keys: Collection[str]) -> None:
        """These are the keys of the limiters that ask, from now on."""
        self._keys = exchange_keys
        if exchange_keys and not self.running and self.tier.partitions > 1:
            self.running = True
            self._started_s = self._clock()
            self._reader.start()
            self._writer.start()

    def exchange_of(self, partition: int) -> PartitionExchange | None:
        """For whoever begins to work on a partition; None where it is the only one."""
        if self.tier.partitions < 2:
            return None
        exchange = self._bound[partition] = PartitionExchange(self.tier, partition, refresh=self.refresh)
        return exchange

    def warm(self, now_s: float) -> bool:
        """Whether what the topic held at the start is known, so that deciding may begin; it is in WARM_S at the latest.

        Policies that begin to ask later do not wait.
        """
        if not self._warm and self.running and not (self._reader.caught_up or self._reader.missing):
            if now_s - self._started_s < WARM_S:
                return False
            logger.warning(
                "%s was not read to its end within %.0f s: budgets and rates of the tier go by equal parts of the "
                "partitions until it is", self._reader.topic, WARM_S,
            )  # fmt: skip
        self._warm = True
        return True

    def look(self, now_s: float, stream_ms_of: Callable[[], Mapping[int, int]], *, at_once: bool = False) -> None:
        """Tell the others how far the partitions at work here are, and what they have counted; call it often.

        `stream_ms_of` gives the stream time of each. It does little unless LOOK_S have passed, or `at_once` says so.
        """
        if not self.running:
            return
        self._writer.poll()
        if now_s < self._look_again_s and not at_once:
            return
        self._look_again_s = now_s + LOOK_S
        self.refresh()
        stream_ms = stream_ms_of()
        self._judge(now_s, others=len(stream_ms) < self.tier.partitions)
        for partition, at_ms in stream_ms.items():
            self._tell(now_s, partition, at_ms)
        self.tier.asked_only(self._keys, stream_ms.keys())
        for key, partition in self._removal.due(now_s, self._keys, stream_ms.keys()):
            self._send(key, None, partition)

    def refresh(self) -> None:
        """Take in what has come."""
        if not self.running:
            return
        for key, timestamp_ms, record in self._reader.take():
            match record:
                case ClockRecord():
                    self._hear(record)
                case CountsPart():
                    self._removal.saw(key, record, timestamp_ms)
                    report = self._parts.add(record)
                    if report is not None and record.by != self._id:
                        self.tier.add(record.partition, report)
                case Removed():
                    self._removal.gone(key, record)
                    self.tier.forget(record.policy, record.partition)

    def close(self) -> None:
        """Stop; what was counted last may still leave."""
        if self.running:
            self._writer.close(CLOSE_S)
            self._reader.close()

    def _hear(self, clock: ClockRecord) -> None:
        if clock.by != self._id:
            self.tier.clock(clock.partition, clock.stream_ms, reported=clock.reported, deaf=clock.deaf)
        elif self._waited_for is not None and clock.number >= self._waited_for.number:
            self._waited_for = None

    def _judge(self, now_s: float, *, others: bool) -> None:
        """Whether this worker is in touch; where it has all partitions itself it needs no touch."""
        waited_for = self._waited_for
        waiting_s = now_s - (waited_for.sent_s if waited_for is not None else now_s)
        if not self._reader.partitions:
            waiting_s = now_s - self._started_s
        out_of_touch = waiting_s > TOUCH_S
        self.lag_s = waiting_s if out_of_touch else 0.0
        self.tier.cut_off = out_of_touch and others
        if out_of_touch != self._out_of_touch:
            self._out_of_touch = out_of_touch
            if out_of_touch:
                logger.warning(
                    "%s: own counts do not come back: tier-wide rates go by equal parts of the partitions",
                    self._reader.topic,
                )
            else:
                logger.info("%s: counts are exchanged again", self._reader.topic)

    def _tell(self, now_s: float, partition: int, stream_ms: int) -> None:
        exchange = self._bound.get(partition)
        reports = exchange.finish(stream_ms) if exchange is not None else []
        self.tier.clock(partition, stream_ms)
        grid = stream_ms // CLOCK_MS
        if not reports and self._told.get(partition) == grid:
            return
        self._unsent.extend((partition, report) for report in reports)
        if not self._reader.partitions:
            return
        self._told[partition] = grid
        while self._unsent:
            source, report = self._unsent.popleft()
            for key, value in encode_counts(source, self._id, report):
                self._send(key, value, source)
        self._number += 1
        known = self.tier.reported(partition)
        reported = {key: known.get(key, NO_REPORTS) for key in self._keys}
        clock = ClockRecord(partition, self._id, self._number, stream_ms, self._out_of_touch, reported)
        # After the counts: where the clock is known, so are they.
        self._send(*encode_clock(clock), partition)
        if self._waited_for is None:
            self._waited_for = _Word(self._number, now_s)

    def _send(self, key: bytes, value: bytes | None, partition: int) -> None:
        """Records of one source partition keep their order."""
        if self._reader.partitions:
            self._writer.send(key, value, partition % self._reader.partitions)
