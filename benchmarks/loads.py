"""The loads: what traces there are, when their spans reach Kafka, and in what records. The same seed, the same bytes.

Traces of ten spans begin evenly over the stream time of the load. A tenth of them is kept by `probabilistic`, six in a
hundred by one of the other four policies, so that about 15.4 % are kept.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, TypeAlias

from benchmarks import wire

LoadName: TypeAlias = Literal["packed", "keyed10", "keyed1"]
LOADS: tuple[LoadName, ...] = ("packed", "keyed10", "keyed1")

PARTITIONS = 8
SPANS_PER_TRACE = 10
CHUNKS = ((0, 4, 0), (4, 7, 500), (7, 10, 1500))
"""How the spans of a trace come in: first, end, milliseconds after the trace's beginning."""
RECORD_BYTES = 256 * 1024
SPECIAL_SHARE = 0.015
"""Of each of the four kinds of traces that a policy other than `probabilistic` keeps."""
CLOSING_MS = 1_000
"""How far behind the decision of the last trace the closing record lies."""


class LoadRecord(NamedTuple):
    """One Kafka record."""

    partition: int
    key: bytes | None
    value: bytes
    timestamp_ms: int


@dataclass(frozen=True)
class Load:
    """Traces in one form. `spans` is rounded down to whole traces; `start_ms` is the time of the first record.

    The last record of every partition is a trace of its own that comes `closing_after_ms` after all others and is not
    kept: reading it decides every trace of the load, so that no benchmark waits for a clock. 0 leaves it out.
    """

    name: LoadName
    spans: int
    start_ms: int
    stream_ms: int = 120_000
    closing_after_ms: int = 0
    seed: int = 1

    @property
    def traces(self) -> int:
        """Traces of the load, closing ones not counted."""
        return self.spans // SPANS_PER_TRACE

    @cached_property
    def trace_ids(self) -> list[bytes]:
        """The id of every trace, in order of their beginnings."""
        pool = random.Random(self.seed).randbytes(16 * self.traces)
        return [pool[i : i + 16] for i in range(0, len(pool), 16)]

    @cached_property
    def special(self) -> bytes:
        """What is special about each trace, a byte each (`wire.ORDINARY` and so on)."""
        rng = random.Random(self.seed + 1)
        kinds = (wire.ERROR, wire.SLOW, wire.VIP, wire.SERVER_ERROR)
        drawn = (int(rng.random() / SPECIAL_SHARE) for _ in range(self.traces))
        return bytes(kinds[n] if n < len(kinds) else wire.ORDINARY for n in drawn)

    @cached_property
    def _span_ids(self) -> bytes:
        return random.Random(self.seed + 2).randbytes(8 * SPANS_PER_TRACE * self.traces)

    def span_ids(self, trace: int) -> list[bytes]:
        """The span ids of a trace, root first."""
        first = trace * SPANS_PER_TRACE * 8
        return [self._span_ids[i : i + 8] for i in range(first, first + SPANS_PER_TRACE * 8, 8)]

    @cached_property
    def partition_of(self) -> bytes:
        """The partition of each trace, a byte each."""
        return bytes(sarama_partition(trace_id) for trace_id in self.trace_ids)

    def records(self) -> Iterator[LoadRecord]:
        """Every record, in the order of time."""
        forms = {"packed": self._packed, "keyed10": self._keyed10, "keyed1": self._keyed1}
        yield from forms[self.name]()
        if self.closing_after_ms:
            yield from self._closing()

    def _packed(self) -> Iterator[LoadRecord]:
        waiting: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
        sizes = [0] * PARTITIONS
        at_ms = self.start_ms
        for at_ms, trace, chunk in self._arrivals():
            partition = self.partition_of[trace]
            value = wire.resource_spans(trace % len(wire.SERVICES), self._spans(trace, *CHUNKS[chunk][:2]))
            if sizes[partition] + len(value) > RECORD_BYTES:
                yield LoadRecord(partition, None, b"".join(waiting[partition]), at_ms)
                waiting[partition], sizes[partition] = [], 0
            waiting[partition].append(value)
            sizes[partition] += len(value)
        for partition, chunks in enumerate(waiting):
            if chunks:
                yield LoadRecord(partition, None, b"".join(chunks), at_ms)

    def _keyed10(self) -> Iterator[LoadRecord]:
        for trace, trace_id in enumerate(self.trace_ids):
            value = wire.resource_spans(trace % len(wire.SERVICES), self._spans(trace, 0, SPANS_PER_TRACE))
            yield LoadRecord(self.partition_of[trace], trace_id.hex().encode(), value, self._begins_ms(trace))

    def _keyed1(self) -> Iterator[LoadRecord]:
        for at_ms, trace, chunk in self._arrivals():
            key, partition = self.trace_ids[trace].hex().encode(), self.partition_of[trace]
            for span in self._spans(trace, *CHUNKS[chunk][:2]):
                yield LoadRecord(partition, key, wire.resource_spans(trace % len(wire.SERVICES), [span]), at_ms)

    def _closing(self) -> Iterator[LoadRecord]:
        rng = random.Random(self.seed + 3)
        missing = set(range(PARTITIONS))
        at_ms = self.start_ms + self.stream_ms + CHUNKS[-1][2] + self.closing_after_ms + CLOSING_MS
        while missing:
            trace_id = rng.randbytes(16)
            partition = sarama_partition(trace_id)
            if partition in missing and not drawn_by_probabilistic(trace_id):
                missing.discard(partition)
                span = wire.span(trace_id, rng.randbytes(8), b"", at_ms * 10**6, at_ms * 10**6 + 1000, 0, wire.ORDINARY)
                yield LoadRecord(partition, trace_id.hex().encode(), wire.resource_spans(0, [span]), at_ms)

    def _arrivals(self) -> Iterator[tuple[int, int, int]]:
        """(time in ms, trace, chunk) in the order of time."""
        return heapq.merge(
            *(
                [(self._begins_ms(t) + delay, t, c) for t in range(self.traces)]
                for c, (_, _, delay) in enumerate(CHUNKS)
            )
        )

    def _begins_ms(self, trace: int) -> int:
        return self.start_ms + trace * self.stream_ms // self.traces

    def _spans(self, trace: int, first: int, end: int) -> list[bytes]:
        trace_id, special, ids = self.trace_ids[trace], self.special[trace], self.span_ids(trace)
        start_ns = self._begins_ms(trace) * 1_000_000
        root_ns = start_ns + (1_700_000_000 if special == wire.SLOW else 90_000_000)
        spans = []
        for n in range(first, end):
            variant = (trace + n) % wire.VARIANTS
            # A slow trace is slow as a whole; the other kinds show on one span that is not the root.
            kind = special if n == 5 and special != wire.SLOW else wire.ORDINARY
            parent = ids[(n - 1) // 2] if n else b""
            end_ns = start_ns + (10 + n) * 1_000_000 if n else root_ns
            spans.append(wire.span(trace_id, ids[n], parent, start_ns + n * 500_000, end_ns, variant, kind))
        return spans


def sarama_partition(trace_id: bytes) -> int:
    """The partition the Collector's default partitioner gives a trace: FNV-1a-32 of its hex form, sign rule of Go."""
    state = 0x811C9DC5
    for byte in trace_id.hex().encode():
        state = (state ^ byte) * 0x01000193 & 0xFFFFFFFF
    return (state if state < 2**31 else 2**32 - state) % PARTITIONS


def randomness(trace_id: bytes) -> int:
    """R of a trace without tracestate: 2**56 - 1 - (h >> 8), h FNV-1a-64 of the Collector's salt and the id."""
    state = 0xCBF29CE484222325
    for byte in b"default-hash-seed" + trace_id:
        state = (state ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return 2**56 - 1 - (state >> 8)


def drawn_by_probabilistic(trace_id: bytes) -> bool:
    """Whether 10 % keep the trace: R in the top tenth."""
    return randomness(trace_id) >= 2**56 * 9 // 10
