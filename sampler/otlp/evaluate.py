"""Evaluates a scan plan over messages of the slim schema: the upb scanner's half of `_compiled/plan.pyx`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from operator import or_
from typing import Any, NamedTuple, TypeAlias

from policies.conditions import Where
from sampler.otlp.fields import Asked, Place, asked
from sampler.otlp.leaves import Kind, Leaf
from sampler.otlp.memo import Memo
from sampler.otlp.plan import MAX_LEAVES, NOT, SKIP_IF_NO, SKIP_IF_YES, TRUE, Program, ScanPlan
from sampler.otlp.schema import SLIM
from sampler.otlp.summary import PlainSummary
from sampler.otlp.tracestate import parse

_ERROR = 2
_KNOWN_ATTRIBUTES = 65_536
_KNOWN_SIZE = 256
_KNOWN_HEADERS = 2048
_KNOWN_HEADER_SIZE = 4096
_NO_PARENT = (b"", bytes(8))

_key_value = SLIM["KeyValue"].FromString
_resource = SLIM["Resource"].FromString
_scope = SLIM["Scope"].FromString
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


class Header(NamedTuple):
    """What a resource or scope says to the spans below: the bits of its leaves, and where fields are read from."""

    bits: int
    place: Place
    encoded: bytes


class Evaluation:
    """A plan laid out for Python: leaves by map and key, register bits as one integer."""

    def __init__(self, plan: ScanPlan) -> None:
        numbered = [(1 << number, leaf) for number, leaf in enumerate(plan.leaves) if leaf is not None]
        self._resource = _Attributes(numbered, Where.RESOURCE)
        self._scope = _Attributes(numbered, Where.SCOPE)
        self._span = _Attributes(numbered, Where.SPAN)
        self._event = _Attributes(numbered, Where.EVENT)
        own = [(bit, leaf) for bit, leaf in numbered if not leaf.where and leaf.kind is not Kind.FIELDS]
        self._span_tests = [(bit, _span_test(leaf)) for bit, leaf in own if not leaf.of_event]
        self._event_tests = [(bit, _text_test(leaf)) for bit, leaf in own if leaf.of_event]
        leaves = enumerate(plan.leaves)
        self._asked = {n: asked(n, leaf) for n, leaf in leaves if leaf is not None and leaf.kind is Kind.FIELDS}
        self._identity = plan.identity
        self._span_programs = [program for program in plan.programs if not program.of_event]
        self._event_programs = [program for program in plan.programs if program.of_event]
        self._headers: dict[tuple[bytes, ...], Header] = {}

    def resource(self, message: Any, encoded: bytes) -> Header:
        """The header of one slim ResourceSpans without its scopes, which is `encoded`; few differ, and are remembered.

        Its resources are one message, as protobuf merges them.
        """
        header = self._headers.get((encoded,))
        if header is None:
            content = b"".join(message.resource)
            place = Place(Where.RESOURCE, None, content, schema_url=_last(message.schema_url))
            header = Header(self._resource.of_messages((_resource(content),)), place, encoded)
            self._keep((encoded,), header)
        return header

    def scope(self, message: Any, encoded: bytes, resource: Header) -> Header:
        """The header of one slim ScopeSpans without its spans, `encoded`; with the bits of its resource."""
        header = self._headers.get((resource.encoded, encoded))
        if header is None:
            content = b"".join(message.scope)
            place = Place(Where.SCOPE, resource.place, content, schema_url=_last(message.schema_url))
            header = Header(self._scope.of_messages((_scope(content),)) | resource.bits, place, encoded)
            self._keep((resource.encoded, encoded), header)
        return header

    def _keep(self, key: tuple[bytes, ...], header: Header) -> None:
        if sum(map(len, key)) > _KNOWN_HEADER_SIZE:
            return
        if len(self._headers) >= _KNOWN_HEADERS:
            self._headers.clear()
        self._headers[key] = header

    def fold(self, span: Any, content: bytes, header: Header, summary: PlainSummary) -> None:
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
        bits = header.bits
        # Searching the bytes for the keys first spares many spans the loop over their attributes.
        for key in self._span.keys:
            if key in content:
                bits |= self._span.of_encoded(span.attributes)
                break
        for bit, test in self._span_tests:
            if test(span, root):
                bits |= bit
        summary.bits |= bits & self._identity
        if self._span_programs or self._event_programs:
            place = Place(Where.SPAN, header.place, content, span)
            self._run(self._span_programs, bits, place, summary)
            if self._event_programs:
                self._events(span, bits, place, summary)

    def _events(self, span: Any, span_bits: int, place: Place, summary: PlainSummary) -> None:
        for content in span.events:
            event = _event(content)
            event_place = Place(Where.EVENT, place, content, event)
            bits = span_bits | self._event.of_messages((event,))
            for bit, test in self._event_tests:
                if test(event.name):
                    bits |= bit
            self._run(self._event_programs, bits, event_place, summary)

    def _run(self, programs: Iterable[Program], bits: int, place: Place, summary: PlainSummary) -> None:
        """Run the programs whose condition is not answered yet."""
        for program in programs:
            if not summary.bits >> program.condition & 1 and self._answer(program.code, bits, place):
                summary.bits |= 1 << program.condition

    def _answer(self, code: tuple[int, ...], bits: int, place: Place) -> bool:
        answer, at, asked = False, 0, self._asked
        while at < len(code):
            instruction = code[at]
            at += 1
            if instruction < MAX_LEAVES:
                ask: Asked | None = asked.get(instruction)
                answer = bool(bits >> instruction & 1) if ask is None else ask(place)
            elif instruction == NOT:
                answer = not answer
            elif instruction in {SKIP_IF_NO, SKIP_IF_YES}:
                at += 1 + (code[at] if answer == (instruction == SKIP_IF_YES) else 0)
            else:
                answer = instruction == TRUE
        return answer


class _Known(dict[bytes, int]):
    """Bits by encoded attribute; an unknown one is looked at. A dict's own look-up costs half of a loop in Python."""

    def __init__(self, bits_of: Callable[[Any], int]) -> None:
        self._bits_of = bits_of

    def __missing__(self, attribute: bytes) -> int:
        bits = self._bits_of(_key_value(attribute))
        if len(attribute) <= _KNOWN_SIZE:
            if len(self) >= _KNOWN_ATTRIBUTES:
                self.clear()
            self[attribute] = bits
        return bits


