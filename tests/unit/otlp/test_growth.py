"""Headers are repeated for every trace, and that is bounded: a small request cannot ask for terabytes."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampler.otlp import ScanError, Scanner, compile_plan, get_scanner, upb
from sampler.otlp.errors import max_grown_bytes
from tests.unit.otlp.wire_samples import Generator, attribute, field, record_of, span_bytes, text

MIB = 1 << 20
PLAN = compile_plan([])


def trace_id(number: int) -> bytes:
    """Trace ids, one a number."""
    return (number + 1).to_bytes(16, "big")


def header(size: int) -> bytes:
    """A resource with an attribute, or a scope with a name, of a little more than `size` bytes."""
    return field(1, field(1, attribute("k", text("x" * size))))


def spans(traces: int) -> list[bytes]:
    """One span a trace."""
    return [span_bytes(trace_id=trace_id(number)) for number in range(traces)]


def refusal(scanner: Scanner, record: bytes, call: str) -> ScanError:
    """The error of `scan` or `split`."""
    with pytest.raises(ScanError) as caught:
        scanner.scan(PLAN, record) if call == "scan" else scanner.split(record, 3, "sarama")
    return caught.value


@pytest.mark.parametrize("call", ["scan", "split"])
@pytest.mark.parametrize("where", ["resource", "scope"])
def test_a_request_of_terabytes_is_refused_in_bounded_memory(scanner: Scanner, call: str, where: str) -> None:
    """8 MiB of header shared by 20,000 traces: an error that says both sizes, and no memory beyond a small multiple."""
    record = record_of(*spans(20_000), **{where: header(8 * MIB)})
    tracemalloc.start()
    try:
        error = refusal(scanner, record, call)
        assert tracemalloc.get_traced_memory()[1] < 64 * MIB
    finally:
        tracemalloc.stop()
    assert error.offset == 0
    assert "share headers so large that cutting it by trace would take 1677" in error.reason
    assert f"most is {max_grown_bytes(len(record))}" in error.reason


def test_the_size_that_is_said_is_exact(scanner: Scanner) -> None:
    """Just above the limit a record is refused with the size that its chunks would have; just below it is cut."""
    size = 2 * MIB
    below = record_of(*spans(39), resource=header(size))
    above = record_of(*spans(41), resource=header(size))
    chunk = len(record_of(*spans(1), resource=header(size)))
    assert 39 * chunk <= max_grown_bytes(len(below))
    assert 41 * chunk > max_grown_bytes(len(above))
    assert f" {41 * chunk} bytes" in refusal(scanner, above, "scan").reason
    assert f" {41 * chunk} bytes" in refusal(scanner, above, "split").reason
    assert sum(len(part) for _, part, _ in scanner.split(below, 3, "sarama").parts) == 39 * chunk
    assert [len(each[1]) for each in scanner.scan(PLAN, below).traces] == [chunk] * 39


def test_large_headers_that_are_not_shared_are_taken(scanner: Scanner) -> None:
    """Many traces and a large resource beside each other do not grow, so they pass, though their product is large."""
    small = record_of(*spans(1000))
    large = record_of(*spans(2)[:1], resource=header(2 * MIB))
    other = record_of(span_bytes(trace_id=trace_id(0)), span_bytes(trace_id=trace_id(1)), resource=header(MIB))
    result = scanner.scan(PLAN, small + large + other)
    assert len(result.traces) == 1000
    assert sum(len(each[1]) for each in result.traces) < 5 * MIB
    assert scanner.split(small + large + other, 3, "murmur2").spans == 1003


def test_a_refused_record_leaves_the_scanner_usable(scanner: Scanner) -> None:
    """The next record is cut as ever."""
    refusal(scanner, record_of(*spans(1000), resource=header(MIB)), "split")
    assert scanner.split(record_of(*spans(5)), 3, "sarama").spans == 5


def test_one_trace_may_have_any_headers(scanner: Scanner) -> None:
    """A record of one trace is never refused, whatever is left out of it."""
    record = record_of(*[span_bytes() for _ in range(100)], span_bytes(span_id=bytes(8)), resource=header(4 * MIB))
    result = scanner.scan(PLAN, record)
    assert (len(result.traces), result.invalid_spans) == (1, 1)


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_what_is_measured_is_what_would_be_written(seed: int) -> None:
    """However little may be written, one byte less than the chunks take is refused, with their size."""
    scanner = get_scanner("upb")
    record = Generator(seed).request().SerializeToString()
    size = sum(len(part) for _, part, _ in scanner.split(record, 3, "sarama").parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upb, "max_grown_bytes", lambda _: size)
        scanner.split(record, 3, "sarama")
        patch.setattr(upb, "max_grown_bytes", lambda _: size - 1)
        if size:
            assert f" {size} bytes" in refusal(scanner, record, "split").reason
