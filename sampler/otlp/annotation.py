"""What is written on the spans of a kept trace: sampling rate, deciding policy, and the tracestate entry `ot=`."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from policies.randomness import RandomnessSource
from policies.rset import SPACE, Intervals
from sampler.otlp.errors import ScanError
from sampler.otlp.tracestate import OtEntry, parse, render
from sampler.otlp.walk import fields
from sampler.otlp.wire import field, varint

_INT64_MAX = 2**63 - 1
_NATURAL = (RandomnessSource.RV, RandomnessSource.TRACE_ID)


@dataclass(slots=True)
class Annotation:
    """How the spans of one kept trace are marked; treat it as a value.

    `keep`: the decision's set of R as sorted, disjoint [low, high). `randomness`: R, read for hash sources only.
    `incoming_probability`: with which the spans were sampled before they came here without saying so, in (0, 1]; one
    number, or one by service name with `incoming_probability_default` for services not named.
    """

    keep: Intervals
    source: RandomnessSource
    randomness: int = 0
    policy: str | None = None
    rate_attribute: str = "sampling.rate"
    policy_attribute: str = "sampling.policy"
    rate_as_int: bool = False
    incoming_probability: float | Mapping[str, float] = 1.0
    incoming_probability_default: float = 1.0

    def probability_for(self, resource_header: bytes) -> float:
        """The incoming probability of spans under a ResourceSpans header."""
        declared = self.incoming_probability
        if isinstance(declared, Mapping):
            return declared.get(service_name(resource_header), self.incoming_probability_default)
        return declared


class AnnotateResult(NamedTuple):
    """`payloads`: the trace as TracesData, each within the size limit; `oversize`: spans that cannot fit, one each."""

    payloads: list[bytes]
    spans: int
    """Spans written into `payloads`."""
    copies_removed: int
    oversize: list[bytes]


class Suffix(NamedTuple):
    """What a span gets: `fields` are appended to it; its own tracestate stays where `keep_tracestate`."""

    fields: bytes
    keep_tracestate: bool


def suffix_for(annotation: Annotation, tracestate: bytes, probability: float) -> Suffix:
    """What to append to a span that carries `tracestate`.

    An explicit or id-bit R makes the decision comparable with the span's own `th`: both hold, so the intersection is
    what the span was kept with. A hash is independent of it: the probabilities multiply, and no single `th` states
    the product.
    """
    a = annotation
    hashed = a.source in _HASHED
    style = (a.keep, a.source, a.policy, a.rate_attribute, a.policy_attribute, a.rate_as_int, probability)
    if tracestate:
        return _suffix(a.randomness if hashed else 0, tracestate, *style)
    if not hashed:
        return _plain(*style)
    before, after = _plain_around_rv(*style)
    return Suffix(before + b"%014x" % a.randomness + after, False)


_HASHED = (RandomnessSource.HASH, RandomnessSource.FORCED_HASH)


def _suffix(
    randomness: int,
    tracestate: bytes,
    keep: Intervals,
    source: RandomnessSource,
    policy: str | None,
    rate_attribute: str,
    policy_attribute: str,
    rate_as_int: bool,
    probability: float,
) -> Suffix:
    entry = parse(tracestate) if tracestate else _NO_ENTRY
    rate, written = _decide(keep, source, randomness, entry)
    attributes = _attributes(rate / probability, policy, rate_attribute, policy_attribute, rate_as_int)
    if written is entry:
        return Suffix(attributes, True)
    header = render(written)
    return Suffix(field(b"\x1a", header) + attributes if header else attributes, False)


_Style: TypeAlias = Any


@lru_cache(maxsize=4096)
def _plain(*style: _Style) -> Suffix:
    """The suffix of spans without tracestate where R is not written: the same for many traces."""
    return _suffix(0, b"", *style)


@lru_cache(maxsize=4096)
def _plain_around_rv(*style: _Style) -> tuple[bytes, bytes]:
    """What stands before and behind R in the suffix of spans without tracestate."""
    before, rv, after = _suffix(0, b"", *style).fields.partition(b"rv:" + b"0" * 14)
    return before + rv[:3], after


_NO_ENTRY = OtEntry()


def _decide(keep: Intervals, source: RandomnessSource, randomness: int, entry: OtEntry) -> tuple[float, OtEntry]:
    """(adjusted count, entry to write; the same object where it stays as it is)."""
    natural = source in _NATURAL or (source is RandomnessSource.FORCED_TRACE_ID and entry.rv < 0)
    if natural:
        low = max(entry.th, 0)
        effective = tuple((max(start, low), end) for start, end in keep if end > low)
        threshold = _threshold(effective)
        if threshold == entry.th:
            return _rate(effective), entry
        return _rate(effective), entry._replace(th=threshold)
    if source in _HASHED and entry.th < 0 and entry.rv < 0:
        return _rate(keep), entry._replace(th=_threshold(keep), rv=randomness)
    if entry.th < 0:
        return _rate(keep), entry
    return _rate(keep) * (SPACE / (SPACE - entry.th)), entry._replace(th=-1)


def _threshold(keep: Intervals) -> int:
    """T of one upper interval; -1 for any other set."""
    return keep[0][0] if len(keep) == 1 and keep[0][1] == SPACE else -1


def _rate(keep: Intervals) -> float:
    """How many traces one stands for; 0 for the empty set, that of a trace kept beside the sample."""
    measure = sum(high - low for low, high in keep)
    return SPACE / measure if measure else 0.0


@lru_cache(maxsize=4096)
def _attributes(rate: float, policy: str | None, rate_key: str, policy_key: str, as_int: bool) -> bytes:
    number = b"\x18" + varint(min(round(rate), _INT64_MAX)) if as_int else b"\x21" + struct.pack("<d", rate)
    written = _attribute(rate_key, number)
    if policy is not None:
        written += _attribute(policy_key, field(b"\x0a", policy.encode("utf-8", "replace")))
    return written


def _attribute(key: str, value: bytes) -> bytes:
    return field(b"\x4a", field(b"\x0a", key.encode()) + field(b"\x12", value))


def service_name(resource_header: bytes) -> str:
    """`service.name` of the resource in a ResourceSpans header; empty where it is absent, no string, or malformed."""
    if len(resource_header) <= _REMEMBERED_HEADER:
        return _remembered_name(resource_header)
    return _service_name(resource_header)


def _service_name(data: bytes) -> str:
    name = b""
    try:
        for part in fields(data, 0, len(data)):
            if part.tag != 0x0A:
                continue
            for attribute in fields(data, part.value, part.end):
                if attribute.tag == 0x0A:
                    key, value = _key_and_text(data[attribute.value : attribute.end])
                    name = value if key == b"service.name" else name
    except ScanError:
        return ""
    return name.decode("utf-8", "replace")


_REMEMBERED_HEADER = 4096
_remembered_name = lru_cache(maxsize=1024)(_service_name)


def _key_and_text(data: bytes) -> tuple[bytes, bytes]:
    key = text = b""
    for part in fields(data, 0, len(data)):
        if part.tag == 0x0A:
            key = data[part.value : part.end]
        elif part.tag == 0x12:
            for inner in fields(data, part.value, part.end):
                if inner.tag == 0x0A:
                    text = data[inner.value : inner.end]
    return key, text
