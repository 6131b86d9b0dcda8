"""What a backend's answer means.

The rules are those of the OTLP specification: OTLP/gRPC and OTLP/HTTP, failures, throttling and partial success.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from sampler.otlp.errors import ScanError
from sampler.otlp.walk import BYTES, Field, fields, read_varint

LONGEST_WAIT_S: Final = 3600.0
"""A backend that asks to be left alone for longer is asked again after this time."""
SAID_CHARACTERS: Final = 300
"""How much of a backend's own words is kept."""


class Fate(enum.Enum):
    """What is to be done with a request after its answer."""

    ACCEPTED = "accepted"
    LATER = "later"
    """It may be taken later: sent again after a while."""
    TOO_LARGE = "too_large"
    """Smaller ones may be taken."""
    REFUSED = "refused"
    """Something in it will never be taken."""
    DENIED = "denied"
    """Nothing is taken from us at all (credentials, address): no record is to blame, so it is sent again until that is
    mended."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of one request. `code` is the protocol's name of it, short, for metrics."""

    fate: Fate
    code: str
    text: str = ""
    rejected_spans: int = 0
    retry_after_s: float | None = None


GRPC_LATER: Final = frozenset({"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"})
GRPC_DENIED: Final = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED"})
HTTP_LATER: Final = frozenset({429, 502, 503, 504})
HTTP_DENIED: Final = frozenset({401, 403, 404, 405, 407})
_RETRY_INFO = b"google.rpc.RetryInfo"


def grpc_answer(
    code: str, text: str, trailers: Iterable[tuple[str, str | bytes]], also_later: Collection[str] = ()
) -> Answer:
    """The answer of a call that failed with a status `code` (its name)."""
    wait_s = grpc_retry_after_s(trailers)
    text = cleaned(text)
    if code in GRPC_LATER or code in also_later or (code == "RESOURCE_EXHAUSTED" and wait_s is not None):
        return Answer(Fate.LATER, code, text, retry_after_s=wait_s)
    if code == "RESOURCE_EXHAUSTED":
        return Answer(Fate.TOO_LARGE, code, text)
    return Answer(Fate.DENIED if code in GRPC_DENIED else Fate.REFUSED, code, text)


def http_answer(
    status: int, text: str, retry_after: str | None, now_ms: int, also_later: Collection[str] = ()
) -> Answer:
    """The answer of a request with a status that is not 2xx; `retry_after` is that header."""
    code, text = str(status), cleaned(text)
    if status in HTTP_LATER or code in also_later:
        return Answer(Fate.LATER, code, text, retry_after_s=http_retry_after_s(retry_after, now_ms))
    if status == 413:
        return Answer(Fate.TOO_LARGE, code, text)
    # A redirection is not followed: credentials would go where nobody said that they may.
    return Answer(Fate.DENIED if status in HTTP_DENIED or 300 <= status < 400 else Fate.REFUSED, code, text)


def accepted(body: bytes) -> Answer:
    """The answer of a success with this ExportTraceServiceResponse; one that cannot be read is a success too."""
    try:
        partial = b"".join(body[each.value : each.end] for each in _fields(body) if each.tag == 0x0A)
        rejected, message = 0, b""
        for each in _fields(partial):
            if each.tag == 0x08:
                rejected, _ = read_varint(partial, each.value, each.end, 10, 4)
            elif each.tag == 0x12:
                message = partial[each.value : each.end]
    except ScanError:
        return Answer(Fate.ACCEPTED, "OK")
    if rejected >= 2**63:  # int64, and nobody rejects fewer than none
        rejected = 0
    return Answer(Fate.ACCEPTED, "OK", cleaned(message.decode(errors="replace")), rejected)


def grpc_retry_after_s(trailers: Iterable[tuple[str, str | bytes]]) -> float | None:
    """The delay of the RetryInfo among a call's trailers, in seconds; None where there is none."""
    for key, value in trailers:
        if not isinstance(value, bytes):
            continue
        try:
            if key == "grpc-status-details-bin":
                for detail in _inside(value, 0x1A):
                    if any(url.endswith(_RETRY_INFO) for url in _inside(detail, 0x0A)):
                        return _delay_s(b"".join(_inside(detail, 0x12)))
            elif key == "google.rpc.retryinfo-bin":
                return _delay_s(value)
        except ScanError:
            continue
    return None


def http_retry_after_s(value: str | None, now_ms: int) -> float | None:
    """The wait that a Retry-After header asks for, in seconds: a number of them or a date; None for anything else."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value), LONGEST_WAIT_S)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return min(max(0.0, at.timestamp() - now_ms / 1000), LONGEST_WAIT_S)


def cleaned(text: str) -> str:
    """A backend's words as one line of bounded length."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * SAID_CHARACTERS]).split())
    return text if len(text) <= SAID_CHARACTERS else text[: SAID_CHARACTERS - 1] + "…"


def _fields(data: bytes) -> Iterable[Field]:
    return fields(data, 0, len(data))


def _inside(data: bytes, tag: int) -> list[bytes]:
    """The contents of a message's length-delimited fields with a tag."""
    assert tag & 7 == BYTES
    return [data[each.value : each.end] for each in _fields(data) if each.tag == tag]


def _delay_s(retry_info: bytes) -> float:
    """google.rpc.RetryInfo: field 1 is a google.protobuf.Duration; 0 where it names none."""
    seconds = nanos = 0
    duration = b"".join(_inside(retry_info, 0x0A))
    for each in _fields(duration):
        if each.tag in {0x08, 0x10}:
            number, _ = read_varint(duration, each.value, each.end, 10, 4)
            number = number - 2**64 if number >= 2**63 else number
            seconds, nanos = (number, nanos) if each.tag == 0x08 else (seconds, number)
    delay = seconds + nanos / 1e9
    return min(max(0.0, delay), LONGEST_WAIT_S) if math.isfinite(delay) else 0.0
