"""Anything that is no OTLP is refused whole, with the place, by both scanners alike."""

from __future__ import annotations

import random
import struct

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from policies.randomness import RandomnessSource
from sampler.otlp import Annotation, ScanError, Scanner, compile_plan, get_scanner
from sampler.otlp.walk import find_fault
from tests.unit.otlp.wire_conditions import random_conditions
from tests.unit.otlp.wire_samples import SCANNERS, Generator, attribute, field, record_of, reencoded, span_bytes, text

PLAN = compile_plan(random_conditions(0))


def group(depth: int, number: int = 9) -> bytes:
    """`depth` groups in one another."""
    return bytes([number << 3 | 3]) * depth + bytes([number << 3 | 4]) * depth


MALFORMED = [
    (b"\x0a", 1, "length"),
    (b"\x0a\x05ab", 1, "beyond the end"),
    (b"\x0a\x80\x80\x80\x80\x80\x00", 1, "length"),
    (b"\x00\x01", 0, "field number 0"),
    (b"\x0e\x00", 0, "wire type"),
    (b"\x17\x00", 0, "wire type"),
    (b"\x80\x80\x80\x80\x80\x01", 0, "tag"),
    (b"\xff\xff\xff\xff\x7f\x01", 0, "tag"),
    (b"\x10" + b"\xff" * 10 + b"\x01", 1, "varint"),
    (b"\x10\x80", 1, "varint"),
    (b"\x11\x00\x00", 1, "fixed"),
    (b"\x15\x00\x00", 1, "fixed"),
    (b"\x13\x10\x01", 0, "never closed"),
    (b"\x13\x10\x01\x1c", 3, "end of group"),
    (b"\x14", 0, "end of group"),
    (group(101), 100, "deeper"),
    (b"\x0a\x03\x12\x05a", 3, "beyond the end"),
    (record_of(field(1, b"x")[:1]), 7, "length"),
    (record_of(span_bytes() + field(9, b"\x0a\x09a")), 37, "beyond the end"),
    (record_of(span_bytes() + field(9, field(2, b"\x18\x80"))), 39, "varint"),
    (record_of(span_bytes() + field(9, field(2, field(6, b"\x02\x00")))), 40, "field number 0"),
    (record_of(span_bytes() + field(11, b"\x12")), 37, "length"),
    (record_of(span_bytes() + field(13, field(4, b"\x00"))), 38, "field number 0"),
    (record_of(span_bytes() + field(15, b"\x18")), 37, "varint"),
    (record_of(span_bytes(), resource=field(1, field(1, b"\x12\x02\x0a"))), 7, "beyond the end"),
    (record_of(span_bytes(), scope=field(1, field(3, b"\x0f"))), 8, "wire type"),
    (record_of(span_bytes()) + b"\x0a\x01\x0a", len(record_of(span_bytes())) + 3, "length"),
]


@pytest.mark.parametrize(("record", "offset", "reason"), MALFORMED)
def test_malformed_input_is_refused_with_its_place(scanner: Scanner, record: bytes, offset: int, reason: str) -> None:
    """The error names the byte where reading stopped, and why; scan and split agree."""
    with pytest.raises(ScanError, match=f"at byte {offset}$") as caught:
        scanner.scan(PLAN, record)
    assert caught.value.offset == offset
    assert reason in caught.value.reason
    with pytest.raises(ScanError, match=f"at byte {offset}$"):
        scanner.split(record, 3, "sarama")


@pytest.mark.parametrize(
    "record",
    [
        b"",
        group(100),
        record_of(span_bytes() + group(97)),
        b"\x10" + b"\xff" * 9 + b"\x7f",
        b"\x13\x00\x01\x14",
        b"\x88\x80\x80\x80\x00\x01",
        record_of(span_bytes(field(9, attribute("a", field(5, group(94)))))),
        record_of(b"", b""),
    ],
)
def test_unusual_but_well_formed_input_is_taken(scanner: Scanner, record: bytes) -> None:
    """Groups up to 100 deep, field number 0 inside them, long varints, empty messages: protobuf takes them too."""
    scanner.scan(PLAN, record)


def test_groups_count_from_the_message_they_are_in(scanner: Scanner) -> None:
    """Each level of attribute and value takes one of the hundred levels, as protobuf counts."""
    with pytest.raises(ScanError, match="deeper"):
        scanner.scan(PLAN, record_of(span_bytes(field(9, attribute("a", field(5, group(95)))))))


def test_deeply_nested_values_cost_no_stack(scanner: Scanner) -> None:
    """An attribute with 2,000 arrays in one another passes; only protobuf's full decoding refuses it."""
    value = text("x")
    for _ in range(2000):
        value = field(5, field(1, value))
    result = scanner.scan(PLAN, record_of(span_bytes(field(9, attribute("a", value)))))
    assert result.traces[0][2].span_count == 1


