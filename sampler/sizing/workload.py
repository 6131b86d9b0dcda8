"""What the calculator is told: the load, and what things cost to rent."""

from __future__ import annotations

from dataclasses import dataclass

from sampler.sizing import costs


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The load at its usual height, and how it is run. Times in seconds, sizes in bytes, shares from 0 to 1."""

    spans_per_s: float
    span_bytes: float = 390
    spans_per_trace: float = 10
    kept_share: float = 0.15
    decision_wait_s: float = 30
    remembered_s: float = 600
    records: costs.Records = "packed"
    through_agent: bool = True
    utilisation: float = 0.5
    """Share of the CPU that is used at the usual height; the rest is for peaks, for catching up, and for a loss."""
    partitions: int | None = None
    """Of the span topic; None takes 12, or as many as two for each worker need."""
    replication_factor: int = 3
    retention_s: float = 86_400
    standby_replicas: int = 1
    table_memory_bytes: float = 256 * 2**20
    """`worker.trace_table.memory_limit_mib` of each worker."""
    backends: int = 1
    zstd_ratio: float = costs.ZSTD_RATIO
    lz4_ratio: float = costs.LZ4_RATIO

    @property
    def traces_per_s(self) -> float:
        """Traces that begin in a second."""
        return self.spans_per_s / self.spans_per_trace

    @property
    def waiting_s(self) -> float:
        """How long a span waits for its decision, with tick and commit."""
        return self.decision_wait_s + costs.TICK_WAIT_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What a month of each costs, in any currency; 0 leaves it out."""

    core: float = 0
    memory_gib: float = 0
    disk_gib: float = 0
    network_gib: float = 0
    """A GiB between machines, such as across zones."""
