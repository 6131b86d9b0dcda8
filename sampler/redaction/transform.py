"""One transformation at work on requests and records: TracesData in, TracesData out.

A ResourceSpans that nothing applies to is passed on as the bytes it came in, and so are the single spans of one that
has to be opened. What is told beforehand about where a rule may apply is never too little, only too much.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from google.protobuf.message import DecodeError

from sampler.otlp import ScanError
from sampler.otlp.walk import find_fault
from sampler.redaction.drops import Drop
from sampler.redaction.limits import Limits
from sampler.redaction.messages import MESSAGES
from sampler.redaction.rules import Count, Rule, apply_text

_traces_data = MESSAGES["TracesData"]
_resource_spans = MESSAGES["ResourceSpans"]
_scope_spans = MESSAGES["ScopeSpans"]
_span = MESSAGES["Span"]

UNREADABLE = "unreadable"


class Transform:
    """Does what a configuration says. Safe to call from one thread at a time.

    A span (or a resource with all its spans) that cannot be decoded although the scanner takes it, because its values
    are nested too deeply, is left out: nobody could say what is in it.
    """

    def __init__(
        self,
        *,
        drops: Sequence[Drop] = (),
        rules: Sequence[Rule] = (),
        limits: Limits | None = None,
        count: Count = lambda name, times: None,
    ) -> None:
        self._drops = tuple(drops)
        self._limits = limits or Limits()
        self._count = count
        self._resource_rules = _of_level(rules, "resource")
        self._scope_rules = _of_level(rules, "scope")
        self._span_rules = tuple(rule for rule in rules if rule.levels & _IN_SPAN or rule.texts)
        self._whole_traces = any(drop.whole_trace for drop in drops)
        self._counts: Counter[str] = Counter()

    def __call__(self, data: bytes) -> bytes:
        """The data as it may be kept; the same object where nothing applied. ScanError where it is no TracesData."""
        counts = self._counts = Counter()
        if not self._may_apply(data):
            return data
        try:
            whole = _traces_data.FromString(data)
        except DecodeError:
            raise _fault(data) from None
        if self._whole_traces:
            return self._finished(data, self._with_whole_traces(whole), counts)
        changed = False
        kept: list[bytes] = []
        for content in whole.resource_spans:
            new = self._resource(content)
            changed = changed or new is not content
            if new is not None:
                kept.append(new)
        if not changed:
            return data
        del whole.resource_spans[:]
        whole.resource_spans.extend(kept)
        return self._finished(data, whole, counts)

    def _finished(self, data: bytes, whole: Any, counts: Counter[str]) -> bytes:
        if counts[UNREADABLE]:
            fault = find_fault(data)
            if fault is not None:
                raise fault
        for name, times in counts.items():
            self._count(name, times)
        new: bytes = whole.SerializeToString()
        return new

    def _may_apply(self, data: bytes) -> bool:
        if self._limits.upsert or self._limits.may_apply(data):
            return True
        if any(rule.may_apply(data) for rule in (*self._resource_rules, *self._scope_rules, *self._span_rules)):
            return True
        return any(drop.may_hold(data) and drop.may_hold_for_resource(data) for drop in self._drops)

    def _with_whole_traces(self, whole: Any) -> Any:
        """Traces are only known when all spans have been looked at, so those to be dropped are found first."""
        traces: set[bytes] = set()
        for drop in self._drops:
            if drop.whole_trace:
                found = self._traces_of(drop, whole)
                traces |= found
        kept = [new for content in whole.resource_spans if (new := self._resource(content, traces)) is not None]
        del whole.resource_spans[:]
        whole.resource_spans.extend(kept)
        return whole

    def _traces_of(self, drop: Drop, whole: Any) -> set[bytes]:
        found: set[bytes] = set()
        for content in whole.resource_spans:
            if not (drop.may_hold_for_resource(content) and drop.may_hold(content)):
                continue
            try:
                section = _resource_spans.FromString(content)
                if not drop.holds_for_resource(section.resource):
                    continue
                for scope_content in section.scope_spans:
                    for span_content in _scope_spans.FromString(scope_content).spans:
                        if drop.may_hold(span_content):
                            span = _span.FromString(span_content)
                            if drop.holds_for_span(span):
                                found.add(span.trace_id)
            except DecodeError:
                continue  # left out, or told of, when it is its turn
        return found

    def _resource(self, content: bytes, traces: set[bytes] | None = None) -> bytes | None:
        """One ResourceSpans: the same object where nothing applied, None where nothing is left of it."""
        drops = [drop for drop in self._drops if drop.may_hold_for_resource(content) and drop.may_hold(content)]
        rules = any(rule.may_apply(content) for rule in (*self._resource_rules, *self._scope_rules, *self._span_rules))
        limits = self._limits.may_apply(content)
        if not (drops or rules or limits or self._limits.upsert or traces):
            return content
        try:
            message = _resource_spans.FromString(content)
        except DecodeError:
            self._counts[UNREADABLE] += 1
            return None
        drops = [drop for drop in drops if drop.holds_for_resource(message.resource)]
        if any(not drop.asks_spans for drop in drops):
            self._count_all(next(drop for drop in drops if not drop.asks_spans), message)
            return None
        changed = self._change_resource(message) if rules or limits or self._limits.upsert else False
        if drops or rules or limits or traces:
            scopes = [(old, self._scope(old, drops, traces)) for old in message.scope_spans]
            if any(old is not new for old, new in scopes):
                changed = True
                del message.scope_spans[:]
                message.scope_spans.extend(new for _, new in scopes if new is not None)
                if not message.scope_spans:
                    return None
        if not changed:
            return content
        new_content: bytes = message.SerializeToString()
        return new_content

    def _count_all(self, drop: Drop, message: Any) -> None:
        for content in message.scope_spans:
            try:
                self._counts[drop.name] += len(_scope_spans.FromString(content).spans)
            except DecodeError:
                self._counts[UNREADABLE] += 1

    def _change_resource(self, message: Any) -> bool:
        had = message.HasField("resource")
        resource = message.resource
        counts = self._counts
        before = counts.total()
        for rule in self._resource_rules if had else ():
            _add(counts, rule.name, rule.apply(resource.attributes))
        if had and self._limits.longest:
            _add(counts, "truncate", self._limits.cut_values(resource.attributes))
        _add(counts, "upsert", self._limits.complete(resource.attributes))
        return counts.total() != before

    def _scope(self, content: bytes, drops: list[Drop], traces: set[bytes] | None) -> bytes | None:
        """One ScopeSpans: the same object where nothing applied, None where no span is left of it."""
        drops = [drop for drop in drops if drop.may_hold(content)]
        rules = any(rule.may_apply(content) for rule in (*self._scope_rules, *self._span_rules))
        if not (drops or rules or traces or self._limits.may_apply(content)):
            return content
        try:
            message = _scope_spans.FromString(content)
        except DecodeError:
            self._counts[UNREADABLE] += 1
            return None
        counts, before = self._counts, self._counts.total()
        if message.HasField("scope"):
            for rule in self._scope_rules:
                _add(counts, rule.name, rule.apply(message.scope.attributes))
            if self._limits.longest:
                _add(counts, "truncate", self._limits.cut_values(message.scope.attributes))
        spans = [(old, self._one_span(old, drops, traces)) for old in message.spans]
        if any(old is not new for old, new in spans):
            del message.spans[:]
            message.spans.extend(new for _, new in spans if new is not None)
            if not message.spans:
                return None
        elif counts.total() == before:
            return content
        new_content: bytes = message.SerializeToString()
        return new_content

    def _one_span(self, content: bytes, drops: list[Drop], traces: set[bytes] | None) -> bytes | None:
        """One span: the same object where nothing applied, None where it is dropped."""
        if drops:
            drops = [drop for drop in drops if drop.may_hold(content)]
        limits = self._limits.may_apply(content)
        rules = False
        for rule in self._span_rules:
            if rule.may_apply(content):
                rules = True
                break
        if not (drops or limits or rules or traces):
            return content
        try:
            span = _span.FromString(content)
        except DecodeError:
            self._counts[UNREADABLE] += 1
            return None
        counts = self._counts
        for drop in drops:
            if drop.holds_for_span(span):
                counts[drop.name] += 1
                return None
        if traces and span.trace_id in traces:
            counts[next(drop.name for drop in self._drops if drop.whole_trace)] += 1
            return None
        before = counts.total()
        if rules:
            self._change_span(span, content)
        if limits:
            _add(counts, "truncate", self._limits.cut_span(span))
            _add(counts, "max_attributes", self._limits.cap(span))
        if counts.total() == before:
            return content
        new_content: bytes = span.SerializeToString()
        return new_content

    def _change_span(self, span: Any, content: bytes) -> None:
        changed = False
        for rule in self._span_rules:
            # What a rule before it has written may be what this one looks for.
            if not (changed or rule.may_apply(content)):
                continue
            times = 0
            levels, texts = rule.levels, rule.texts
            if "span" in levels:
                times += rule.apply(span.attributes)
            if "event" in levels or "event_name" in texts:
                for event in span.events:
                    times += rule.apply(event.attributes) if "event" in levels else 0
                    times += apply_text(rule, event, "name") if "event_name" in texts else 0
            if "link" in levels:
                times += sum([rule.apply(link.attributes) for link in span.links])
            if "span_name" in texts:
                times += apply_text(rule, span, "name")
            if "status_message" in texts and span.HasField("status"):
                times += apply_text(rule, span.status, "message")
            if times:
                changed = True
                self._counts[rule.name] += times


_IN_SPAN = frozenset({"span", "event", "link"})


def _of_level(rules: Sequence[Rule], level: str) -> tuple[Rule, ...]:
    return tuple(rule for rule in rules if level in rule.levels)


def _add(counts: Counter[str], name: str, times: int) -> None:
    if times:
        counts[name] += times


def _fault(data: bytes) -> ScanError:
    return find_fault(data) or ScanError(0, "protobuf cannot read it")
