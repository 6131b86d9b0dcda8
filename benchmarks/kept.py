"""Whether what left a worker is what should have: every kept trace whole, once and annotated, and nothing else.

Decoded with the protobuf classes of OpenTelemetry and compared with the load's own knowledge; no code of the product.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

from benchmarks import wire
from benchmarks.loads import Load, drawn_by_probabilistic

RATE, POLICY = "sampling.rate", "sampling.policy"
PROBABILISTIC_RATE = 10.0
RATE_TOLERANCE = 1e-6


def expected_kept(load: Load) -> dict[bytes, tuple[int, float]]:
    """(number in the load, adjusted count of its spans) by trace id, for every trace that the policies keep."""
    kept: dict[bytes, tuple[int, float]] = {}
    for number, (trace_id, special) in enumerate(zip(load.trace_ids, load.special, strict=True)):
        if special != wire.ORDINARY:
            kept[trace_id] = number, 1.0
        elif drawn_by_probabilistic(trace_id):
            kept[trace_id] = number, PROBABILISTIC_RATE
    return kept


@dataclass(slots=True)
class KeptReport:
    """How the output differs from what it should be; `faults` counts traces (spans, for annotations) by kind."""

    traces: int
    faults: Counter[str] = field(default_factory=Counter)

    @property
    def ok(self) -> bool:
        """Nothing differs."""
        return not self.faults

    def __str__(self) -> str:
        return ", ".join(f"{count} {kind}" for kind, count in sorted(self.faults.items())) or "as expected"


def compare(load: Load, expected: dict[bytes, tuple[int, float]], values: Iterable[bytes | None]) -> KeptReport:
    """Compare the values of the sampled topic with the expected traces."""
    found: dict[bytes, list[bytes]] = {}
    report = KeptReport(len(expected))
    for value in values:
        for resource_spans in TracesData.FromString(value or b"").resource_spans:
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    wanted = expected.get(span.trace_id)
                    if wanted is not None and not _annotated(span, wanted[1]):
                        report.faults["spans with wrong annotations"] += 1
                    found.setdefault(span.trace_id, []).append(span.span_id)
    report.faults["traces too many"] = len(found.keys() - expected.keys())
    report.faults["traces lost"] = len(expected.keys() - found.keys())
    for trace_id, span_ids in found.items():
        if trace_id in expected:
            wanted_ids = load.span_ids(expected[trace_id][0])
            report.faults["traces not whole"] += not set(span_ids) >= set(wanted_ids)
            report.faults["traces with spans twice or foreign"] += len(span_ids) > len(wanted_ids)
    report.faults += Counter()  # drops the zeros
    return report


def _annotated(span: Span, rate: float) -> bool:
    """The ten attributes it came with, the adjusted count and a policy's name."""
    added = {a.key: a.value for a in list(span.attributes)[wire.ATTRIBUTES_PER_SPAN :]}
    if added.keys() != {RATE, POLICY} or not added[POLICY].string_value:
        return False
    number = added[RATE].double_value or added[RATE].int_value
    return bool(abs(number - rate) <= RATE_TOLERANCE * rate)
