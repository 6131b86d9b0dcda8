"""From a fetched batch to a committed watermark: every batch goes through its partition's engine, what the engine hands
out is produced, and when the broker has acknowledged it the decisions are recorded and the watermark moves.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from policies.any_set import AnyPolicySet
from policies.exchange import Exchange
from sampler.engine.checkpoint import CheckpointError
from sampler.engine.chunk_store import ChunkStore
from sampler.engine.decision_memory import DecisionMemory, owner_after, trustworthy
from sampler.engine.partition import PartitionEngine, PartitionStart
from sampler.engine.retention import Retention
from sampler.engine.settings import EngineSettings
from sampler.engine.settlement import EngineCounts
from sampler.engine.watermark import PendingSettlement, Watermark
from sampler.log_fields import where
from sampler.otlp import Scanner, ScanPlan, compile_plan
from sampler.stream.batch import SpanBatch
from sampler.stream.checkpoints import Checkpoints
from sampler.stream.relief import PipelineLimits, Relief
from sampler.stream.sinks import ByService, OutputSink, RecordSink

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Work:
    engine: PartitionEngine
    watermark: Watermark
    epoch: int
    generation: int


class _Wanted(NamedTuple):
    """A partition that is to be read again: by a run of at least this epoch, from this offset.

    `last_ms` is the stream time before that offset, -1 where it is not known.
    """

    epoch: int
    offset: int
    last_ms: int


class Pipeline:
    """The work of one worker over the partitions it has been given."""

    def __init__(
        self,
        settings: EngineSettings,
        policies: AnyPolicySet,
        scanner: Scanner,
        store: ChunkStore,
        outputs: OutputSink,
        table: RecordSink,
        *,
        limits: PipelineLimits,
        committed: Callable[[int], int],
        rewind: Callable[[int, int, int], None],
        current_epoch: Callable[[], int],
        wall_ms: Callable[[], int],
        read_header: Callable[[str], None] = lambda _: None,
        checkpoints: Checkpoints | None = None,
        retention: Retention | None = None,
        services: ByService | None = None,
        exchange_of: Callable[[int], Exchange | None] = lambda _: None,
    ) -> None:
        """`read_header` is told which header of the records names tenants, now and whenever it changes; `exchange_of`
        gives what tells a partition's limiters of the other partitions.
        """
        self._services = services
        self._counts = self._new_counts()
        self._settings = settings
        self._policies = policies
        self._scanner = scanner
        self._plan = compile_plan(policies.span_conditions)
        self._store = store
        self._outputs = outputs
        self._table = table
        self._committed = committed
        self._rewind = rewind
        self._current_epoch = current_epoch
        self._wall_ms = wall_ms
        self._read_header = read_header
        self._checkpoints = checkpoints
        self.retention = retention
        self._exchange_of = exchange_of
        self._read_header(policies.by_header.name)
        self._works: dict[int, _Work] = {}
        self._relief = Relief(limits, store, lambda: [work.engine for work in self._works.values()])
        self._held: dict[int, _Work] = {}
        self._wanted: dict[int, _Wanted] = {}
        self._epoch_floor = 0
        self.restarts = 0
        """How often a partition had to be read again from its watermark."""
        self.largest_tick_traces = 0
        """Most traces that one settlement has written out."""
        self.resumed = 0
        """How often a partition that came back after a rebalance could be gone on with."""

    def process(self, batch: SpanBatch) -> None:
        """Take one batch as far as it goes now."""
        work = self._work_of(batch)
        if work is None:
            return
        engine, wall_ms = work.engine, self._wall_ms()
        if batch.records:
            engine.append(batch.records, wall_ms, batch.tenants)
            self._relieve()
        if batch.idle_ms is not None:
            engine.advance(batch.idle_ms, wall_ms)
        self._hand_out(work)
        self.finish_acknowledged()

    def use_policies(self, policies: AnyPolicySet, plan: ScanPlan, settings: EngineSettings) -> None:
        """Decide by another policy set from now on; `plan` is that of its span conditions.

        Between two batches. Traces decided before keep their verdict, pending ones their payload and their deadline.
        """
        before = self._policies
        if policies.span_conditions == before.span_conditions and policies.plugin_code == before.plugin_code:
            # The bits of all summaries stay what they are, and so do the answers that matchers have remembered.
            plan = self._plan
        self._policies, self._plan, self._settings = policies, plan, settings
        self._read_header(policies.by_header.name)
        for work in (*self._works.values(), *self._held.values()):
            work.engine.use_policies(policies, plan, settings)

    def finish_acknowledged(self) -> None:
        """Record the decisions whose outputs are acknowledged, and let the watermarks follow."""
        for partition, work in list(self._works.items()):
            if work.watermark.failed:
                self._start_over(partition, work)
            elif work.watermark.finish(partial(self._table.put, partition)):
                expired = work.engine.expire_decisions(self._committed(partition))
                if expired:
                    self._table.forget(partition, expired)

    def watermarks(self) -> Mapping[int, int]:
        """What may be committed, by partition."""
        return {partition: work.watermark.offset for partition, work in self._works.items()}

    def take_counts(self) -> EngineCounts:
        """What happened since the last call."""
        counts, self._counts = self._counts, self._new_counts()
        for work in (*self._works.values(), *self._held.values()):
            work.engine.count_into(self._counts)
        return counts

    def _new_counts(self) -> EngineCounts:
        return EngineCounts(services=None if self._services is None else self._services.received)

    @property
    def decision_wait_ms(self) -> int:
        """How long a trace waits, by the running policies."""
        return self._settings.decision_wait_ms

    @property
    def plan(self) -> ScanPlan:
        """The scan plan in use."""
        return self._plan

    @property
    def engines(self) -> Iterable[PartitionEngine]:
        """The engines of all partitions at work."""
        return [work.engine for work in self._works.values()]

    @property
    def unfinished(self) -> int:
        """Settlements that wait for an acknowledgement."""
        return sum(len(work.watermark) for work in self._works.values())

    @property
    def recording(self) -> dict[int, int]:
        """Partitions whose decisions are on their way to the brokers, with how many settlements were finished there."""
        return {p: work.watermark.finished for p, work in self._works.items() if work.watermark.recording}

    def shed_memory(self, limit_bytes: int, at_most_bytes: int) -> int:
        """Spill what lies in memory beyond `limit_bytes`, at most so much in one step; returns how much it was."""
        return self._relief.shed(limit_bytes, at_most_bytes)

    def decide_oldest(self) -> bool:
        """Decide a step of the oldest traces early, where nothing else frees memory; False where there are none."""
        step = self._relief.oldest()
        if step is not None:
            self._decide_early(*step)
        return step is not None

    def drop_pending(self) -> int:
        """The worker ends: drop the undecided traces where the settings say so, and return how many there were."""
        dropped = 0
        for work in self._works.values() if self._settings.drop_pending_at_stop else ():
            dropped += len(work.engine.table)
            work.engine.drop_all()
            self._hand_out(work)
        return dropped

    def hold_all(self) -> None:
        """The group is being rebalanced: work on every partition rests until it is known who has it next.

        What was fetched until now is refused if it still comes.
        """
        self._close(self._held)
        self._held, self._works = self._works, {}
        self._wanted.clear()
        self._epoch_floor = self._current_epoch() + 1

    def drop_held_but(self, partitions: Collection[int]) -> None:
        """Of the resting work give up that on all partitions but these."""
        self._close({p: work for p, work in self._held.items() if p not in partitions})
        self._held = {p: work for p, work in self._held.items() if p in partitions}

    def save(self, monotonic_s: Callable[[], float], deadline_s: float) -> None:
        """Write checkpoints of all partitions on which nothing is unfinished; call it when nothing is processed."""
        if self._checkpoints is not None:
            works = [*self._works.values(), *self._held.values()]
            finished = [work.engine for work in works if not len(work.watermark)]
            self._checkpoints.save(finished, monotonic_s, deadline_s)

    @staticmethod
    def _close(works: Mapping[int, _Work]) -> None:
        for work in works.values():
            work.watermark.abandon()
            work.engine.close()

    def _work_of(self, batch: SpanBatch) -> _Work | None:
        """The work a batch goes to, or None where it is stale or something before it is missing."""
        partition = batch.partition
        if batch.epoch < self._epoch_floor:
            return None
        if batch.replaced:
            self._forget_replaced(batch)
        wanted = self._wanted.get(partition)
        if wanted is not None:
            if batch.epoch < wanted.epoch:
                return None
            if batch.epoch_offset != wanted.offset:
                # The source went back to somewhere else meanwhile: only a run from where it was asked to is complete.
                self._read_again(partition, batch.epoch, wanted.offset, wanted.last_ms)
                return None
            del self._wanted[partition]
        work = self._works.get(partition)
        if work is None:
            work = self._works[partition] = self._resumed(batch) or self._begin(batch)
        if work.engine.next_offset != batch.start_offset:
            # A batch between was thrown away on its way here, as Faust does around a rebalance: read it again.
            self._read_again(partition, batch.epoch, work.engine.next_offset, work.engine.time.now_ms)
            return None
        if batch.records and batch.header != self._policies.by_header.name:
            # Fetched before the policies changed, without the header that names tenants now.
            self._read_again(partition, batch.epoch, batch.start_offset, work.engine.time.now_ms)
            return None
        work.epoch, work.generation = batch.epoch, batch.generation
        return work

    def _forget_replaced(self, batch: SpanBatch) -> None:
        """The topic has other records now at the offsets that were read: nothing known by offset holds any more.

        What had come is decided on what has come, because the rest of it will not come again.
        """
        partition = batch.partition
        work = self._works.get(partition)
        if work is not None and work.epoch == batch.epoch:
            return
        self._wanted.pop(partition, None)
        if work is not None:
            work.engine.decide_all("topic_replaced")
            self._hand_out(work)
            work.engine.close()
            del self._works[partition]
        self._table.forget(partition, [record.key for record in self._table.recovered(partition)])

    def _read_again(self, partition: int, epoch: int, offset: int, last_ms: int) -> None:
        """Go to `offset`, before which stream time was `last_ms`, and take nothing from runs up to `epoch`."""
        before = self._wanted.get(partition)
        self._wanted[partition] = _Wanted(max(epoch + 1, before.epoch if before else 0), offset, last_ms)
        self._rewind(partition, offset, last_ms)

    def _resumed(self, batch: SpanBatch) -> _Work | None:
        """The resting work on a partition that has come back to us, if nobody can have had it in between.

        So the group's generation must be the next one, and the committed offset, where the source begins, one of ours.
        """
        work = self._held.pop(batch.partition, None)
        if work is None:
            return None
        if batch.generation != work.generation + 1 or batch.epoch_offset > work.watermark.offset:
            self._close({batch.partition: work})
            return None
        logger.info(
            "partition %d is ours again: going on from offset %d with %d undecided traces",
            batch.partition, work.engine.next_offset, len(work.engine.table),
            extra=where(None, batch.partition, work.engine.next_offset),
        )  # fmt: skip
        self.resumed += 1
        return work

    def _begin(self, batch: SpanBatch) -> _Work:
        partition, offset, memory = batch.partition, batch.epoch_offset, DecisionMemory()
        recovered = self._table.recovered(partition)
        believed, others = trustworthy(recovered)
        handled, state = 0, None
        for record in believed:
            memory.restore(record)
            handled = max(handled, record.next_offset)
            state = dict(record.state) if record.state is not None else state
        if others:
            logger.warning("partition %d: %d records of owners that had lost it are deleted", partition, len(others))
            self._table.forget(partition, [record.key for record in others])
        owner = owner_after(recovered, batch.generation)
        logger.info(
            "partition %d from offset %d, %d remembered decisions, handled below %d, term %d",
            partition, offset, len(memory), handled, owner.term, extra=where(None, partition, offset),
        )  # fmt: skip
        last_record = max((record.id for record in believed), default=None)
        start = PartitionStart(partition, owner, offset, handled, state, last_record, self._exchange_of(partition))
        return _Work(self._engine(start, memory), Watermark(offset), batch.epoch, batch.generation)

    def _engine(self, start: PartitionStart, memory: DecisionMemory) -> PartitionEngine:
        """An engine at its start, or where a checkpoint says that the partition stood."""

        def new() -> PartitionEngine:
            return PartitionEngine(
                start, self._settings, self._policies, self._scanner, self._plan, self._store, memory, self._counts,
                self.retention,
            )  # fmt: skip

        engine = new()
        try:
            if self._checkpoints is not None and self._checkpoints.take(engine, start.offset):
                logger.info(
                    "partition %d: %d undecided traces from the checkpoint, going on from offset %d",
                    start.partition, len(engine.table), engine.next_offset, extra=where(None, start.partition),
                )  # fmt: skip
        except CheckpointError as error:
            about = where(None, start.partition)
            logger.warning("partition %d: %s; it is read again", start.partition, error, extra=about)
            engine.close()
            return new()
        return engine

    def hand_out(self, engine: PartitionEngine) -> PendingSettlement | None:
        """Produce what a partition has to write; None where there is nothing, or it is not at work here any more."""
        work = self._works.get(engine.partition)
        return self._hand_out(work) if work is not None and work.engine is engine else None

    def _hand_out(self, work: _Work) -> PendingSettlement | None:
        settlement = work.engine.settle()
        pending = None
        if settlement is not None:
            pending = work.watermark.begin(settlement)
            self.largest_tick_traces = max(self.largest_tick_traces, len(settlement.written_traces))
            if self._services is not None:
                self._services.sampled.add(settlement.outputs, 1)
                self._services.sampled.add(settlement.routed, 2)
            self._outputs.send(settlement, pending, work.engine.partition)
        return pending

    def _relieve(self) -> None:
        """Decide the oldest traces of all partitions early while a hard limit is exceeded."""
        while (step := self._relief.next_to_decide()) is not None:
            self._decide_early(*step)

    def _decide_early(self, engine: PartitionEngine, count: int) -> None:
        engine.decide_oldest(count, "table_full")
        self._hand_out(self._works[engine.partition])

    def start_over(self) -> None:
        """Drop what is gathered and undecided in every partition, and read it again from the watermarks."""
        self.drop_held_but(())
        for partition, work in list(self._works.items()):
            self._start_over(partition, work)

    def _start_over(self, partition: int, work: _Work) -> None:
        self.restarts += 1
        about = where(None, partition, work.watermark.offset)
        logger.error("partition %d: reading again from offset %d", partition, work.watermark.offset, extra=about)
        work.watermark.abandon()
        work.engine.close()
        del self._works[partition]
        self._read_again(partition, work.epoch, work.watermark.offset, -1)
