"""Transformations by example: what a rule reaches and what it leaves."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData
from pydantic import ValidationError

from sampler.config.transform import Transform as TransformConfig
from sampler.otlp import ScanError
from sampler.otlp.wire import varint
from sampler.redaction import Transform, transform_of
from sampler.redaction.build import OWN_ATTRIBUTE


def make(count: Counter[str] | None = None, **config: Any) -> Transform:
    """The transformation of a block; `count` takes what it counts."""
    counts = Counter[str]() if count is None else count
    made = transform_of(TransformConfig.model_validate(config), lambda name, times: counts.update({name: times}))
    assert made is not None
    return made


def data_of(*spans: Span, resource: dict[str, str] | None = None) -> TracesData:
    """Spans under one resource and scope."""
    data = TracesData()
    section = data.resource_spans.add()
    for key, value in (resource or {"service.name": "shop"}).items():
        section.resource.attributes.add(key=key).value.string_value = value
    section.scope_spans.add(spans=spans)
    return data


def span_of(trace: int = 1, name: str = "GET /", **attributes: Any) -> Span:
    """A span; underscores in names of attributes are dots."""
    span = Span(trace_id=bytes([trace]) * 16, span_id=b"12345678", name=name)
    for key, value in attributes.items():
        held = span.attributes.add(key=key.replace("_", ".")).value
        if isinstance(value, bool):
            held.bool_value = value
        elif isinstance(value, int):
            held.int_value = value
        elif isinstance(value, bytes):
            held.bytes_value = value
        else:
            held.string_value = value
    return span


def names(data: bytes) -> list[str]:
    """The names of all spans."""
    return [
        span.name
        for section in TracesData.FromString(data).resource_spans
        for scope in section.scope_spans
        for span in scope.spans
    ]


def first(data: bytes) -> dict[str, AnyValue]:
    """The attributes of the first span."""
    return {
        each.key: each.value
        for each in TracesData.FromString(data).resource_spans[0].scope_spans[0].spans[0].attributes
    }


def test_nothing_configured_is_nothing_at_all() -> None:
    """An empty block makes no transformation, so there is nothing to call."""
    assert transform_of(TransformConfig()) is None
    assert transform_of(TransformConfig(upsert={"pod": ""})) is None


def test_rules_are_counted_by_name() -> None:
    """Each rule counts the attributes and texts it changed, under its name or its action and place."""
    count = Counter[str]()
    apply = make(
        count,
        rules=[
            {"name": "urls", "action": "rewrite", "pattern": "token=[^&]+"},
            {"action": "delete", "keys": ["a", "b"]},
        ],
        max_attributes=3,
        upsert={"k8s.pod.name": "p"},
    )
    apply(data_of(span_of(name="?token=1", url="x?token=2", a="1", b="2", c="3", d="4", e="5")).SerializeToString())
    assert count == {"urls": 2, "delete-2": 2, "max_attributes": 1, "upsert": 1}


def test_a_rule_sees_what_the_rules_before_it_have_left() -> None:
    """A rule applies to what an earlier one has written, though it stood nowhere before."""
    apply = make(
        rules=[
            {"action": "rewrite", "pattern": "alpha", "replacement": "beta"},
            {"action": "rewrite", "pattern": "beta", "replacement": "gamma"},
        ]
    )
    assert first(apply(data_of(span_of(x="alpha")).SerializeToString()))["x"].string_value == "gamma"


def test_groups_of_the_pattern_can_be_kept() -> None:
    r"""`\1` in a replacement is what the first group matched."""
    apply = make(rules=[{"action": "rewrite", "pattern": r"(card=\d{4})\d+", "replacement": r"\1..."}])
    assert (
        first(apply(data_of(span_of(q="card=4111111111111111")).SerializeToString()))["q"].string_value
        == "card=4111..."
    )


def test_numbers_are_looked_at_where_their_key_is_named() -> None:
    """A pattern finds a number's digits where the rule names the key; elsewhere numbers are left alone."""
    data = data_of(span_of(card=4111111111111111)).SerializeToString()
    digits = {"action": "rewrite", "pattern": "[0-9]{16}"}
    assert first(make(rules=[{**digits, "keys": "card"}])(data))["card"].string_value == "****"
    assert make(rules=[digits])(data) is data


