"""How many spans a record holds, without looking into them."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from sampler.otlp import native
from sampler.otlp.walk import MAX_DEPTH, fields

RESOURCE_SPANS = 0x0A
SCOPE_SPANS = SPAN = 0x12


def plain_count_spans(record: bytes) -> int:
    """As `count_spans`, in plain Python."""
    spans = 0
    for resource in fields(record, 0, len(record)):
        if resource.tag != RESOURCE_SPANS:
            continue
        for scope in fields(record, resource.value, resource.end, MAX_DEPTH - 1):
            if scope.tag == SCOPE_SPANS:
                inside = fields(record, scope.value, scope.end, MAX_DEPTH - 2)
                spans += sum([field.tag == SPAN for field in inside])
    return spans


_compiled = native.optional_module("counting")

count_spans = plain_count_spans if _compiled is None else cast("Callable[[bytes], int]", _compiled.count_spans)
"""The number of spans of a `TracesData` (or ExportTraceServiceRequest), from its wire bytes.

ScanError where the messages down to the spans cannot be told apart; what is inside a span is not looked at. A record
that passes can be joined with others: none of its fields reaches beyond its end.
"""