ANNOTATION = Annotation(((0, 2**56),), RandomnessSource.HASH, incoming_probability={"shop": 0.5})


@pytest.mark.parametrize(
    ("chunk", "offset"),
    [
        (record_of(span_bytes())[:-3], 1),
        (record_of(span_bytes(), span_bytes(b"\x2a\x05a")), 65),
        (record_of(span_bytes(), span_bytes(field(9, b"\xff"))), 66),
        (record_of(span_bytes(field(5, b"sampling.rate") + field(9, b"\xff"))), 51),
        (record_of(span_bytes(field(9, b"\xff"))) + b"\xff", 36),
        (record_of(span_bytes(field(9, b"\xff")) + b"\xff", resource=b"\x13"), 2),
    ],
)
def test_annotate_refuses_what_is_no_chunk(scanner: Scanner, chunk: bytes, offset: int) -> None:
    """A broken section, span or attribute raises ScanError too, which names the byte in its chunk."""
    with pytest.raises(ScanError, match=f"at byte {offset}$"):
        scanner.annotate([record_of(span_bytes()), chunk], ANNOTATION, 10**6)


def test_annotate_lets_pass_what_it_does_not_read(scanner: Scanner) -> None:
    """A resource that cannot be read travels on, and names no service."""
    resource = field(1, field(1, attribute("service.name", text("shop"))) + b"\xff")
    result = scanner.annotate([record_of(span_bytes(), resource=resource)], ANNOTATION, 10**6)
    assert result.payloads[0][2:].startswith(resource)
    assert b"ot=th:0;rv:00000000000000" in result.payloads[0]
    assert struct.pack("<d", 1.0) in result.payloads[0]


def judged(name: str, record: bytes) -> int | None:
    """The offset of the error a scanner raises, None if it takes the record."""
    try:
        get_scanner(name).scan(PLAN, record)  # type: ignore[arg-type]
    except ScanError as error:
        return error.offset
    return None


def mutated(data: bytes, chance: random.Random) -> bytes:
    """A few bytes changed, cut out, doubled, or the end cut off."""
    out = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        if not out:
            break
        at = chance.randrange(len(out))
        match chance.randint(0, 4):
            case 0:
                out[at] = chance.randrange(256)
            case 1:
                out[at] ^= 1 << chance.randrange(8)
            case 2:
                del out[at : at + chance.randint(1, 4)]
            case 3:
                out[at:at] = out[at : at + chance.randint(1, 8)]
            case _:
                del out[at:]
    return bytes(out)


@settings(max_examples=600, deadline=None)
@given(seed=st.integers(0, 2**32), form=st.integers(0, 2**32))
def test_mutated_input_is_judged_alike(seed: int, form: int) -> None:
    """Compiled, upb and the plain walker take and refuse the same records, at the same offset."""
    chance = random.Random(form)
    record = mutated(reencoded(Generator(seed).request().SerializeToString(), chance), chance)
    fault = find_fault(record)
    offset = fault.offset if fault else None
    assert offset is None or 0 <= offset <= len(record)
    assert [judged(name, record) for name in SCANNERS] == [offset] * len(SCANNERS)
    try:
        TracesData.FromString(record)
    except DecodeError:
        return
    assert offset is None


@settings(max_examples=600, deadline=None)
@given(seed=st.integers(0, 2**32), form=st.integers(0, 2**32))
def test_mutated_input_that_is_taken_is_answered_alike(seed: int, form: int) -> None:
    """Whatever bytes the conditions and the tests in Python meet in it, both scanners give the same answers."""
    chance = random.Random(form)
    record = mutated(Generator(seed).request().SerializeToString(), chance)
    results = []
    for name in SCANNERS:
        try:
            traces = get_scanner(name).scan(PLAN, record).traces
        except ScanError:
            results.append(None)
        else:
            results.append([(trace_id, summary.bits, summary.span_count) for trace_id, _, summary in traces])
    assert all(result == results[0] for result in results)


@settings(max_examples=600, deadline=None)
@given(seed=st.integers(0, 2**32), form=st.integers(0, 2**32))
def test_mutated_chunks_are_annotated_alike(seed: int, form: int) -> None:
    """Both scanners write the same bytes, or name the same fault."""
    chance = random.Random(form)
    chunk = mutated(reencoded(Generator(seed).request().SerializeToString(), chance), chance)
    results: list[object] = []
    for name in SCANNERS:
        try:
            results.append(get_scanner(name).annotate([chunk, chunk], ANNOTATION, 2000))
        except ScanError as error:
            results.append((error.offset, error.reason))
    assert all(result == results[0] for result in results)


@settings(max_examples=300, deadline=None)
@given(record=st.binary(max_size=60))
def test_noise_is_judged_alike(record: bytes) -> None:
    """Random bytes neither crash a scanner nor divide the two."""
    assert len({judged(name, record) for name in SCANNERS}) == 1
