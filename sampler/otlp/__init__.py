"""The wire layer: OTLP traces as protobuf bytes, cut by trace, summarised, annotated and packed by partition.

Two scanners answer alike: the compiled one, and one on protobuf's C parser for places without a C compiler.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from sampler.otlp import native
from sampler.otlp.annotation import AnnotateResult, Annotation
from sampler.otlp.decode import decode
from sampler.otlp.errors import PlanError, ScanError
from sampler.otlp.partition import Hasher, message_key
from sampler.otlp.plan import ScanPlan, compile_plan
from sampler.otlp.results import ScanResult, SplitResult
from sampler.otlp.summary import Summary

__all__ = [
    "AnnotateResult",
    "Annotation",
    "Hasher",
    "PlanError",
    "ResourceSpans",
    "ScanError",
    "ScanPlan",
    "ScanResult",
    "Scanner",
    "SplitResult",
    "Summary",
    "compile_plan",
    "decode",
    "fnv1a64",
    "get_scanner",
    "is_compiled",
    "message_key",
    "new_summary",
    "partition_of",
    "unpack_summary",
]


class Scanner(Protocol):
    """Reads and writes OTLP trace data. Wrong input raises ScanError; nothing is half done then.

    A chunk is the wire bytes of a valid `TracesData` that holds spans of one trace only. Spans whose trace id is not
    16 bytes or whose span id is not 8, or all zero, are left out and counted.
    """

    @property
    def name(self) -> str:
        """`compiled` or `upb`."""

    def scan(self, plan: ScanPlan, record: bytes) -> ScanResult:
        """Cut a record (TracesData or ExportTraceServiceRequest) into one chunk a trace, each with its summary."""

    def split(self, request: bytes, partitions: int, hasher: Hasher) -> SplitResult:
        """Pack a request's spans by the partition of their trace; a part is per-trace chunks one after the other."""

    def annotate(self, chunks: Sequence[bytes], annotation: Annotation, max_size_bytes: int) -> AnnotateResult:
        """The spans of one kept trace, marked, exact copies removed, in payloads of at most `max_size_bytes`."""


partition_of = native.partition_of
fnv1a64 = native.fnv1a64
is_compiled = native.is_compiled
new_summary = native.new_summary
unpack_summary = native.unpack_summary


def get_scanner(prefer: Literal["auto", "compiled", "upb"] = "auto") -> Scanner:
    """A scanner of its own for the caller: the compiled one where it is there, unless `prefer` says otherwise.

    ImportError where `compiled` is asked for and missing.
    """
    if prefer == "upb" or (prefer == "auto" and not native.COMPILED):
        from sampler.otlp.upb import UpbScanner

        return UpbScanner()
    if not native.COMPILED:
        raise ImportError("the compiled scanner is missing: install a C compiler and run `pip install -e .` again")
    return native.compiled_scanner()
