"""The `tail://` transport: Faust's aiokafka driver, with the span topic fetched in batches by a `SpanSource`.

Faust keeps the group, its assignments, changelog topics and the commit loop. Overridden are: where records of the span
topic come from, that a whole fetch of a partition is one event, and which offsets may be committed. The overridden
methods are private to Faust, so the versions are pinned and a test compares their source.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, cast

from aiokafka.structs import TopicPartition
from faust.transport.drivers import TRANSPORTS
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from sampler.clock import monotonic_s
from sampler.stream.batch import SpanBatch
from sampler.stream.faust_log import FAUST_LOG
from sampler.stream.span_source import SpanSource

FETCH_TIMEOUT_S = 0.03
"""How long a fetch waits for more: short, because it returns at the limit or at the end of this time, not at the first
record."""
SCHEME = "tail"


class TailHooks(Protocol):
    """What the transport asks of the worker; found at `app.tail`."""

    span_topic: str
    source: SpanSource

    def may_fetch(self) -> bool:
        """Whether spans may be fetched: the tables are recovered and the outputs keep up."""
        ...

    def lets_go(self) -> bool:
        """Whether, while no spans may be fetched, what was read ahead is to be given up too."""
        ...

    def watermarks(self) -> Mapping[int, int]:
        """The offset that may be committed, by partition of the span topic."""
        ...

    async def before_handover(self, *, stopping: bool) -> None:
        """Partitions are about to be given up, the worker itself perhaps too: finish what can be finished."""
        ...

    def heartbeat_succeeded(self, sent_s: float) -> None:
        """The group coordinator has answered a heartbeat, or let us join, asked at this monotonic time."""
        ...


def hooks_of(app: Any) -> TailHooks:
    """The worker behind a Faust app."""
    return cast(TailHooks, app.tail)


class TailConsumerThread(driver.AIOKafkaConsumerThread):
    """aiokafka's thread, which asks the span source for the partitions of the span topic."""

    logger = FAUST_LOG
    _assigned_version = 0
    _assigned_generation = 0
    _followed_version = 0

    @property
    def hooks(self) -> TailHooks:
        return hooks_of(self.app)

    async def on_start(self) -> None:
        """Start aiokafka, and hear of everything that proves our membership."""
        self._fetch_executor = ThreadPoolExecutor(1, thread_name_prefix="span-fetch")
        await super().on_start()
        coordinator = self._ensure_consumer()._coordinator
        coordinator._do_heartbeat = self._proving_membership(coordinator._do_heartbeat)
        coordinator._do_rejoin_group = self._proving_membership(coordinator._do_rejoin_group)

    def _proving_membership(self, request: Callable[..., Awaitable[bool]]) -> Callable[..., Awaitable[bool]]:
        async def witnessed(*args: Any) -> bool:
            # The coordinator counts from when it gets the request; its answer may be read much later.
            sent_s = monotonic_s()
            succeeded = await request(*args)
            if succeeded:
                self.hooks.heartbeat_succeeded(sent_s)
            return succeeded

        return witnessed

    async def on_thread_stop(self) -> None:
        """Stop fetching before aiokafka stops."""
        source = self.hooks.source
        await asyncio.get_running_loop().run_in_executor(self._fetch_executor, source.close)
        self._fetch_executor.shutdown(wait=True)
        await super().on_thread_stop()

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Keep aiokafka from fetching spans, and have the source follow with the next fetch."""
        consumer = self._ensure_consumer()
        for tp in self._span_partitions(assigned):
            consumer.pause(TopicPartition(tp.topic, tp.partition))
        self._assigned_generation = generation_id
        self._assigned_version += 1
        await super().on_partitions_assigned(assigned, generation_id)

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109  # Faust's signature
        max_records: int | None = None,
    ) -> dict[TP, list[Any]]:
        if not self.consumer.flow_active:
            return {}
        spans = self._span_partitions(active_partitions)
        others = set(active_partitions) - spans
        wanted = {tp.partition for tp in spans} if self.hooks.may_fetch() else set()
        if not spans or not (wanted or self.hooks.lets_go()):
            if not others:
                # aiokafka leaves the group when nobody has fetched for the maximum poll interval: to wait for the
                # brokers is no reason to.
                with consumer._fetcher._subscriptions.fetch_context():
                    await asyncio.sleep(FETCH_TIMEOUT_S)
                return {}
            wait_s = timeout if not spans else FETCH_TIMEOUT_S
            return await self._fetch_others(consumer, others, wait_s, max_records)
        records: dict[TP, list[Any]] = {}
        if others:
            records.update(await self._fetch_others(consumer, others, 0, max_records))
        # As above: the span fetch counts too.
        with consumer._fetcher._subscriptions.fetch_context():
            await self._follow_assignment(consumer)
            batches = await asyncio.get_running_loop().run_in_executor(
                self._fetch_executor, self.hooks.source.fetch, wanted, FETCH_TIMEOUT_S
            )
        for batch in batches:
            records[TP(self.hooks.span_topic, batch.partition)] = [batch]
        return records

    async def _fetch_others(
        self, consumer: Any, others: set[TP], wait_s: float | None, max_records: int | None
    ) -> dict[TP, list[Any]]:
        return dict(await super()._fetch_records(consumer, others, wait_s, max_records))

    async def _follow_assignment(self, consumer: Any) -> None:
        version, generation = self._assigned_version, self._assigned_generation
        if self._followed_version == version:
            return
        committed: dict[int, int | None] = {}
        for tp in self._span_partitions(self.assignment()):
            committed[tp.partition] = await consumer.committed(TopicPartition(tp.topic, tp.partition))
        await asyncio.get_running_loop().run_in_executor(
            self._fetch_executor, self.hooks.source.assign, committed, generation
        )
        self._followed_version = version

    def _span_partitions(self, tps: Iterable[TP]) -> set[TP]:
        topic = self.hooks.span_topic
        return {TP(tp.topic, tp.partition) for tp in tps if tp.topic == topic}

    def highwater(self, tp: TP) -> int:
        """The offset after the last record of a partition."""
        if tp.topic == self.hooks.span_topic:
            return self.hooks.source.high_watermark(tp.partition)
        return int(super().highwater(tp) or 0)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's check looks at aiokafka's fetches, of which there are none for spans; health has its own."""
        if tp.topic != self.hooks.span_topic:
            super().verify_event_path(now, tp)