class _Attributes:
    """The attribute leaves of one map, by key."""

    def __init__(self, numbered: list[tuple[int, Leaf]], where: int) -> None:
        self._tests: dict[bytes, list[tuple[int, ValueTest]]] = {}
        for bit, leaf in numbered:
            if leaf.where & where:
                self._tests.setdefault(leaf.key, []).append((bit, _value_test(leaf)))
        self.keys = tuple(self._tests)
        self._known = _Known(self._of).__getitem__

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
        return reduce(or_, map(self._known, attributes), 0)

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
    return leaf.memo.ask if isinstance(leaf.memo, Memo) else leaf.values.__contains__


def _span_test(leaf: Leaf) -> SpanTest:  # noqa: PLR0911 - one line a kind of leaf
    low, high, numbers = leaf.low, leaf.high, leaf.numbers
    match leaf.kind:
        case Kind.STATUS_IN:
            return lambda span, _: span.status.code in numbers
        case Kind.KIND_IN:
            return lambda span, _: span.kind in numbers
        case Kind.DURATION:
            return lambda span, _: bool(span.start and span.end) and low <= span.end - span.start <= high
        case Kind.DURATION_FROM_ZERO:
            return lambda span, _: low <= span.end - span.start <= high
        case Kind.FLAGS:
            return lambda span, _: bool(span.flags & low)
        case Kind.ROOT:
            return lambda _, root: root
        case _:
            test = _text_test(leaf)
            if leaf.kind is Kind.TRACESTATE:
                return lambda span, _: bool(span.trace_state) and test(span.trace_state)
            return lambda span, _: test(span.name)


def _last(texts: Sequence[bytes]) -> bytes:
    return texts[-1] if texts else b""
