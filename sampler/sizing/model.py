"""The formulas, those of docs/sizing.md."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sampler.sizing import costs
from sampler.sizing.workload import Prices, Workload

MONTH_S = 30 * 86_400
GIB = 2**30
FEWEST = 2
"""Of each process, so that one may be lost."""
USUAL_PARTITIONS = 12


@dataclass(frozen=True, slots=True)
class Processes:
    """Processes of one kind. `cores` is what they use together at the usual height of the load."""

    count: int
    cores: float
    memory_bytes: float
    """Of each, with room below the limit."""
    disk_bytes: float = 0
    """Of each."""


@dataclass(frozen=True, slots=True)
class Brokers:
    """What Kafka holds and moves, all brokers together, after compression and with all copies."""

    storage_bytes: float
    in_bytes_per_s: float
    """From producers."""
    copied_bytes_per_s: float
    """Between brokers."""
    out_bytes_per_s: float
    """To consumers."""


@dataclass(frozen=True, slots=True)
class Sizing:
    """What a workload needs."""

    agent: Processes
    worker: Processes
    exporter: Processes
    kafka: Brokers
    partitions: int
    waiting_bytes: float
    """Spans of undecided traces, of all workers."""
    on_disk_share: float
    """The part of them that is beyond the workers' memory."""
    catch_up: float
    """Seconds of backlog that are worked off in a second, each worker with a core to itself; live traffic goes on."""
    records_per_s: float
    """Of the span topic."""
    lag_threshold: int
    """For KEDA's kafka trigger: records behind the watermark for each worker when none is late."""

    def price(self, prices: Prices) -> dict[str, float]:
        """What a month costs, by what is paid for."""
        kinds = (self.agent, self.worker, self.exporter)
        # Cores as they are reserved, the idle part included.
        moved = self.kafka.in_bytes_per_s + self.kafka.copied_bytes_per_s + self.kafka.out_bytes_per_s
        disk = self.kafka.storage_bytes + self.worker.count * self.worker.disk_bytes
        return {
            "cores": sum(kind.cores for kind in kinds) * prices.core,
            "memory": sum(kind.count * kind.memory_bytes for kind in kinds) / GIB * prices.memory_gib,
            "disk": disk / GIB * prices.disk_gib,
            "network": moved * MONTH_S / GIB * prices.network_gib,
        }


def size(load: Workload) -> Sizing:
    """What a workload needs; see docs/sizing.md for each formula."""
    waiting_bytes = load.spans_per_s * load.waiting_s * load.span_bytes * _repeated(load)
    count, on_disk_share, busy = _workers(load, waiting_bytes)
    partitions = load.partitions or _partitions(count)
    standby = partitions * load.standby_replicas * costs.TICKS_PER_S * costs.STANDBY_RECORD_CPU_MS / 1000
    cores = (busy + standby) / load.utilisation
    agents = _agents(load)
    records_per_s = _records_per_s(load, partitions, agents.count)
    return Sizing(
        agent=agents,
        worker=Processes(
            count, cores, _worker_memory(load, waiting_bytes, count), _worker_disk(load, partitions, count)
        ),
        exporter=_exporters(load),
        kafka=_kafka(load, partitions),
        partitions=partitions,
        waiting_bytes=waiting_bytes,
        on_disk_share=on_disk_share,
        catch_up=max(0.0, count / (busy + standby) - 1),
        records_per_s=records_per_s,
        lag_threshold=max(1, math.ceil(records_per_s * load.waiting_s / count)),
    )


def _repeated(load: Workload) -> float:
    """Bytes in the span topic for a byte of a span."""
    return costs.PACKING_OVERHEAD if load.records == "packed" else 1.0


def _workers(load: Workload, waiting_bytes: float) -> tuple[int, float, float]:
    """How many, which part of what waits is on their disks, and the cores that the spans keep busy.

    Fewer workers have less memory together, so more of the spans lie on disk, which costs CPU: counted up till it fits.
    """
    count = FEWEST
    while True:
        on_disk = max(0.0, 1 - count * load.table_memory_bytes / waiting_bytes) if waiting_bytes else 0.0
        speed = costs.WORKER_SPANS_PER_CPU_S[load.records]
        per_span_s = (1 - on_disk) / speed + on_disk / (speed * costs.WORKER_DISK_SPEED)
        more_kept = max(0.0, load.kept_share - costs.MEASURED_KEPT_SHARE)
        busy = load.spans_per_s * (per_span_s + more_kept * costs.KEPT_SPAN_CPU_US / 1e6)
        # A worker decides on one core.
        if busy / load.utilisation <= count:
            return count, on_disk, busy
        count = max(count + 1, min(math.ceil(busy / load.utilisation), count * 2))