class TailConsumer(driver.Consumer):
    """Faust's consumer, which commits watermarks."""

    logger = FAUST_LOG

    @property
    def hooks(self) -> TailHooks:
        return hooks_of(self.app)

    def _new_consumer_thread(self) -> TailConsumerThread:
        return TailConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        if not isinstance(record, SpanBatch):
            return super()._to_message(tp, record)
        # Faust drops what lies below its read offset, and with it whatever is read again on purpose. That batches
        # follow each other without a gap is checked where they are processed.
        self._read_offset[tp] = None
        return ConsumerMessage(
            tp.topic, tp.partition, record.start_offset, 0.0, 0, [], None, cast(Any, record), None, 0, 0, tp,
            generation_id=self.app.consumer_generation_id,
        )  # fmt: skip

    async def wait_empty(self) -> None:
        """Finish outputs before the last commit of an assignment, so that the next owner need not repeat them."""
        stopping = self.app.should_stop and not self.app.crashed
        await self.hooks.before_handover(stopping=stopping)
        await super().wait_empty()

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        hooks = self.hooks
        tps = [TP(hooks.span_topic, partition) for partition in hooks.watermarks()]
        return (tp for tp in tps if topics is None or tp in topics or tp.topic in topics)

    def _filter_committable_offsets(self, tps: Iterable[TP]) -> dict[TP, int]:
        # Faust commits only what is beyond the last commit, but a topic that was created again begins anew.
        watermarks = self.hooks.watermarks()
        return {
            tp: watermarks[tp.partition]
            for tp in tps
            if tp.partition in watermarks and self._committed_offset[tp] != watermarks[tp.partition]
        }

    def committed_offset(self, tp: TP) -> int:
        """The watermark that was committed last, 0 where there is none."""
        return self._committed_offset[tp] or 0


class TailTransport(driver.Transport):
    """The transport behind `tail://host:port`."""

    Consumer = TailConsumer


def register() -> None:
    """Make `tail://` known to Faust."""
    TRANSPORTS.aliases[SCHEME] = f"{__name__}:{TailTransport.__name__}"
