"""Spans and bytes by service, from the wire bytes of records.

Only the borders of sections and spans are looked at, and every resource once: a few per cent of what scanning costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, cast

from google.protobuf.message import DecodeError

from sampler.otlp import native
from sampler.otlp.annotation import service_name
from sampler.otlp.sections import counted, resource_spans
from sampler.otlp.wire import field_size


class ServiceCounter(Protocol):
    """Counts spans, and the bytes of the ResourceSpans they are in, by `service.name`; empty where there is none."""

    def add(self, items: Iterable[tuple[Any, ...]], place: int) -> None:
        """Count the records (TracesData) at `place` of these tuples; one that cannot be read counts nothing."""

    def take(self) -> Mapping[str, tuple[int, int]]:
        """(spans, bytes) by service since the last call."""


class PlainServiceCounter:
    """The counter without a compiler, by protobuf's own parser."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[int, int]] = {}

    def add(self, items: Iterable[tuple[Any, ...]], place: int) -> None:
        """See `ServiceCounter.add`."""
        for item in items:
            try:
                found = [_counted(content) for content in resource_spans(item[place])]
            except DecodeError:
                continue
            for service, spans, size_bytes in found:
                before = self._counts.get(service, (0, 0))
                self._counts[service] = before[0] + spans, before[1] + size_bytes

    def take(self) -> Mapping[str, tuple[int, int]]:
        """See `ServiceCounter.take`."""
        counts, self._counts = self._counts, {}
        return counts


def _counted(content: bytes) -> tuple[str, int, int]:
    header, spans = counted(content)
    return service_name(header), spans, field_size(len(content))


_compiled = native.optional_module("services")


def service_counter(*, plain: bool = False) -> ServiceCounter:
    """A counter of its own for the caller: the compiled one where it is there."""
    if plain or _compiled is None:
        return PlainServiceCounter()
    return cast(ServiceCounter, _compiled.ServiceCounter())
