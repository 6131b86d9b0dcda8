"""Records of the source, made into requests: read in their encoding, and small ones put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from sampler.agent.repartition_offsets import Partition, Run
from sampler.config.source import SourceEncoding
from sampler.otlp.json_reader import JsonError, request_from_json

JOINED_BYTES = 1024 * 1024
"""Records are put together up to this size: what costs time once a request then costs little a span."""

_RESOURCE_SPANS = 0x0A
_SPACE = b" \t\r\n\xef\xbb\xbf"  # what may stand before JSON: white space, the byte order mark


class SourceRecord(Protocol):
    """What is asked of confluent-kafka's message."""

    def topic(self) -> str | None: ...
    def partition(self) -> int | None: ...
    def offset(self) -> int | None: ...
    def value(self) -> bytes | None: ...


@dataclass(slots=True, eq=False)
class Piece:
    """One record: where it stood, its value as it came, and its spans as protobuf."""

    run: Run
    offset: int
    value: bytes
    body: bytes


@dataclass(slots=True, eq=False)
class Request:
    """What is handed to the publisher in one go. `size` counts the bytes of the records as they came."""

    pieces: list[Piece] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    size: int = 0

    @property
    def body(self) -> bytes:
        """All spans; TracesData may be put one behind the other."""
        pieces = self.pieces
        return pieces[0].body if len(pieces) == 1 else b"".join([piece.body for piece in pieces])

    def apart(self) -> list[Request]:
        """A request for each record, together in place of this one."""
        singles = [Request([piece], [piece.run], len(piece.value)) for piece in self.pieces]
        for run in self.runs:
            run.waiting -= 1
        for piece in self.pieces:
            piece.run.waiting += 1
        return singles


@dataclass(frozen=True, slots=True, eq=False)
class BadRecord:
    """A record that cannot be read, and why."""

    piece: Piece
    error: str


def decode(value: bytes, encoding: SourceEncoding) -> bytes:
    """A record's spans as protobuf, as far as a look at it tells; JsonError where it is JSON and no OTLP.

    With `auto` JSON is what begins with a brace, which no OTLP protobuf does.
    """
    if encoding == "otlp_json" or (encoding == "auto" and value[:1] == b"{"):
        return request_from_json(value.removeprefix(b"\xef\xbb\xbf"))
    return value


def decode_second_try(value: bytes, encoding: SourceEncoding) -> bytes | None:
    """A record that is no protobuf, read as JSON behind white space, which may look like the beginning of protobuf.

    None where it is not JSON either.
    """
    if encoding != "auto" or not value[:64].lstrip(_SPACE).startswith(b"{"):
        return None
    try:
        return request_from_json(value.lstrip(_SPACE))
    except JsonError:
        return None


def may_be_joined(body: bytes) -> bool:
    """Whether a record is whole ResourceSpans from its first to its last byte.

    One that is cut off would take the beginning of the next record for its end.
    """
    at, end = 0, len(body)
    try:
        while at < end:
            if body[at] != _RESOURCE_SPANS:
                return False
            length = body[at + 1]
            at += 2
            if length > 0x7F:
                length &= 0x7F
                shift = 7
                while True:
                    byte = body[at]
                    at += 1
                    length |= (byte & 0x7F) << shift
                    shift += 7
                    if byte < 0x80:
                        break
                    if shift > 28:
                        return False
            at += length
    except IndexError:
        return False
    return at == end


def requests_of(
    records: Iterable[SourceRecord], begin: Callable[[Partition, int], Run], encoding: SourceEncoding
) -> Iterator[Request | BadRecord]:
    """Requests with all records, in order; `begin` is told how far each partition is read by each request."""
    request = Request()
    positions: dict[Partition, Run] = {}
    for record in records:
        partition, offset = (record.topic() or "", record.partition() or 0), record.offset() or 0
        value = record.value() or b""
        try:
            body, error = decode(value, encoding), None
        except JsonError as refused:
            body, error = b"", str(refused)
        if error is not None or not may_be_joined(body):
            # Alone, and behind what was read before it, so that every partition's runs begin in order.
            if request.pieces:
                yield request
            request, positions = Request(), {}
            run = begin(partition, offset + 1)
            piece = Piece(run, offset, value, body)
            yield Request([piece], [run], len(value)) if error is None else BadRecord(piece, error)
            continue
        known = positions.get(partition)
        if known is None:
            known = positions[partition] = begin(partition, offset + 1)
            request.runs.append(known)
        known.next_offset = offset + 1
        request.pieces.append(Piece(known, offset, value, body))
        request.size += len(value)
        if request.size >= JOINED_BYTES:
            yield request
            request, positions = Request(), {}
    if request.pieces:
        yield request
