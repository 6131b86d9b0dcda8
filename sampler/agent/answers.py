"""The answers of an OTLP server, as bytes: ExportTraceServiceResponse, google.rpc.Status, google.rpc.RetryInfo.

Written by hand, because they are a handful of fields, and google.rpc messages would be one dependency more.
"""

from __future__ import annotations

import json

from sampler.otlp.wire import varint

# google.rpc.Code
INVALID_ARGUMENT = 3
NOT_FOUND = 5
RESOURCE_EXHAUSTED = 8
UNIMPLEMENTED = 12
UNAVAILABLE = 14
UNAUTHENTICATED = 16

RETRY_INFO_TYPE = "type.googleapis.com/google.rpc.RetryInfo"


def _number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value) if value else b""


def _bytes(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value


def export_response(rejected: int, message: str) -> bytes:
    """ExportTraceServiceResponse in protobuf: empty on full success, else with `partial_success`."""
    if not rejected:
        return b""
    return _bytes(1, _number(1, rejected) + _bytes(2, message.encode()))


def export_response_json(rejected: int, message: str) -> bytes:
    """The same in OTLP JSON; 64-bit integers are strings there."""
    if not rejected:
        return b"{}"
    return json.dumps({"partialSuccess": {"rejectedSpans": str(rejected), "errorMessage": message}}).encode()


def retry_info(delay_s: float) -> bytes:
    """google.rpc.RetryInfo with a delay in seconds."""
    seconds, nanos = divmod(round(delay_s * 1e9), 1_000_000_000)
    return _bytes(1, _number(1, seconds) + _number(2, nanos))


def status(code: int, message: str, retry_after_s: float | None = None) -> bytes:
    """google.rpc.Status in protobuf, with RetryInfo among the details where a delay is given."""
    out = _number(1, code) + _bytes(2, message.encode())
    if retry_after_s is not None:
        out += _bytes(3, _bytes(1, RETRY_INFO_TYPE.encode()) + _bytes(2, retry_info(retry_after_s)))
    return out


def status_json(code: int, message: str, retry_after_s: float | None = None) -> bytes:
    """google.rpc.Status in protobuf's JSON mapping."""
    body: dict[str, object] = {"code": code, "message": message}
    if retry_after_s is not None:
        body["details"] = [{"@type": RETRY_INFO_TYPE, "retryDelay": f"{retry_after_s:g}s"}]
    return json.dumps(body).encode()


def wrong_signal(signal: str) -> str:
    """The sentence for a client that sends another signal here."""
    name = signal.upper()
    return (
        f"tailsampler receives traces only: send {signal} to a Collector or backend of your own "
        f"(set OTEL_EXPORTER_OTLP_{name}_ENDPOINT, or OTEL_{name}_EXPORTER=none to switch them off)"
    )
