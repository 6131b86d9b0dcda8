"""Evaluates a scan plan over messages of the slim schema: the upb scanner's half of `_compiled/plan.pyx`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from policies.conditions import Where
from sampler.otlp.leaves import Kind, Leaf
from sampler.otlp.plan import AND, MAX_LEAVES, NOT, OR, TRUE, Program, ScanPlan
from sampler.otlp.schema import SLIM
from sampler.otlp.summary import PlainSummary
from sampler.otlp.tracestate import parse

_ERROR = 2
_KNOWN_ATTRIBUTES = 65_536
_KNOWN_SIZE = 256
_NO_PARENT = (b"", bytes(8))

_key_value = SLIM["KeyValue"].FromString
_event = SLIM["Event"].FromString

SpanTest: TypeAlias = Callable[[Any, bool], bool]
"""Asks a slim span; the flag says whether it is a root."""
ValueTest: TypeAlias = Callable[[str | None, Any], bool]
"""Asks a slim AnyValue; the text names the member that is set."""


def evaluation_of(plan: ScanPlan) -> Evaluation:
    """The plan's evaluation, made once and kept on the plan."""
    evaluation: Evaluation | None = plan.native.get("upb")
    if evaluation is None:
        evaluation = plan.native["upb"] = Evaluation(plan)
    return evaluation


class Evaluation:
    """A plan laid out for Python: leaves by map and key, register bits as one integer."""

    def __init__(self, plan: ScanPlan) -> None:
        numbered = [(1 << number, leaf) for number, leaf in enumerate(plan.leaves) if leaf is not None]
        self._resource = _Attributes(numbered, Where.RESOURCE)
        self._scope = _Attributes(numbered, Where.SCOPE)
        self._span = _Attributes(numbered, Where.SPAN)
        self._event = _Attributes(numbered, Where.EVENT)
        own = [(bit, leaf) for bit, leaf in numbered if not leaf.where]
        self._span_tests = [(bit, _span_test(leaf)) for bit, leaf in own if not leaf.of_event]
        self._event_tests = [(bit, _text_test(leaf)) for bit, leaf in own if leaf.of_event]
        self._identity = plan.identity
        self._span_programs = [program for program in plan.programs if not program.of_event]
        self._event_programs = [program for program in plan.programs if program.of_event]

    def resource(self, resources: Iterable[Any]) -> int:
        """The bits of the resources of one ResourceSpans."""
        return self._resource.of_messages(resources)

    def scope(self, scopes: Iterable[Any]) -> int:
        """The bits of the scopes of one ScopeSpans."""
        return self._scope.of_messages(scopes)

    def fold(self, span: Any, content: bytes, surrounding: int, summary: PlainSummary) -> None:
        """Take a span (a slim message, and its bytes) into the summary of its trace."""
        start, end, parent = span.start, span.end, span.parent_span_id
        root = parent in _NO_PARENT or not any(parent)
        summary.span_count += 1
        if start and (not summary.start_unix_nano or start < summary.start_unix_nano):
            summary.start_unix_nano = start
        summary.end_unix_nano = max(summary.end_unix_nano, end)
        if span.status.code == _ERROR:
            summary.has_error = True
        if root:
            summary.has_root = True
        if span.trace_state:
            entry = parse(span.trace_state)
            summary.has_threshold = summary.has_threshold or entry.th >= 0
            summary.offer_rv(entry.rv, root, int.from_bytes(span.span_id, "big"))
        bits = surrounding
        # Searching the bytes for the keys first spares many spans the loop over their attributes.
        for key in self._span.keys:
            if key in content:
                bits |= self._span.of_encoded(span.attributes)
                break
        for bit, test in self._span_tests:
            if test(span, root):
                bits |= bit
        summary.bits |= bits & self._identity
        if self._span_programs:
            _run(self._span_programs, bits, summary)
        if self._event_programs:
            self._events(span, bits, summary)

    def _events(self, span: Any, span_bits: int, summary: PlainSummary) -> None:
        for content in span.events:
            event = _event(content)
            bits = span_bits | self._event.of_messages((event,))
            for bit, test in self._event_tests:
                if test(event.name):
                    bits |= bit
            _run(self._event_programs, bits, summary)


