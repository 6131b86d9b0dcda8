"""What the Collector's own `pkg/ottl` (version 0.155) answered to OTTL conditions, against what ours answer.

`ottl_answers.yaml` was recorded by evaluating each condition for each span below, in order: T true, F false, E error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from policies.ottl import OttlError, compile_list
from policies.reference import SpanContext, holds_on_span, span_contexts
from policies.testing import any_value, event

DATA: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("ottl_answers.yaml").read_text(encoding="utf-8"))
BASE = 1_790_000_000_000_000_000
TRACE_ID = bytes.fromhex("0af7651916cd43dd8448eb211c80319c")


def attributes(values: dict[str, Any]) -> list[KeyValue]:
    """Attributes of Python values."""
    return [KeyValue(key=key, value=any_value(value)) for key, value in values.items()]


def one(
    name: str, start: int, end: int, values: dict[str, Any], *, parent: bytes = b"\xaa" * 8, **keywords: Any
) -> Span:
    """A span; times are nanoseconds."""
    return Span(
        trace_id=TRACE_ID,
        span_id=b"12345678",
        parent_span_id=parent,
        name=name,
        start_time_unix_nano=start,
        end_time_unix_nano=end,
        attributes=attributes(values),
        **keywords,
    )


COMMON = one(
    "op",
    BASE,
    BASE + 300_000_000,
    {
        "s": "x<é",
        "i": 5,
        "d": 500.0,
        "b": True,
        "by": b"\x01\xff",
        "eb": b"",
        "m": {"b": 1, "a": "<", "in": {"ok": True, "l": [1, 2]}},
        "l": [1, "a", 2.5, None, True],
        "n": None,
        "u": " x",
    },
    trace_state="a=1,b=2",
    events=[event("e", {"k": "v", "i": 3}), event("exception")],
    kind=Span.SPAN_KIND_SERVER,
    flags=257,
)
BARE = one("", 0, 0, {}, parent=b"", status=Status(code=Status.STATUS_CODE_ERROR, message="boom"))
EMPTY_VALUES = one(
    "query",
    BASE,
    BASE + 1,
    {"s": "", "i": 0, "d": -0.0, "b": False, "m": {}, "l": [], "n": "none", "by": b"\x00"},
    kind=Span.SPAN_KIND_CLIENT,
    status=Status(code=Status.STATUS_CODE_OK),
    trace_state="bad",
    dropped_attributes_count=3,
)
OTHER_VALUES = one(
    "POST /x",
    0,
    BASE,
    {"s": "12", "i": -7, "d": 1.5, "b": "true", "m": "str", "l": ["b", "a", "c"], "n": 1, "u": "/a/b/c"},
    kind=Span.SPAN_KIND_PRODUCER,
    status=Status(code=Status.STATUS_CODE_ERROR),
    links=[Span.Link()],
    trace_state="a=9",
)
OTHER_TYPES = one(
    "GET",
    BASE,
    0,
    {
        "s": 5,
        "i": "5",
        "d": float("nan"),
        "b": 1,
        "by": "AQ==",
        "m": [{"a": 1}],
        "l": {"a": [1]},
        "u": '{"a":1,"level":"error"}',
        "n": b"\x01",
    },
    kind=9,
    status=Status(code=7),  # type: ignore[arg-type]
)
TEXTS = one(
    "ünïcode",
    BASE,
    BASE + 250_000_000,
    {
        "s": "ABC def-ghi",
        "i": 2**62,
        "d": 1e-7,
        "b": True,
        "l": [3, 1, 2],
        "m": {"a": "b c", "k": "v=w"},
        "u": 'a=1 b="x y"',
    },
    parent=bytes(8),
)
LAST = one("last", 1, 2, {"s": "x", "i": 5})


def recorded_spans() -> list[SpanContext]:
    """The spans with their resources and scopes, in the order of the recorded answers."""
    scope = InstrumentationScope(name="otel.db", version="1.0", attributes=attributes({"s": "x"}))
    resource = Resource(attributes=attributes({"service.name": "auth", "n": 3}), dropped_attributes_count=2)
    everything = (
        ResourceSpans(
            resource=resource,
            schema_url="http://r",
            scope_spans=[
                ScopeSpans(scope=scope, spans=[COMMON, BARE, EMPTY_VALUES], schema_url="http://s"),
                ScopeSpans(spans=[OTHER_VALUES, OTHER_TYPES, TEXTS]),
            ],
        ),
        ResourceSpans(scope_spans=[ScopeSpans(spans=[LAST])]),
    )
    return list(span_contexts(everything))


SPANS = recorded_spans()


def alone(context: SpanContext) -> Iterator[SpanContext]:
    """Each event of a span as the only one."""
    for each in context.span.events:
        span = Span.FromString(context.span.SerializeToString())
        del span.events[:]
        span.events.append(each)
        yield replace(context, span=span)


def answers(expression: str, own: str) -> str:
    """Our answer for each span (each event) in order."""
    strict = compile_list([expression], own, strict=True)
    lenient = compile_list([expression], own, strict=False)
    contexts = SPANS if own == "span" else [each for context in SPANS for each in alone(context)]
    letters = []
    for context in contexts:
        holds = holds_on_span(strict.holds, context)
        assert holds_on_span(lenient.holds, context) == holds
        errs = strict.errs is not None and holds_on_span(strict.errs, context)
        assert not (holds and errs)
        letters.append("T" if holds else "E" if errs else "F")
    return "".join(letters)


@pytest.mark.parametrize(("expression", "expected"), DATA["span"])
def test_span_condition(expression: str, expected: str) -> None:
    """A condition of spans is true, false or an error exactly where the Collector's is."""
    assert answers(expression, "span") == expected


@pytest.mark.parametrize(("expression", "expected"), DATA["spanevent"])
def test_event_condition(expression: str, expected: str) -> None:
    """A condition of events is true, false or an error exactly where the Collector's is."""
    assert answers(expression, "spanevent") == expected


@pytest.mark.parametrize(("expression", "expected"), DATA["constant"])
def test_constant_condition(expression: str, expected: str) -> None:
    """Converters give for a text exactly what the Collector's give, or an error where they do."""
    assert set(answers(expression, "span")) == {expected}


@pytest.mark.parametrize("expression", DATA["refused"])
def test_refused_condition(expression: str) -> None:
    """What the Collector refuses at load is refused here, with a place inside the expression."""
    with pytest.raises(OttlError) as caught:
        compile_list([expression], "span", strict=False)
    lines = expression.split("\n")
    assert 1 <= caught.value.line <= len(lines)
    assert 1 <= caught.value.column <= len(lines[caught.value.line - 1]) + 1
