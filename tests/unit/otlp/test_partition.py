"""Partitions as the Collector's Kafka exporter and the Java client choose them."""

from __future__ import annotations

from typing import Any

import pytest

from sampler.otlp import Scanner, message_key, partition_of
from sampler.otlp.partition import fnv1a32, plain_partition_of
from tests.unit.otlp.wire_samples import field, record_of, span_bytes

# key, FNV-1a-32, partitions among 3, 6, 12 and 48 for both hashers
VECTORS = [
    ("0102030405060708090a0b0c0d0e0f10", 0xC8BCF232, (2, 2, 2, 14), (1, 1, 1, 1)),
    ("00000000000000000000000000000001", 0xEFC862B2, (0, 0, 6, 30), (1, 4, 10, 22)),
    ("4bf92f3577b34da6a3ce929d0e0e4736", 0x8B14ACD2, (0, 0, 6, 30), (2, 2, 2, 26)),
    ("52969a8955571a3f0000000000000000", 0x2683F585, (1, 1, 1, 37), (0, 0, 0, 0)),
    ("000000000000000052969a8955571a3f", 0x2442D705, (1, 1, 1, 37), (2, 5, 11, 47)),
    ("ffffffffffffffffffffffffffffffff", 0xED928645, (0, 3, 3, 27), (2, 5, 11, 47)),
    ("0af7651916cd43dd8448eb211c80319c", 0xC3EFCB05, (1, 1, 7, 43), (1, 1, 7, 31)),
    ("5b8aa5a2d2c872e8321cf37308d69df2", 0x6D297532, (2, 2, 2, 2), (2, 5, 11, 23)),
]


@pytest.mark.parametrize(("key", "hashed", "sarama", "murmur2"), VECTORS)
@pytest.mark.parametrize("of", [partition_of, plain_partition_of])
def test_vectors(of: Any, key: str, hashed: int, sarama: tuple[int, ...], murmur2: tuple[int, ...]) -> None:
    """The published vectors hold for the compiled and the plain function."""
    trace_id = bytes.fromhex(key)
    assert message_key(trace_id) == key.encode()
    assert fnv1a32(key.encode()) == hashed
    assert tuple(of(trace_id, n, "sarama") for n in (3, 6, 12, 48)) == sarama
    assert tuple(of(trace_id, n, "murmur2") for n in (3, 6, 12, 48)) == murmur2


def test_split_uses_the_same_rules(scanner: Scanner) -> None:
    """Every vector's trace lands in its partition; parts come in rising order; invalid spans are counted."""
    request = record_of(*[span_bytes(trace_id=bytes.fromhex(key)) for key, *_ in VECTORS], span_bytes(trace_id=b"x"))
    for hasher, column in (("sarama", 2), ("murmur2", 3)):
        result = scanner.split(request, 48, hasher)  # type: ignore[arg-type]
        wanted = sorted({vector[column][3] for vector in VECTORS})  # type: ignore[index]
        assert [partition for partition, _, _ in result.parts] == wanted
        assert (result.spans, result.rejected) == (8, 1)


def test_a_part_is_its_traces_chunks_one_after_the_other(scanner: Scanner) -> None:
    """Headers are repeated for each trace, so a part can be cut again without the rest of the request."""
    first, second = span_bytes(trace_id=b"\1" * 16), span_bytes(trace_id=b"\2" * 16)
    header = field(1, b"")
    result = scanner.split(record_of(first, second, first, resource=header), 1, "sarama")
    expected = record_of(first, first, resource=header) + record_of(second, resource=header)
    assert result.parts == [(0, expected, 3)]


@pytest.mark.parametrize("of", [partition_of, plain_partition_of])
def test_wrong_arguments_are_refused(of: Any, scanner: Scanner) -> None:
    """No partitions or an unknown hasher is a ValueError that says so."""
    with pytest.raises(ValueError, match="partitions must lie in"):
        of(bytes(16), 0, "sarama")
    with pytest.raises(ValueError, match="unknown hasher 'crc32'"):
        of(bytes(16), 3, "crc32")
    with pytest.raises(ValueError, match="unknown hasher"):
        scanner.split(b"", 3, "crc32")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a trace id has 16 bytes"):
        of(b"short", 3, "sarama")
