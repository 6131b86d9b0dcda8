"""What things cost: the one place of every constant that the calculator counts with.

Measured ones are those of docs/performance.md, each the slowest of its runs; the others are marked as assumptions.
`docs/sizing.md` shows them all, and a test compares.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

Records: TypeAlias = Literal["packed", "keyed10", "keyed1"]
"""How spans lie in the span topic: as the agent packs them, a trace of ten spans a record, or a span a record."""

WORKER_SPANS_PER_CPU_S: Final[dict[Records, int]] = {"packed": 337_000, "keyed10": 403_000, "keyed1": 127_000}
"""Measured: spans a worker takes for a second of CPU, table in memory, 15.3 % of the traces kept."""
WORKER_DISK_SPEED: Final = 0.55
"""Measured: the share of that speed with every chunk on RocksDB."""
MEASURED_KEPT_SHARE: Final = 0.153
KEPT_SPAN_CPU_US: Final = 1.2
"""CPU for a kept span beyond that share: annotation 0.6 µs measured; as much again assumed for writing it."""
STANDBY_RECORD_CPU_MS: Final = 0.1
"""Measured: CPU of a worker for a record of decisions of which it keeps a copy."""
TICKS_PER_S: Final = 4
"""A partition decides, and so writes a record of decisions, at most so often when nothing is late."""

AGENT_SPANS_PER_CPU_S: Final = 456_000
"""Measured: spans an agent takes for a second of CPU, 512 a request, records compressed with zstd."""
EXPORTER_SPANS_PER_CPU_S: Final = 300_000
"""Measured, rounded down: spans an exporter sends for a second of CPU, with gzip; without, four times as many."""

WORKER_BASE_BYTES: Final = 260_000_000
"""Measured: resident size of a worker, less the spans that wait in its memory."""
AGENT_BASE_BYTES: Final = 117_000_000
"""Measured: resident size of an agent while Kafka keeps up."""
AGENT_BUFFER_BYTES: Final = 64 * 2**20
"""`agent.max_buffer`: what more it holds while Kafka does not."""
EXPORTER_BASE_BYTES: Final = 97_000_000
"""Measured: resident size of an exporter at full speed, less what its one backend takes."""
EXPORTER_BACKEND_BYTES: Final = 3 * 32 * 2**20
"""What a backend takes besides: three times `exporter.backends[].sending.max_in_flight`."""

DECISION_MEMORY_BYTES: Final = 14.6
"""Measured: memory for a remembered decision, with 64 partitions."""
DECISION_RECORD_BYTES: Final = 18
"""Format: a trace id and the index of its verdict, in RocksDB and in the decisions' topic."""
TICK_RECORD_BYTES: Final = 600
"""Format: the rest of a record of decisions, with five verdicts of 100 bytes."""
CHANGELOG_HISTORY_S: Final = 1200
"""What a compacted topic holds beyond what counts: two segments of ten minutes."""

PACKING_OVERHEAD: Final = 1.06
"""Measured: bytes in a packed record for a byte of a span, because a resource is repeated for each of its traces."""
ANNOTATION_BYTES: Final = 60
"""Format: rate, policy and threshold on a kept span."""
PACKED_RECORD_SPANS: Final = 400
"""Measured: spans in a record of the agent under full load."""
FLUSHES_PER_S: Final = 100
"""`agent.flush_interval`: an agent writes at most so many records a second and partition before they are full."""

DISK_OVERHEAD: Final = 1.2
"""Assumed: RocksDB's files for a byte that lies in them."""
TICK_WAIT_S: Final = 1.5
"""Assumed: what a span waits beyond decision_wait, for its tick and for the commit."""
SOFT_MEMORY_SHARE: Final = 0.75
"""`worker.memory.soft_percent`: above it a worker begins to hold back."""

ZSTD_RATIO: Final = 6.0
"""Assumed: 10.6 was measured on the traces of `sampler.generate` and 6.9 on recorded shapes; attributes decide."""
LZ4_RATIO: Final = 4.0
"""Assumed: 5.7 and 4.5 in the same way."""
