"""What every policy owes, as a test class to inherit. Import it from `policies.testing`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol

from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from policies.claims import Tick
from policies.contract import Policy
from policies.partition_exchange import MemoryExchange
from policies.policy_set import PolicySet, TraceInput, build_policy_set
from policies.reference import reference_summary, span_contexts
from policies.registry import installed
from policies.state import check_state
from policies.verdict import Verdict


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

BUSY_TRACE = _spans(
    *(
        Span(
            name=f"{'GET' if number % 2 else 'SELECT'} {number}",
            span_id=bytes(7) + bytes([number]),
            parent_span_id=bytes(7) + bytes([number // 2]) if number > 1 else b"",
            start_time_unix_nano=1_700_000_000_000_000_000 + number * 10_000_000,
            end_time_unix_nano=1_700_000_000_000_000_000 + number * 30_000_000,
            status=Status(code=Status.STATUS_CODE_ERROR if number == 7 else Status.STATUS_CODE_OK),
        )
        for number in range(1, 11)
    )
)
"""Ten spans that differ in all that a policy may look at: it shows whether it looks at the first or the last one."""


class HasSpans(Protocol):
    """A trace as `policies.testing.trace` builds it."""

    @property
    def resource_spans(self) -> Sequence[ResourceSpans]: ...


class PolicyConformance:
    """Inherit it, name the policy class and some configs; pytest runs the rest, as `tailsampler policies test` does.

    `traces` are extra traces, built by `trace` or as ResourceSpans, on which the policy shows its different answers.
    """

    policy: ClassVar[type[Policy]]
    configs: ClassVar[Sequence[Mapping[str, Any]]] = ({},)
    traces: ClassVar[Sequence[Sequence[ResourceSpans] | HasSpans]] = ()

    def _sets(self) -> Iterator[PolicySet]:
        for config in self.configs:
            yield self._build(config)

    def _build(self, config: Mapping[str, Any]) -> PolicySet:
        kind = self.policy.type
        registry = installed(extra={kind: self.policy})
        return build_policy_set([{"name": "subject", "type": kind, kind: config}], registry=registry)

    def _every_trace(self) -> list[Sequence[ResourceSpans]]:
        own = (each if isinstance(each, Sequence) else each.resource_spans for each in self.traces)
        return [*ODD_TRACES, BUSY_TRACE, *own]

    def _inputs(self, policy_set: PolicySet, traces: Sequence[Sequence[ResourceSpans]] = ()) -> list[TraceInput]:
        """`traces` as the policy set takes them, each with the size of its original; by default every one."""
        originals = self._every_trace()
        return [
            (
                (index * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128).to_bytes(16, "big"),
                reference_summary(
                    policy_set.span_conditions, spans, size_bytes=sum(unit.ByteSize() for unit in originals[index - 1])
                ),
                lambda spans=spans: spans,  # type: ignore[misc]
            )
            for index, spans in enumerate(traces or originals, start=1)
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
            assert not policy_set.errors, "; ".join(policy_set.last_errors.values())

    def test_gives_the_same_answer_in_any_order_and_again(self) -> None:
        """The verdicts of a tick do not depend on the order of traces, on earlier calls or on the instance."""
        for config in self.configs:
            first, second = self._build(config), self._build(config)
            inputs = self._inputs(first)
            verdicts = first.decide(1000, inputs, first.initial_state())
            again = first.decide(1000, inputs, first.initial_state())
            assert again == verdicts, _differ("asked again", verdicts, again)
            turned = second.decide(1000, inputs[::-1], second.initial_state())[::-1]
            assert turned == verdicts, _differ("another instance, asked in the opposite order,", verdicts, turned)

    def test_gives_the_same_answer_for_spans_in_any_order(self) -> None:
        """Spans come in any order and in any number of parts: the verdict on a trace is the same."""
        for config in self.configs:
            policy_set = self._build(config)
            verdicts = policy_set.decide(1000, self._inputs(policy_set), policy_set.initial_state())
            for how, form in (
                ("one by one", _one_by_one),
                ("one by one, the last first,", lambda spans: _one_by_one(spans)[::-1]),
                ("in the middle first", lambda spans: _rotated(_one_by_one(spans))),
            ):
                other = self._build(config)
                traces = [form(spans) for spans in self._every_trace()]
                came = other.decide(1000, self._inputs(other, traces), other.initial_state())
                assert came == verdicts, _differ(f"with its spans {how}", verdicts, came)

    def test_state_survives_being_stored(self) -> None:
        """Limiter state is JSON-able, and settling goes on from the stored form exactly as from the live one."""
        for config in self.configs:
            policy_set = self._build(config)
            inputs = self._inputs(policy_set)
            live = self._fresh_state(policy_set)
            stored = json.loads(json.dumps(live))
            for tick_ms in (1000, 1250, 9000):
                verdicts = policy_set.decide(tick_ms, inputs, live)
                assert not policy_set.errors, "; ".join(policy_set.last_errors.values())
                again = self._build(config).decide(tick_ms, inputs, stored)
                assert again == verdicts, _differ("with its state stored and read back", verdicts, again)
                stored = json.loads(json.dumps(stored))
                assert stored == live, f"the state must be the same with or without a restart: {stored} != {live}"

    def test_settles_without_candidates(self) -> None:
        """A limiter settles ticks in which nobody takes part, and its state stays sound."""
        for policy_set in self._sets():
            for limiter in policy_set.limiters:
                state = limiter.initial_state()
                for tick in (Tick(0), Tick(250, 0.25), Tick(10**13)):
                    limiter.settle(tick, (), state)
                    check_state(state)

    def test_takes_part_in_the_exchange_of_the_tier(self) -> None:
        """With other partitions to hear of it never fails, its state stays sound, and it publishes numbers by key."""
        for policy_set in self._sets():
            if not policy_set.exchange_keys:
                continue
            inputs, exchange = self._inputs(policy_set), MemoryExchange(2)
            states = [self._fresh_state(policy_set) for _ in range(2)]
            for tick_ms in range(0, 60_000, 2_500):
                for partition, state in enumerate(states):
                    policy_set.decide(tick_ms, inputs, state, share=0.5, exchange=exchange.of(partition))
                    assert not policy_set.errors, "; ".join(policy_set.last_errors.values())
                    assert json.loads(json.dumps(state)) == state
                exchange.advance(tick_ms)
            assert not exchange.tier.refused, "it publishes something else than lists of finite numbers by text"
            unknown = exchange.tier.reported(0).keys() - policy_set.exchange_keys
            assert not unknown, f"it publishes under other keys than its own: {unknown}"

    def test_equal_configs_have_equal_hashes(self) -> None:
        """Equal configs give equal content hashes."""
        for config in self.configs:
            assert self._build(config).content_hash == self._build(config).content_hash

    def _fresh_state(self, policy_set: PolicySet) -> dict[str, Any]:
        for limiter in policy_set.limiters:
            check_state(limiter.initial_state())
        return policy_set.initial_state()


def _one_by_one(trace: Sequence[ResourceSpans]) -> list[ResourceSpans]:
    """Every span in a message of its own, as if each had come in a record of its own."""
    return [
        ResourceSpans(resource=context.resource, scope_spans=[ScopeSpans(scope=context.scope, spans=[context.span])])
        for context in span_contexts(trace)
    ]


def _rotated(trace: list[ResourceSpans]) -> list[ResourceSpans]:
    middle = len(trace) // 2
    return trace[middle:] + trace[:middle]


def _differ(how: str, expected: Sequence[Verdict], found: Sequence[Verdict]) -> str:
    index = next(index for index, pair in enumerate(zip(expected, found, strict=True)) if pair[0] != pair[1])
    return f"trace {index} is decided differently {how}: {found[index]} != {expected[index]}"
