"""Prints estimates: a table for people, or one JSON object a key and line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sampler.estimate.gather import Counted, Gathered, Key, KeySpec
from sampler.estimate.statistics import CONFIDENCE, Interval, estimate, quantile, ratio
from sampler.tables import aligned, count, duration

QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is printed: `buckets_ms` are upper bounds, in rising order, of a histogram of durations."""

    confidence: float = CONFIDENCE
    buckets_ms: tuple[float, ...] = ()
    limit: int = 0
    """The largest keys only; 0 is all."""


def _ranked(gathered: Gathered, limit: int) -> list[tuple[Key, list[Counted]]]:
    by_key = gathered.by_key()
    ranked = sorted(by_key.items(), key=lambda each: (-sum(c.rate * c.spans for c in each[1]), each[0]))
    return ranked[:limit] if limit else ranked


def json_lines(gathered: Gathered, spec: KeySpec, asked: Asked) -> Iterator[str]:
    """One object a key, the most frequent first; numbers are {"value", "low", "high"}."""
    for key, counted in _ranked(gathered, asked.limit):
        yield json.dumps(_object(key, counted, spec, asked))


def _object(key: Key, counted: Sequence[Counted], spec: KeySpec, asked: Asked) -> dict[str, object]:
    confidence = asked.confidence
    share, share_between = ratio([(c.rate, c.errors, c.spans) for c in counted], confidence)
    durations = [(c.rate, ns / 1e6) for c in counted for ns in c.durations_ns]
    found: dict[str, object] = {
        "key": dict(zip(spec.fields, key, strict=True)),
        "kept_traces": len(counted),
        spec.unit: _total([(c.rate, float(c.spans)) for c in counted], confidence),
        "errors": _total([(c.rate, float(c.errors)) for c in counted], confidence),
        "error_rate": _number(share, share_between),
        "duration_ms": {f"p{q * 100:g}": _number(*quantile(durations, q, confidence)) for q in QUANTILES},
    }
    if asked.buckets_ms:
        found["buckets"] = [
            {"le_ms": bound, **_total([(c.rate, _below(c, bound)) for c in counted], confidence)}
            for bound in asked.buckets_ms
        ]
    return found


def _below(counted: Counted, bound_ms: float) -> float:
    return float(sum(ns <= bound_ms * 1e6 for ns in counted.durations_ns))


def _total(counted: Sequence[tuple[float, float]], confidence: float) -> dict[str, float]:
    found = estimate(counted)
    return _number(found.value, found.interval(confidence))


def _number(value: float, between: Interval) -> dict[str, float]:
    return {"value": _short(value), "low": _short(between.low), "high": _short(between.high)}


def _short(number: float) -> float:
    """Seven figures, which is more than any estimate is good for."""
    return float(f"{number:.7g}")


def table_lines(gathered: Gathered, spec: KeySpec, asked: Asked) -> Iterator[str]:
    """A row a key, the most frequent first, and below it what the intervals mean."""
    name = ", ".join(spec.fields) or "all"
    head = [name, "kept", spec.unit, "between", "errors", "between", *(f"p{q * 100:g}" for q in QUANTILES)]
    rows = [head, *(_row(key, counted, asked) for key, counted in _ranked(gathered, asked.limit))]
    yield from aligned(rows)
    yield ""
    yield (
        f"{count(len(gathered))} kept traces with {count(gathered.span_count)} spans were read. "
        f"The true value lies between the two numbers with {asked.confidence * 100:.4g}% confidence."
    )
    if asked.buckets_ms:
        yield ""
        yield from aligned(list(_histogram(gathered, spec, asked)))


def _row(key: Key, counted: Sequence[Counted], asked: Asked) -> list[str]:
    total = estimate((c.rate, float(c.spans)) for c in counted)
    share, share_between = ratio([(c.rate, c.errors, c.spans) for c in counted], asked.confidence)
    durations = [(c.rate, float(ns)) for c in counted for ns in c.durations_ns]
    return [
        ", ".join(key) or "all",
        count(len(counted)),
        count(total.value),
        _between(total.interval(asked.confidence)),
        f"{share:.2%}",
        f"{share_between.low:.2%} - {share_between.high:.2%}",
        *(duration(round(quantile(durations, q)[0])) for q in QUANTILES),
    ]


def _histogram(gathered: Gathered, spec: KeySpec, asked: Asked) -> Iterator[list[str]]:
    yield [f"{spec.unit} of at most", *(f"{bound:g} ms" for bound in asked.buckets_ms)]
    for key, counted in _ranked(gathered, asked.limit):
        totals = [estimate((c.rate, _below(c, bound)) for c in counted) for bound in asked.buckets_ms]
        yield [", ".join(key) or "all", *(count(total.value) for total in totals)]


def _between(interval: Interval) -> str:
    return f"{count(interval.low)} - {count(interval.high)}"
