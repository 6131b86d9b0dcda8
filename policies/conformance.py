"""What every policy owes, as a test class to inherit. Import it from `policies.testing`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from policies.contract import Policy
from policies.policy_set import PolicySet, TraceInput, build_policy_set
from policies.reference import reference_summary
from policies.registry import installed


def _spans(*spans: Span) -> tuple[ResourceSpans, ...]:
    return (ResourceSpans(scope_spans=[ScopeSpans(spans=spans)]),)


ODD_TRACES: tuple[tuple[ResourceSpans, ...], ...] = (
    (),
    _spans(Span()),
    _spans(Span(parent_span_id=b"\x01" * 8)),
    _spans(Span(start_time_unix_nano=5_000_000_000, end_time_unix_nano=1_000_000_000)),
    _spans(*(Span(name="n", span_id=bytes(7) + bytes([i])) for i in range(30))),
    _spans(Span(trace_state="ot=rv:0123456789abcd;th:8", status=Status(code=Status.STATUS_CODE_ERROR))),
    _spans(Span(trace_state=",,=;ot=rv:zz;th:")),
)
"""Traces that policies meet sooner or later: no spans, no times, no root, times turned round, odd tracestates."""


class PolicyConformance:
    """Inherit it, name the policy class and some configs; pytest runs the rest.

    `traces` are extra traces, each as ResourceSpans, on which the policy shows its different answers.
    """

    policy: ClassVar[type[Policy]]
    configs: ClassVar[Sequence[Mapping[str, Any]]] = ({},)
    traces: ClassVar[Sequence[Sequence[ResourceSpans]]] = ()

    def _sets(self) -> Iterator[PolicySet]:
        for config in self.configs:
            yield self._build(config)

    def _build(self, config: Mapping[str, Any]) -> PolicySet:
        kind = self.policy.type
        registry = installed(extra={kind: self.policy})
        return build_policy_set([{"name": "subject", "type": kind, kind: config}], registry=registry)

    def _inputs(self, policy_set: PolicySet) -> list[TraceInput]:
        every = (*ODD_TRACES, *self.traces)
        return [
            (
                (index * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128).to_bytes(16, "big"),
                reference_summary(policy_set.span_conditions, spans),
                lambda spans=spans: spans,  # type: ignore[misc]
            )
            for index, spans in enumerate(every, start=1)
        ]

    def test_says_in_one_line_what_it_keeps(self) -> None:
        """`describe` gives one line of text."""
        for policy_set in self._sets():
            text = policy_set.describe().partition(": ")[2]
            assert text.strip(), "describe() must not be empty"
            assert "\n" not in text, "describe() must be one line"

    def test_never_fails_and_reads_only_what_it_declares(self) -> None:
        """No trace, however odd, makes it raise; ContractError here means `reads` or `conditions` is incomplete."""
        for policy_set in self._sets():
            policy_set.decide(0, self._inputs(policy_set), policy_set.initial_state())
            assert not policy_set.errors, policy_set.last_errors

    def test_gives_the_same_answer_in_any_order_and_again(self) -> None:
        """The verdicts of a tick do not depend on the order of traces, on earlier calls or on the instance."""
        for config in self.configs:
            first, second = self._build(config), self._build(config)
            inputs = self._inputs(first)
            verdicts = first.decide(1000, inputs, first.initial_state())
            assert first.decide(1000, inputs, first.initial_state()) == verdicts
            assert second.decide(1000, inputs[::-1], second.initial_state())[::-1] == verdicts

    def test_state_survives_being_stored(self) -> None:
        """Limiter state is JSON-able, and settling goes on from the stored form exactly as from the live one."""
        for policy_set in self._sets():
            inputs = self._inputs(policy_set)
            live = policy_set.initial_state()
            stored = json.loads(json.dumps(live))
            for tick_ms in (1000, 1250, 9000):
                verdicts = policy_set.decide(tick_ms, inputs, live)
                assert policy_set.decide(tick_ms, inputs, stored) == verdicts
                stored = json.loads(json.dumps(stored))
                assert stored == live, "the state must be the same after json.dumps and json.loads"

    def test_settings_are_json(self) -> None:
        """Equal configs give equal content hashes."""
        for config in self.configs:
            assert self._build(config).content_hash == self._build(config).content_hash
