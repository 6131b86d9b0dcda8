"""The entrance of the wire layer: choosing a scanner, full decoding, and errors."""

from __future__ import annotations

import pickle

import pytest

from sampler.otlp import ScanError, decode, get_scanner, native
from tests.unit.otlp.wire_samples import attribute, field, record_of, span_bytes, text


def test_the_compiled_scanner_is_chosen_where_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` prefers it; asking for it where it is missing says what to do."""
    assert get_scanner().name == ("compiled" if native.COMPILED else "upb")
    assert get_scanner("upb").name == "upb"
    monkeypatch.setattr(native, "COMPILED", False)
    assert get_scanner().name == "upb"
    with pytest.raises(ImportError, match="install a C compiler"):
        get_scanner("compiled")


def test_decode_gives_the_resource_spans_of_all_chunks_in_order() -> None:
    """Chunks are joined; spans come as OpenTelemetry messages."""
    chunks = [record_of(span_bytes(field(5, b"one"))), record_of(span_bytes(field(5, b"two")))]
    assert [part.scope_spans[0].spans[0].name for part in decode(chunks)] == ["one", "two"]
    assert list(decode([])) == []


def test_decode_refuses_what_protobuf_cannot_read() -> None:
    """Malformed bytes with their place; text that is no UTF-8 and values too deep pass the scan but not this."""
    with pytest.raises(ScanError, match=r"at byte 1$"):
        decode([b"\x0a\x05ab"])
    with pytest.raises(ScanError, match="protobuf cannot decode"):
        decode([record_of(span_bytes(field(5, b"\xff")))])
    value = text("x")
    for _ in range(200):
        value = field(5, field(1, value))
    with pytest.raises(ScanError, match="protobuf cannot decode"):
        decode([record_of(span_bytes(field(9, attribute("a", value))))])


def test_scan_errors_travel_between_processes() -> None:
    """Offset and reason survive pickling."""
    error = pickle.loads(pickle.dumps(ScanError(7, "field number 0")))
    assert (error.offset, error.reason) == (7, "field number 0")
    assert str(error) == "not valid OTLP protobuf: field number 0, at byte 7"