def _partitions(workers: int) -> int:
    """12, or the first doubling of it that leaves two for each worker."""
    partitions = USUAL_PARTITIONS
    while partitions < 2 * workers:
        partitions *= 2
    return partitions


def _worker_memory(load: Workload, waiting_bytes: float, count: int) -> float:
    """The limit of one: what it uses, which must stay below the share at which it holds back."""
    waiting = min(load.table_memory_bytes, waiting_bytes / count)
    remembered = load.traces_per_s * load.remembered_s * costs.DECISION_MEMORY_BYTES / count
    return (costs.WORKER_BASE_BYTES + waiting + remembered) / costs.SOFT_MEMORY_SHARE


def _worker_disk(load: Workload, partitions: int, count: int) -> float:
    """Of one: all spans that wait, since a clean stop puts them there, and the decisions with their copies."""
    waiting = load.spans_per_s * load.waiting_s * load.span_bytes * _repeated(load)
    decisions = _decisions_bytes_per_s(load, partitions) * load.remembered_s * (1 + load.standby_replicas)
    return (waiting + decisions) * costs.DISK_OVERHEAD / count


def _decisions_bytes_per_s(load: Workload, partitions: int) -> float:
    """Written to the decisions' topic, before compression."""
    records_per_s = min(partitions * costs.TICKS_PER_S, load.traces_per_s)
    return load.traces_per_s * costs.DECISION_RECORD_BYTES + records_per_s * costs.TICK_RECORD_BYTES


def _agents(load: Workload) -> Processes:
    if not load.through_agent:
        return Processes(0, 0.0, 0.0)
    cores = load.spans_per_s / costs.AGENT_SPANS_PER_CPU_S / load.utilisation
    memory = (costs.AGENT_BASE_BYTES + costs.AGENT_BUFFER_BYTES) / costs.SOFT_MEMORY_SHARE
    return Processes(max(FEWEST, math.ceil(cores)), cores, memory)


def _exporters(load: Workload) -> Processes:
    if not load.backends:
        return Processes(0, 0.0, 0.0)
    sent_per_s = load.spans_per_s * load.kept_share * load.backends
    cores = sent_per_s / costs.EXPORTER_SPANS_PER_CPU_S / load.utilisation
    memory = (costs.EXPORTER_BASE_BYTES + load.backends * costs.EXPORTER_BACKEND_BYTES) / costs.SOFT_MEMORY_SHARE
    return Processes(max(FEWEST, math.ceil(cores)), cores, memory)


def _kafka(load: Workload, partitions: int) -> Brokers:
    spans = load.spans_per_s * load.span_bytes * _repeated(load) / load.zstd_ratio
    kept_per_s = load.spans_per_s * load.kept_share
    sampled = kept_per_s * (load.span_bytes + costs.ANNOTATION_BYTES) / load.lz4_ratio
    decisions = _decisions_bytes_per_s(load, partitions)
    held = (spans + sampled) * load.retention_s + decisions * (load.remembered_s + costs.CHANGELOG_HISTORY_S)
    taken = spans + sampled + decisions
    return Brokers(
        storage_bytes=held * load.replication_factor,
        in_bytes_per_s=taken,
        copied_bytes_per_s=taken * (load.replication_factor - 1),
        out_bytes_per_s=spans + sampled * load.backends + decisions * load.standby_replicas,
    )


def _records_per_s(load: Workload, partitions: int, agents: int) -> float:
    """Of the span topic: full ones where the load fills them, else as often as an agent flushes."""
    if load.records == "keyed1":
        return load.spans_per_s
    if load.records == "keyed10":
        return load.traces_per_s
    full = load.spans_per_s / costs.PACKED_RECORD_SPANS
    return max(full, min(load.spans_per_s, max(agents, 1) * partitions * costs.FLUSHES_PER_S))
