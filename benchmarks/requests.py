"""The agent's load: OTLP requests of 512 spans of one service, one to three spans a trace, about 190 kB.

A pool of templates is built once; a request is a template with fresh ids written over the old ones, so that every trace
of the load is different and the client has little to do. The same seed, the same ids.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import wire

SPANS_PER_REQUEST = 512
TEMPLATES = 32
START_NS = 1_700_000_000_000_000_000


@dataclass(frozen=True, slots=True)
class _Template:
    """`places`: for each trace the positions of its spans' trace ids; a span id lies 18 bytes behind each."""

    body: bytes
    places: tuple[tuple[int, ...], ...]


class RequestPool:
    """Requests by number."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._templates = [_template(random.Random(f"{seed}.{number}"), number) for number in range(TEMPLATES)]

    def request(self, number: int) -> bytes:
        """Request `number` as ExportTraceServiceRequest bytes."""
        template = self._templates[number % TEMPLATES]
        body = bytearray(template.body)
        for trace_id, places in zip(self.trace_ids(number), template.places, strict=True):
            for place in places:
                body[place : place + 16] = trace_id
        return bytes(body)

    def trace_ids(self, number: int) -> list[bytes]:
        """The ids of the traces in a request, in the order of `spans_per_trace`."""
        count = len(self._templates[number % TEMPLATES].places)
        pool = random.Random(self._seed * 1_000_003 + number).randbytes(16 * count)
        return [pool[i : i + 16] for i in range(0, len(pool), 16)]

    def expected(self, requests: int) -> Iterator[tuple[bytes, int]]:
        """(trace id, spans) of every trace in the first `requests` requests."""
        for number in range(requests):
            places = self._templates[number % TEMPLATES].places
            for trace_id, found in zip(self.trace_ids(number), places, strict=True):
                yield trace_id, len(found)


def _template(rng: random.Random, number: int) -> _Template:
    spans: list[bytes] = []
    owners: list[int] = []
    traces = 0
    while len(spans) < SPANS_PER_REQUEST:
        trace_id, parent = rng.randbytes(16), b""
        for _ in range(min(rng.randint(1, 3), SPANS_PER_REQUEST - len(spans))):
            span_id, variant = rng.randbytes(8), rng.randrange(wire.VARIANTS)
            spans.append(wire.span(trace_id, span_id, parent, START_NS, START_NS + 10**7, variant, wire.ORDINARY))
            owners.append(traces)
            parent = span_id
        traces += 1
    body = wire.resource_spans(number % len(wire.SERVICES), spans)
    # Spans stand one after the other at the end; an id begins five bytes into its span.
    at = len(body) - sum(map(len, spans))
    places: list[list[int]] = [[] for _ in range(traces)]
    for span, owner in zip(spans, owners, strict=True):
        places[owner].append(at + 5)
        at += len(span)
    return _Template(body, tuple(map(tuple, places)))