def test_a_pattern_limits_what_is_deleted() -> None:
    """With a pattern only those of the named attributes go in which it is found."""
    apply = make(rules=[{"action": "delete", "key_pattern": "^header", "pattern": "^Bearer "}])
    result = first(apply(data_of(span_of(header_a="Bearer x", header_b="gzip")).SerializeToString()))
    assert list(result) == ["header.b"]


def test_texts_that_are_no_utf8_are_searched_byte_by_byte() -> None:
    """A secret beside bytes that are no UTF-8 goes too, in byte strings and in texts."""
    secret = b"token=\xff\xfes3cret"
    data = data_of(span_of(raw=secret, text="token=PLACEHOLDER1")).SerializeToString()
    data = data.replace(b"token=PLACEHOLDER1", b"token=\xff\xfes3crethere")
    result = make(rules=[{"action": "rewrite", "pattern": "token=[^&]+"}])(data)
    assert b"s3cret" not in result
    assert result.count(b"****") == 2


def test_names_and_messages_are_reached_where_the_rule_says_so() -> None:
    """`texts` of a rule are masked; without them a rule with keys leaves names and messages alone."""
    span = span_of(name="token=1", token="token=1")
    span.status.message = "token=2"
    span.events.add(name="token=3")
    data = data_of(span).SerializeToString()
    masked = make(rules=[{"action": "mask", "texts": ["status_message", "event_name"]}])(data)
    result = TracesData.FromString(masked).resource_spans[0].scope_spans[0].spans[0]
    assert (result.name, result.status.message, result.events[0].name) == ("token=1", "****", "****")
    assert result.attributes[0].value.string_value == "token=1"
    keyed = make(rules=[{"action": "rewrite", "keys": "token", "pattern": "token=[^&]+"}])(data)
    assert names(keyed) == ["token=1"]


def test_spans_are_dropped_where_all_that_is_said_holds() -> None:
    """A condition's parts must all hold, of one span and its resource; a resource without spans goes too."""
    count = Counter[str]()
    apply = make(
        count,
        drop_spans=[
            {"name": "health", "attributes": {"http.route": ["/health", "/ready"], "code": 200}},
            {"span_name_pattern": "^OPTIONS ", "resource_attributes": {"service.name": "shop"}},
        ],
    )
    spans = [
        span_of(name="1", http_route="/health", code=200),
        span_of(name="2", http_route="/health", code=500),
        span_of(name="3", http_route="/ready", code="200"),
        span_of(name="OPTIONS /"),
    ]
    assert names(apply(data_of(*spans).SerializeToString())) == ["2"]
    assert names(apply(data_of(*spans, resource={"service.name": "till"}).SerializeToString())) == ["2", "OPTIONS /"]
    assert apply(data_of(spans[0]).SerializeToString()) == b""
    assert count == {"health": 5, "drop-2": 1}


def test_whole_traces_are_dropped_within_a_record() -> None:
    """With `whole_trace` all spans of the trace in the same data go, before and behind the one that told."""
    apply = make(drop_spans=[{"span_names": "GET /health", "whole_trace": True}])
    data = data_of(span_of(1, "a"), span_of(2, "b"), span_of(1, "GET /health"), span_of(2, "c"))
    data.MergeFrom(data_of(span_of(1, "d"), span_of(3, "e")))
    assert names(apply(data.SerializeToString())) == ["b", "c", "e"]


def test_resources_get_what_they_should_have() -> None:
    """An upsert takes the place of what is there, is written where nothing is, and changes nothing where it is so."""
    count = Counter[str]()
    apply = make(count, upsert={"k8s.node.name": "n1", "zone": "", "n": 5})
    once = apply(data_of(span_of(), resource={"k8s.node.name": "old", "x": "y"}).SerializeToString())
    resource = TracesData.FromString(once).resource_spans[0].resource
    assert [each.key for each in resource.attributes] == ["x", "k8s.node.name", "n"]
    assert apply(once) is once
    bare = TracesData()
    bare.resource_spans.add().scope_spans.add(spans=[span_of()])
    assert len(TracesData.FromString(apply(bare.SerializeToString())).resource_spans[0].resource.attributes) == 2
    assert count == {"upsert": 4}


