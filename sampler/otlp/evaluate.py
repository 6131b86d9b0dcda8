"""Evaluates a scan plan over messages of the slim schema: the upb scanner's half of `_compiled/plan.pyx`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any, TypeAlias

from policies.conditions import Where
from sampler.otlp.attributes import Attributes, text_test
from sampler.otlp.fields import Asked, Place, asked
from sampler.otlp.headers import Header, Headers
from sampler.otlp.leaves import Kind, Leaf
from sampler.otlp.plan import MAX_LEAVES, NOT, SKIP_IF_NO, SKIP_IF_YES, TRUE, Program, ScanPlan
from sampler.otlp.schema import SLIM
from sampler.otlp.sections import SlimScopes, cut
from sampler.otlp.summary import PlainSummary
from sampler.otlp.tracestate import parse

_ERROR = 2

_event = SLIM["RawEvent"].FromString

SpanTest: TypeAlias = Callable[[Any, bool], bool]
"""Asks a slim span; the flag says whether it is a root."""


def evaluation_of(plan: ScanPlan) -> Evaluation:
    """The plan's evaluation, made once and kept on the plan."""
    evaluation: Evaluation | None = plan.native.get("upb")
    if evaluation is None:
        evaluation = plan.native["upb"] = Evaluation(plan)
    return evaluation


Owner: TypeAlias = PlainSummary | list[tuple[PlainSummary, list[int]]]
"""The summary that all spans of a scope belong to, or each summary with the places of its spans."""


