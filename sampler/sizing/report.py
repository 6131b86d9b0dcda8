"""The answer of `tailsampler size`, for people and for machines."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from sampler.sizing.model import GIB, Processes, Sizing
from sampler.sizing.workload import Prices, Workload


def as_json(load: Workload, sizing: Sizing, prices: Prices) -> dict[str, Any]:
    """Everything, units in the names: bytes, seconds, cores. Prices only where some are given."""
    told = {"workload": asdict(load), "needs": asdict(sizing)}
    if any(asdict(prices).values()):
        parts = sizing.price(prices)
        told["month"] = {**parts, "total": sum(parts.values())}
    return told


def as_text(load: Workload, sizing: Sizing, prices: Prices) -> str:
    """A page."""
    return "\n".join([*_load(load), "", *_processes(sizing), "", *_kafka(load, sizing), "", *_hints(load, sizing),
                      *_money(sizing, prices)])  # fmt: skip


def _load(load: Workload) -> Iterator[str]:
    bytes_per_s = load.spans_per_s * load.span_bytes
    yield (
        f"{load.spans_per_s:,.0f} spans/s of {load.span_bytes:,.0f} bytes ({bytes_per_s / 1e6:,.1f} MB/s), "
        f"{load.spans_per_trace:g} a trace, {load.kept_share:.0%} kept,"
    )
    yield (
        f"decided {load.decision_wait_s:g} s after their first span, remembered for {load.remembered_s / 60:g} min; "
        f"at most {load.utilisation:.0%} of the CPU in use"
    )


def _processes(sizing: Sizing) -> Iterator[str]:
    yield f"{'':10}{'processes':>10}{'cores in all':>14}{'memory each':>14}{'disk each':>12}"
    for name in ("agent", "worker", "exporter"):
        kind: Processes = getattr(sizing, name)
        if kind.count:
            disk = _gib(kind.disk_bytes) if kind.disk_bytes else "-"
            yield f"{name:10}{kind.count:>10}{kind.cores:>14.1f}{_gib(kind.memory_bytes):>14}{disk:>12}"


def _kafka(load: Workload, sizing: Sizing) -> Iterator[str]:
    kafka = sizing.kafka
    yield f"Kafka     {sizing.partitions} partitions, {load.replication_factor} copies"
    yield f"  storage {_gib(kafka.storage_bytes)} for {load.retention_s / 3600:g} h"
    yield (
        f"  network {kafka.in_bytes_per_s / 1e6:,.1f} MB/s in, {kafka.copied_bytes_per_s / 1e6:,.1f} MB/s between "
        f"brokers, {kafka.out_bytes_per_s / 1e6:,.1f} MB/s out"
    )


def _hints(load: Workload, sizing: Sizing) -> Iterator[str]:
    yield f"Waiting   {_gib(sizing.waiting_bytes)} of spans, {sizing.on_disk_share:.0%} of it on the workers' disks"
    yield f"Catch-up  {sizing.catch_up:.1f} s of backlog a second, while live traffic goes on"
    yield f"KEDA      lagThreshold {sizing.lag_threshold:,} (what waits by design, for each worker)"
    limit_mib = math.ceil(load.table_memory_bytes / 2**20)
    yield f"Settings  worker.trace_table.memory_limit_mib {limit_mib}, kafka.partitions {sizing.partitions}"


def _money(sizing: Sizing, prices: Prices) -> Iterator[str]:
    parts = {what: price for what, price in sizing.price(prices).items() if price}
    if parts:
        yield ""
        yield f"A month   {sum(parts.values()):,.0f}: " + ", ".join(
            f"{what} {price:,.0f}" for what, price in parts.items()
        )


def _gib(size_bytes: float) -> str:
    if size_bytes < GIB / 10:
        return f"{size_bytes / 2**20:,.0f} MiB"
    return f"{size_bytes / GIB:,.1f} GiB"