def test_spared_attributes_are_not_cut_off() -> None:
    """The worker's own annotations stay, whatever the limit on attributes."""
    config = TransformConfig(max_attributes=1)
    apply = transform_of(config, spared=frozenset({"sampling.rate"}))
    assert apply is not None
    span = span_of(a="1", b="2", sampling_rate="3")
    assert list(first(apply(data_of(span).SerializeToString()))) == ["sampling.rate"]


def test_what_cannot_be_looked_at_is_left_out() -> None:
    """A span with values nested beyond protobuf's depth goes, counted; the others come through."""
    deep = AnyValue(string_value="password").SerializeToString()
    for _ in range(100):
        array = b"\x0a" + varint(len(deep)) + deep
        deep = b"\x2a" + varint(len(array)) + array
    attribute = b"\x12" + varint(len(deep)) + deep
    span = span_of(name="deep").SerializeToString() + b"\x4a" + varint(len(attribute)) + attribute
    scope = b"\x12" + varint(len(span)) + span
    section = b"\x12" + varint(len(scope)) + scope
    data = data_of(span_of(name="good", password="x")).SerializeToString()
    data += b"\x0a" + varint(len(section)) + section
    count = Counter[str]()
    result = make(count, rules=[{"action": "delete", "keys": "password"}])(data)
    assert names(result) == ["good"]
    assert count == {"delete-1": 1, "unreadable": 1}


def test_what_is_no_otlp_is_refused() -> None:
    """Damaged data raises ScanError with the place, as without a transformation."""
    data = data_of(span_of(password="x")).SerializeToString()
    with pytest.raises(ScanError):
        make(rules=[{"action": "delete", "keys": "password"}])(data[:-3])


def test_own_spans_are_dropped_by_their_mark() -> None:
    """Spans that the pipeline made of itself go, all others stay."""
    count = Counter[str]()
    apply = transform_of(
        TransformConfig(), lambda name, times: count.update({name: times}), own_spans=True
    )  # fmt: skip
    assert apply is not None
    own = data_of(span_of(), span_of())
    own.resource_spans[0].resource.attributes.add(key=OWN_ATTRIBUTE).value.bool_value = True
    both = own.SerializeToString() + data_of(span_of(name="other")).SerializeToString()
    assert names(apply(both)) == ["other"]
    assert count == {"own_spans": 2}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"rules": [{"action": "rewrite", "keys": "a"}]}, "rewrite needs a pattern"),
        ({"rules": [{"action": "mask"}]}, "would apply to everything"),
        ({"rules": [{"action": "rewrite", "pattern": "("}]}, "no regular expression of RE2"),
        ({"rules": [{"action": "rewrite", "pattern": "x*"}]}, "matches the empty text"),
        ({"rules": [{"action": "rewrite", "pattern": "x", "replacement": r"\1"}]}, "group 1, but the pattern has 0"),
        ({"rules": [{"action": "hash", "keys": "a"}]}, "salt"),
        ({"drop_spans": [{}]}, "it would drop all"),
        ({"rules": [{"action": "delete", "keys": "a", "name": "truncate"}]}, "stands for something else"),
        ({"rules": [{"action": "delete", "texts": ["span_name"]}]}, "cannot be deleted"),
    ],
)
def test_mistakes_are_told(config: dict[str, Any], message: str) -> None:
    """What cannot be meant is an error at load that says what is wrong."""
    with pytest.raises(ValidationError, match=message):
        TransformConfig.model_validate(config)


def test_the_salt_is_not_shown() -> None:
    """Neither the block's text nor what is printed of it holds the salt."""
    config = TransformConfig.model_validate({"salt": "very secret salt", "rules": [{"action": "hash", "keys": "a"}]})
    assert "very secret" not in repr(config)
    assert "very secret" not in config.model_dump_json()