class Evaluation:
    """A plan laid out for Python: leaves by map and key, register bits as one integer."""

    def __init__(self, plan: ScanPlan) -> None:
        numbered = [(1 << number, leaf) for number, leaf in enumerate(plan.leaves) if leaf is not None]
        self._span = Attributes(numbered, Where.SPAN)
        self._event = Attributes(numbered, Where.EVENT)
        self._headers = Headers(Attributes(numbered, Where.RESOURCE), Attributes(numbered, Where.SCOPE), self._span)
        own = [(bit, leaf) for bit, leaf in numbered if not leaf.where and leaf.kind is not Kind.FIELDS]
        self._status_bits = _bits_by_number((bit, leaf) for bit, leaf in own if leaf.kind is Kind.STATUS_IN)
        tested = [(bit, leaf) for bit, leaf in own if leaf.kind is not Kind.STATUS_IN]
        self._span_tests = [(bit, _span_test(leaf)) for bit, leaf in tested if not leaf.of_event]
        self._event_tests = [(bit, text_test(leaf)) for bit, leaf in tested if leaf.of_event]
        leaves = enumerate(plan.leaves)
        self._asked = {n: asked(n, leaf) for n, leaf in leaves if leaf is not None and leaf.kind is Kind.FIELDS}
        self._identity = plan.identity
        self._span_programs = [program for program in plan.programs if not program.of_event]
        self._event_programs = [program for program in plan.programs if program.of_event]

    def fold(self, header: bytes, sections: SlimScopes, owners: Sequence[Owner], content: bytes) -> None:
        """Take the spans of a ResourceSpans into the summaries of their traces.

        `header` is its own, `sections` are the header and slim spans of each of its scopes, for which `owners` stand,
        and `content` are its bytes.
        """
        resource = self._headers.resource(header)
        outside, every, headers = resource.mentions, [], []
        for encoded, spans in sections:
            scope = self._headers.scope(encoded, resource)
            headers.append(scope)
            outside += scope.mentions
            every += spans
        bits = self._span.bits_of_each(every, content, outside)
        contents = cut(content)[1] if self._asked else None
        first = 0
        for number, (_, spans) in enumerate(sections):
            owner = owners[number]
            own = bits[first : first + len(spans)]
            first += len(spans)
            entries = zip(spans, own, repeat(b"") if contents is None else contents[number][1], strict=False)
            if isinstance(owner, PlainSummary):
                self._fold_run(entries, headers[number], owner)
                continue
            table = list(entries)
            for summary, places in owner:
                self._fold_run([table[place] for place in places], headers[number], summary)

    def _fold_run(self, entries: Iterable[tuple[Any, int, bytes]], header: Header, summary: PlainSummary) -> None:
        """Take slim spans, each with the bits of its attributes and its bytes, into the summary of their trace."""
        low, high, together, count = summary.start_unix_nano, summary.end_unix_nano, 0, 0
        for span, bits, content in entries:
            start, end, parent, status = span.start, span.end, span.parent_span_id, span.status.code
            count += 1
            if start and (start < low or not low):
                low = start
            if end > high:  # noqa: PLR1730 - max() costs three times as much
                high = end
            # Most parents begin with a byte that is not zero.
            root = not parent or (not parent[0] and not any(parent))
            if root:
                summary.has_root = True
            if status == _ERROR:
                summary.has_error = True
            if span.trace_state:
                _fold_trace_state(span, root, summary)
            bits |= header.bits | self._status_bits.get(status, 0)  # noqa: PLW2901 - they grow here and nowhere else
            for bit, test in self._span_tests:
                if test(span, root):
                    bits |= bit  # noqa: PLW2901 - as above
            together |= bits
            if self._span_programs or self._event_programs:
                self._run_programs(span, bits, content, header.place, summary)
        summary.span_count += count
        summary.start_unix_nano, summary.end_unix_nano = low, high
        summary.bits |= together & self._identity

    def _run_programs(self, span: Any, bits: int, content: bytes, outer: Place, summary: PlainSummary) -> None:
        place = Place(Where.SPAN, outer, content, span) if self._asked else outer
        self._run(self._span_programs, bits, place, summary)
        if self._event_programs:
            self._events(span, bits, place, summary)

    def _events(self, span: Any, span_bits: int, place: Place, summary: PlainSummary) -> None:
        for content in span.events:
            event = _event(content)
            inner = Place(Where.EVENT, place, content, event) if self._asked else place
            bits = span_bits | self._event.bits_of(event.attributes)
            for bit, test in self._event_tests:
                if test(event.name):
                    bits |= bit
            self._run(self._event_programs, bits, inner, summary)

    def _run(self, programs: Iterable[Program], bits: int, place: Place, summary: PlainSummary) -> None:
        """Run the programs whose condition is not answered yet."""
        for program in programs:
            if not summary.bits >> program.condition & 1 and self._answer(program.code, bits, place):
                summary.bits |= 1 << program.condition

    def _answer(self, code: tuple[int, ...], bits: int, place: Place) -> bool:
        answer, at = False, 0
        while at < len(code):
            instruction = code[at]
            at += 1
            if instruction < MAX_LEAVES:
                ask: Asked | None = self._asked.get(instruction)
                answer = bool(bits >> instruction & 1) if ask is None else ask(place)
            elif instruction == NOT:
                answer = not answer
            elif instruction in {SKIP_IF_NO, SKIP_IF_YES}:
                at += 1 + (code[at] if answer == (instruction == SKIP_IF_YES) else 0)
            else:
                answer = instruction == TRUE
        return answer


def _fold_trace_state(span: Any, root: bool, summary: PlainSummary) -> None:
    entry = parse(span.trace_state)
    summary.has_threshold = summary.has_threshold or entry.th >= 0
    summary.offer_rv(entry.rv, root, int.from_bytes(span.span_id, "big"))


def _bits_by_number(numbered: Iterable[tuple[int, Leaf]]) -> dict[int, int]:
    bits: dict[int, int] = {}
    for bit, leaf in numbered:
        for number in leaf.numbers:
            bits[number] = bits.get(number, 0) | bit
    return bits


def _span_test(leaf: Leaf) -> SpanTest:  # noqa: PLR0911 - one line a kind of leaf
    low, high, numbers = leaf.low, leaf.high, leaf.numbers
    match leaf.kind:
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
            test = text_test(leaf)
            if leaf.kind is Kind.TRACESTATE:
                return lambda span, _: bool(span.trace_state) and test(span.trace_state)
            return lambda span, _: test(span.name)
