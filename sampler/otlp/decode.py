"""Full decoding, for policies that read whole spans."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, TracesData

from sampler.otlp.errors import ScanError
from sampler.otlp.walk import find_fault


def decode(chunks: Sequence[bytes]) -> Sequence[ResourceSpans]:
    """The ResourceSpans of a trace in order.

    ScanError where protobuf cannot read them: what scans may still hold text that is not UTF-8, or values nested
    deeper than protobuf goes.
    """
    data = b"".join(chunks)
    try:
        return TracesData.FromString(data).resource_spans
    except DecodeError as error:
        raise find_fault(data) or ScanError(0, f"protobuf cannot decode it: {error}") from None
