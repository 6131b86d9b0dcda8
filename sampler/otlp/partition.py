"""Which partition a trace belongs to: the rules that the Collector's Kafka exporter offers.

The key is always the 32 lower-case hex characters of the trace id, in ASCII. This is the plain form, for tests and
places without the compiled module.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

Hasher: TypeAlias = Literal["sarama", "murmur2"]
HASHERS: tuple[Hasher, ...] = ("sarama", "murmur2")

_MASK32 = 0xFFFFFFFF


def message_key(trace_id: bytes) -> bytes:
    """The Kafka key of a single-trace record: 32 lower-case hex characters."""
    return trace_id.hex().encode()


def fnv1a32(data: bytes) -> int:
    """FNV-1a, 32 bits."""
    state = 0x811C9DC5
    for byte in data:
        state = (state ^ byte) * 0x01000193 & _MASK32
    return state


def murmur2(data: bytes) -> int:
    """Murmur2 with Kafka's seed, as the Java client computes it; unsigned."""
    m, length = 0x5BD1E995, len(data)
    h = 0x9747B28C ^ length
    for i in range(0, length - 3, 4):
        k = int.from_bytes(data[i : i + 4], "little") * m & _MASK32
        k = (k ^ k >> 24) * m & _MASK32
        h = (h * m & _MASK32) ^ k
    tail = data[length & ~3 :]
    if tail:
        h = (h ^ int.from_bytes(tail, "little")) * m & _MASK32
    h = (h ^ h >> 13) * m & _MASK32
    return h ^ h >> 15


def check_hasher(partitions: int, hasher: str) -> None:
    """Raise ValueError unless both are usable."""
    if not 0 < partitions < 2**31:
        raise ValueError(f"partitions must lie in 1 .. 2**31 - 1, not {partitions}")
    if hasher not in HASHERS:
        raise ValueError(f"unknown hasher {hasher!r}, expected one of {', '.join(HASHERS)}")


def plain_partition_of(trace_id: bytes, partitions: int, hasher: Hasher = "sarama") -> int:
    """The partition of a trace among `partitions`.

    sarama: int32(FNV-1a-32) with Go's remainder (the sign follows the dividend), made positive.
    murmur2: the Java client's default partitioner.
    """
    check_hasher(partitions, hasher)
    if len(trace_id) != 16:
        raise ValueError(f"a trace id has 16 bytes, not {len(trace_id)}")
    key = message_key(trace_id)
    if hasher == "murmur2":
        return (murmur2(key) & 0x7FFFFFFF) % partitions
    state = fnv1a32(key)
    return (state if state < 2**31 else 2**32 - state) % partitions
