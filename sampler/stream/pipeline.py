"""From a fetched batch to a committed watermark: every batch goes through its partition's engine, what the engine hands
out is produced, and when the broker has acknowledged it the decisions are recorded and the watermark moves.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

from policies.policy_set import PolicySet
from sampler.engine.chunk_store import ChunkStore
from sampler.engine.decision_memory import DecisionMemory, trustworthy
from sampler.engine.decision_record import DecisionRecord, Owner
from sampler.engine.partition import PartitionEngine, PartitionStart
from sampler.engine.settings import EngineSettings
from sampler.engine.settlement import EngineCounts, Settlement
from sampler.engine.watermark import PendingSettlement, Recording, Watermark
from sampler.otlp import Scanner, compile_plan
from sampler.stream.batch import SpanBatch

logger = logging.getLogger(__name__)

RELIEF_SHARE = 100
"""At a hard limit one in this many of the undecided traces is decided early, so that it is not hit at every batch."""


class OutputSink(Protocol):
    """Where outputs go."""

    unacknowledged_bytes: int

    def send(self, settlement: Settlement, pending: PendingSettlement, partition: int) -> None: ...


class RecordSink(Protocol):
    """Where decisions are recorded."""

    def put(self, partition: int, record: DecisionRecord) -> Recording: ...
    def forget(self, partition: int, keys: list[bytes]) -> None: ...
    def recovered(self, partition: int) -> list[DecisionRecord]: ...


@dataclass(slots=True, eq=False)
class _Work:
    engine: PartitionEngine
    watermark: Watermark
    epoch: int


class _Wanted(NamedTuple):
    """A partition that is to be read again: by a run of at least this epoch, from this offset."""

    epoch: int
    offset: int


@dataclass(slots=True)
class PipelineLimits:
    """Hard limits of the trace table over all partitions; 0 is no limit.

    `memory_limit_bytes` is set only where there is no disk to spill to.
    """

    max_traces: int = 0
    disk_limit_bytes: int = 0
    memory_limit_bytes: int = 0


class Pipeline:
    """The work of one worker over the partitions it has been given."""

    def __init__(
        self,
        settings: EngineSettings,
        policies: PolicySet,
        scanner: Scanner,
        store: ChunkStore,
        outputs: OutputSink,
        table: RecordSink,
        *,
        limits: PipelineLimits,
        committed: Callable[[int], int],
        rewind: Callable[[int, int], None],
        current_epoch: Callable[[], int],
        wall_ms: Callable[[], int],
    ) -> None:
        self._counts = EngineCounts()
        self._settings = settings
        self._policies = policies
        self._scanner = scanner
        self._plan = compile_plan(policies.span_conditions)
        self._store = store
        self._outputs = outputs
        self._table = table
        self._limits = limits
        self._committed = committed
        self._rewind = rewind
        self._current_epoch = current_epoch
        self._wall_ms = wall_ms
        self._works: dict[int, _Work] = {}
        self._wanted: dict[int, _Wanted] = {}
        self._epoch_floor = 0
        self.restarts = 0
        """How often a partition had to be read again from its watermark."""

    def process(self, batch: SpanBatch) -> None:
        """Take one batch as far as it goes now."""
        work = self._work_of(batch)
        if work is None:
            return
        engine, wall_ms = work.engine, self._wall_ms()
        if batch.records:
            engine.append(batch.records, wall_ms)
            self._relieve()
        if batch.idle_ms is not None:
            engine.advance(batch.idle_ms, wall_ms)
        self._hand_out(work)
        self.finish_acknowledged()

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
        counts, self._counts = self._counts, EngineCounts()
        for work in self._works.values():
            work.engine.count_into(self._counts)
        return counts

    @property
    def engines(self) -> Iterable[PartitionEngine]:
        """The engines of all partitions at work."""
        return [work.engine for work in self._works.values()]

    @property
    def unfinished(self) -> int:
        """Settlements that wait for an acknowledgement."""
        return sum(len(work.watermark) for work in self._works.values())

    def drop_all(self) -> None:
        """Give up every partition; what was fetched for them until now is refused if it still comes."""
        for work in self._works.values():
            work.engine.close()
        self._works.clear()
        self._wanted.clear()
        self._epoch_floor = self._current_epoch() + 1

    def _work_of(self, batch: SpanBatch) -> _Work | None:
        """The work a batch goes to, or None where it is stale or something before it is missing."""
        partition = batch.partition
        if batch.epoch < self._epoch_floor:
            return None
        wanted = self._wanted.get(partition)
        if wanted is not None:
            if batch.epoch < wanted.epoch:
                return None
            if batch.epoch_offset != wanted.offset:
                # The source went back to somewhere else meanwhile: only a run from where it was asked to is complete.
                self._read_again(partition, batch.epoch, wanted.offset)
                return None
            del self._wanted[partition]
        work = self._works.get(partition)
        if work is None:
            work = self._works[partition] = self._begin(batch)
        if work.engine.next_offset != batch.start_offset:
            # A batch between was thrown away on its way here, as Faust does around a rebalance: read it again.
            self._read_again(partition, batch.epoch, work.engine.next_offset)
            return None
        work.epoch = batch.epoch
        return work

    def _read_again(self, partition: int, epoch: int, offset: int) -> None:
        """Go back to `offset`, and take nothing of this partition from runs up to `epoch`."""
        before = self._wanted.get(partition)
        self._wanted[partition] = _Wanted(max(epoch + 1, before.epoch if before else 0), offset)
        self._rewind(partition, offset)

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
        owner = Owner(1 + max((record.owner.term for record in recovered), default=0), batch.generation)
        logger.info(
            "partition %d from offset %d, %d remembered decisions, handled below %d, term %d",
            partition, offset, len(memory), handled, owner.term,
        )  # fmt: skip
        start = PartitionStart(partition, owner, offset, handled, state)
        engine = PartitionEngine(
            start, self._settings, self._policies, self._scanner, self._plan, self._store, memory, self._counts
        )
        return _Work(engine, Watermark(offset), batch.epoch)

    def _hand_out(self, work: _Work) -> None:
        settlement = work.engine.settle()
        if settlement is not None:
            pending = work.watermark.begin(settlement)
            self._outputs.send(settlement, pending, work.engine.partition)

    def _relieve(self) -> None:
        """Decide the oldest traces of all partitions early while a hard limit is exceeded."""
        limits = self._limits
        while self._over_limit():
            works = [work for work in self._works.values() if len(work.engine.table)]
            if not works:
                return
            total = sum(len(work.engine.table) for work in works)
            oldest = min(works, key=_oldest_arrival)
            excess = total - limits.max_traces if limits.max_traces else 0
            oldest.engine.decide_oldest(
                max(1, total // RELIEF_SHARE, min(excess, len(oldest.engine.table))), "table_full"
            )
            self._hand_out(oldest)

    def _over_limit(self) -> bool:
        limits = self._limits
        if limits.disk_limit_bytes and self._store.disk_bytes > limits.disk_limit_bytes:
            return True
        if limits.memory_limit_bytes and self._store.memory_bytes > limits.memory_limit_bytes:
            return True
        return bool(limits.max_traces) and sum(len(w.engine.table) for w in self._works.values()) > limits.max_traces

    def start_over(self) -> None:
        """Drop what is gathered and undecided in every partition, and read it again from the watermarks."""
        for partition, work in list(self._works.items()):
            self._start_over(partition, work)

    def _start_over(self, partition: int, work: _Work) -> None:
        self.restarts += 1
        logger.error("partition %d: reading again from offset %d", partition, work.watermark.offset)
        work.engine.close()
        del self._works[partition]
        self._read_again(partition, work.epoch, work.watermark.offset)


def _oldest_arrival(work: _Work) -> Any:
    oldest = work.engine.table.oldest()
    return oldest.arrived_ms if oldest is not None else float("inf")