class _Attributes:
    """The attribute leaves of one map, by key."""

    def __init__(self, numbered: list[tuple[int, Leaf]], where: int) -> None:
        self._tests: dict[bytes, list[tuple[int, ValueTest]]] = {}
        for bit, leaf in numbered:
            if leaf.where & where:
                self._tests.setdefault(leaf.key, []).append((bit, _value_test(leaf)))
        self.keys = tuple(self._tests)
        self._known: dict[bytes, int] = {}

    def of_messages(self, messages: Iterable[Any]) -> int:
        """The bits of the attributes of slim messages."""
        bits = 0
        if self._tests:
            for message in messages:
                for attribute in message.attributes:
                    bits |= self._of(attribute)
        return bits

    def of_encoded(self, attributes: Iterable[bytes]) -> int:
        """The bits of encoded attributes; answers for short ones are remembered, at most 65,536 of them."""
        bits, known = 0, self._known
        for attribute in attributes:
            found = known.get(attribute)
            if found is None:
                found = self._of(_key_value(attribute))
                if len(attribute) <= _KNOWN_SIZE:
                    if len(known) >= _KNOWN_ATTRIBUTES:
                        known.clear()
                    known[attribute] = found
            bits |= found
        return bits

    def _of(self, attribute: Any) -> int:
        tests = self._tests.get(attribute.key)
        if not tests:
            return 0
        value = attribute.value
        kind = value.WhichOneof("value")
        return sum(bit for bit, test in tests if test(kind, value))


def _value_test(leaf: Leaf) -> ValueTest:
    low, high = leaf.low, leaf.high
    match leaf.kind:
        case Kind.EXISTS:
            return lambda _, __: True
        case Kind.INT_RANGE:
            return lambda kind, value: kind == "integer" and low <= value.integer <= high
        case Kind.BOOL_IS:
            return lambda kind, value: kind == "boolean" and value.boolean == bool(low)
        case _:
            test = _text_test(leaf)
            return lambda kind, value: kind == "text" and test(value.text)


def _text_test(leaf: Leaf) -> Callable[[bytes], bool]:
    return leaf.memo.ask if leaf.memo is not None else leaf.values.__contains__


def _span_test(leaf: Leaf) -> SpanTest:  # noqa: PLR0911 - one line a kind of leaf
    low, high, numbers = leaf.low, leaf.high, leaf.numbers
    match leaf.kind:
        case Kind.STATUS_IN:
            return lambda span, _: span.status.code in numbers
        case Kind.KIND_IN:
            return lambda span, _: span.kind in numbers
        case Kind.DURATION:
            return lambda span, _: bool(span.start and span.end) and low <= span.end - span.start <= high
        case Kind.FLAGS:
            return lambda span, _: bool(span.flags & low)
        case Kind.ROOT:
            return lambda _, root: root
        case _:
            test = _text_test(leaf)
            if leaf.kind is Kind.TRACESTATE:
                return lambda span, _: bool(span.trace_state) and test(span.trace_state)
            return lambda span, _: test(span.name)


def _run(programs: Iterable[Program], bits: int, summary: PlainSummary) -> None:
    """Run the programs whose condition is not answered yet."""
    for program in programs:
        if not summary.bits >> program.condition & 1 and _answer(program.code, bits):
            summary.bits |= 1 << program.condition


def _answer(code: tuple[int, ...], bits: int) -> bool:
    stack: list[bool] = []
    for instruction in code:
        if instruction < MAX_LEAVES:
            stack.append(bool(bits >> instruction & 1))
        elif instruction == NOT:
            stack[-1] = not stack[-1]
        elif instruction == AND:
            stack[-2:] = [stack[-2] and stack[-1]]
        elif instruction == OR:
            stack[-2:] = [stack[-2] or stack[-1]]
        else:
            stack.append(instruction == TRUE)
    return stack[0]
