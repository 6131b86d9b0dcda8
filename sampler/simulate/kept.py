"""Kept traces read back from what the sampler wrote."""

from __future__ import annotations

from dataclasses import dataclass, field

from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, TracesData

RATE_ATTRIBUTE = "sampling.rate"
POLICY_ATTRIBUTE = "sampling.policy"


@dataclass(frozen=True, slots=True)
class KeptSpan:
    """A span as it left, with the two attributes the sampler wrote. `rate` is its adjusted count, 1 where unsaid."""

    service: str
    span: Span
    rate: float
    policy: str | None


@dataclass(slots=True)
class KeptTrace:
    """One kept trace."""

    trace_id: bytes
    spans: list[KeptSpan] = field(default_factory=list)

    @property
    def root(self) -> KeptSpan:
        """The root span; where none came, the span that began first."""
        return min(self.spans, key=lambda each: (bool(each.span.parent_span_id), each.span.start_time_unix_nano))

    @property
    def rate(self) -> float:
        """How many traces this one stands for: its root's adjusted count."""
        return self.root.rate

    @property
    def policy(self) -> str:
        """The policy that kept it."""
        return self.root.policy or "(none)"

    @property
    def duration_ns(self) -> int:
        """From the first start to the last end."""
        return max(each.span.end_time_unix_nano for each in self.spans) - min(
            each.span.start_time_unix_nano for each in self.spans
        )

    @property
    def has_error(self) -> bool:
        """Whether a span has the status ERROR."""
        return any(each.span.status.code == 2 for each in self.spans)


class KeptTraces:
    """Kept traces by id, gathered from payloads of the sampled topic or of a simulation."""

    def __init__(self) -> None:
        self.traces: dict[bytes, KeptTrace] = {}
        self.span_count = 0

    def add(self, payload: bytes) -> None:
        """Take in the spans of a TracesData."""
        for resource_spans in TracesData.FromString(payload).resource_spans:
            service = service_name(resource_spans)
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    trace = self.traces.get(span.trace_id)
                    if trace is None:
                        trace = self.traces[span.trace_id] = KeptTrace(span.trace_id)
                    trace.spans.append(_kept(service, span))
                    self.span_count += 1


def service_name(resource_spans: ResourceSpans) -> str:
    """`service.name` of a resource, `unknown_service` where it has none."""
    for attribute in resource_spans.resource.attributes:
        if attribute.key == "service.name":
            return attribute.value.string_value
    return "unknown_service"


def _kept(service: str, span: Span) -> KeptSpan:
    rate, policy = 1.0, None
    # The sampler appends its attributes: they are the last ones.
    for attribute in reversed(span.attributes[-2:]):
        if attribute.key == RATE_ATTRIBUTE:
            rate = _number(attribute.value)
        elif attribute.key == POLICY_ATTRIBUTE:
            policy = attribute.value.string_value
    return KeptSpan(service, span, rate, policy)


def _number(value: AnyValue) -> float:
    return float(value.int_value) if value.HasField("int_value") else value.double_value
