"""The size of a worker's RocksDB databases as metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from rocksdict import Rdict

from sampler.metrics import WorkerMetrics

LOOK_EVERY_S = 10.0

_DISK = ("rocksdb.total-sst-files-size",)
_MEMORY = ("rocksdb.size-all-mem-tables", "rocksdb.estimate-table-readers-mem")
_PENDING = ("rocksdb.estimate-pending-compaction-bytes",)


class RocksDbReport:
    """Looks at open databases, by the name of their store, every few seconds."""

    def __init__(self, metrics: WorkerMetrics, stores: Mapping[str, Callable[[], Iterable[Rdict]]]) -> None:
        self._gauges = (
            (metrics.rocksdb_disk_bytes, _DISK),
            (metrics.rocksdb_memory_bytes, _MEMORY),
            (metrics.rocksdb_pending_compaction_bytes, _PENDING),
        )
        self._stores = stores
        self._look_again_s = 0.0

    def report(self, now_s: float) -> None:
        """Bring the metrics up to date, if it is time to."""
        if now_s < self._look_again_s:
            return
        self._look_again_s = now_s + LOOK_EVERY_S
        for store, databases in self._stores.items():
            opened = list(databases())
            for gauge, properties in self._gauges:
                total = sum(db.property_int_value(name) or 0 for db in opened for name in properties)
                gauge.labels(store=store).set(total)
