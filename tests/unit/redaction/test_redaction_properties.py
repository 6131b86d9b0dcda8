"""What holds of every transformation, on trace data of any shape: compared with plain protobuf code, field by field."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, TracesData

from sampler.config.transform import Transform as TransformConfig
from sampler.otlp import ScanError, get_scanner
from sampler.redaction import Transform, transform_of

KEYS = ("password", "user.email", "note", "http.url", "n")
SECRET = "hunter2"
SALT = "pepper and salt"


def scalars() -> st.SearchStrategy[AnyValue]:
    """Values that hold no others; some of them with something that must not get out."""
    texts = st.sampled_from(["", "a", "é" * 40, f"x?token={SECRET}&y=1", f"token={SECRET}", "x" * 100])
    return st.one_of(
        st.builds(AnyValue, string_value=texts),
        st.builds(AnyValue, bytes_value=texts.map(str.encode)),
        st.builds(AnyValue, int_value=st.integers(-(2**63), 2**63 - 1)),
        st.builds(AnyValue, double_value=st.floats(allow_nan=False)),
        st.builds(AnyValue, bool_value=st.booleans()),
        st.just(AnyValue()),
    )


def nested(values: st.SearchStrategy[AnyValue]) -> st.SearchStrategy[AnyValue]:
    """Arrays and maps of values."""

    def array(inner: list[AnyValue]) -> AnyValue:
        value = AnyValue()
        value.array_value.values.extend(inner)
        return value

    def mapping(inner: list[KeyValue]) -> AnyValue:
        value = AnyValue()
        value.kvlist_value.values.extend(inner)
        return value

    entries = st.lists(st.builds(KeyValue, key=st.sampled_from(KEYS), value=values), max_size=3)
    return st.one_of(st.lists(values, max_size=3).map(array), entries.map(mapping))


values = st.recursive(scalars(), nested, max_leaves=6)
attributes = st.lists(st.builds(KeyValue, key=st.sampled_from(KEYS), value=values), max_size=4)
texts = st.sampled_from(["GET /", f"GET /?token={SECRET}", "é"])


@st.composite
def spans(draw: st.DrawFn) -> Span:
    """A span with everything."""
    span = Span(
        trace_id=draw(st.sampled_from([b"a" * 16, b"b" * 16])), span_id=b"12345678", name=draw(texts),
        attributes=draw(attributes), dropped_attributes_count=draw(st.integers(0, 3)), trace_state="a=b", flags=1,
    )  # fmt: skip
    for _ in range(draw(st.integers(0, 2))):
        span.events.add(name=draw(texts), attributes=draw(attributes), time_unix_nano=5)
        span.links.add(trace_id=b"c" * 16, span_id=b"1" * 8, attributes=draw(attributes))
    if draw(st.booleans()):
        span.status.message = draw(texts)
        span.status.code = draw(st.sampled_from([0, 1, 2]))
    if draw(st.booleans()):
        # A field of the future: its number is not known to anybody here.
        span.MergeFromString(b"\xc2\x3e\x03new")
    return span


@st.composite
def traces(draw: st.DrawFn) -> TracesData:
    """Trace data of up to 2 x 2 x 3 spans."""
    data = TracesData()
    for _ in range(draw(st.integers(0, 2))):
        section = ResourceSpans(schema_url="https://example.org/1")
        if draw(st.booleans()):
            section.resource.attributes.extend(draw(attributes))
        for _ in range(draw(st.integers(0, 2))):
            scope = ScopeSpans(schema_url="https://example.org/2", spans=draw(st.lists(spans(), max_size=3)))
            if draw(st.booleans()):
                scope.scope.name = "lib"
                scope.scope.attributes.extend(draw(attributes))
            section.scope_spans.append(scope)
        if draw(st.booleans()):
            section.MergeFromString(b"\xc2\x3e\x03new")
        data.resource_spans.append(section)
    return data


def transform(**config: Any) -> Transform:
    """The transformation of a block."""
    made = transform_of(TransformConfig.model_validate(config))
    assert made is not None
    return made


def holders(data: TracesData) -> Iterator[Any]:
    """Every message with attributes."""
    for section in data.resource_spans:
        if section.HasField("resource"):
            yield section.resource
        for scope in section.scope_spans:
            if scope.HasField("scope"):
                yield scope.scope
            for span in scope.spans:
                yield span
                yield from span.events
                yield from span.links


def by_key(data: TracesData, keys: tuple[str, ...], change: Callable[[AnyValue], AnyValue | None]) -> TracesData:
    """The plain form of a rule with keys: None removes the attribute."""

    def changed(held: list[KeyValue]) -> list[KeyValue]:
        result = []
        for each in held:
            new = KeyValue()
            new.CopyFrom(each)
            if each.key in keys:
                value = change(each.value)
                if value is None:
                    continue
                new.value.CopyFrom(value)
            else:
                inside(new.value)
            result.append(new)
        return result

    def inside(value: AnyValue) -> None:
        if value.HasField("kvlist_value"):
            new = changed(list(value.kvlist_value.values))
            del value.kvlist_value.values[:]
            value.kvlist_value.values.extend(new)
        elif value.HasField("array_value"):
            for element in value.array_value.values:
                inside(element)

    copy = TracesData.FromString(data.SerializeToString())
    for holder in holders(copy):
        new = changed(list(holder.attributes))
        del holder.attributes[:]
        holder.attributes.extend(new)
    return copy


def hashed(value: AnyValue) -> AnyValue:
    """The plain form of `hash`."""
    new = AnyValue()
    new.CopyFrom(value)
    kind = value.WhichOneof("value")
    if kind == "array_value":
        for number, element in enumerate(value.array_value.values):
            new.array_value.values[number].CopyFrom(hashed(element))
    elif kind == "kvlist_value":
        for number, entry in enumerate(value.kvlist_value.values):
            new.kvlist_value.values[number].value.CopyFrom(hashed(entry.value))
    elif kind is not None:
        held = getattr(value, kind)
        if isinstance(held, bool):
            held = str(held).lower()
        text = held if isinstance(held, bytes) else str(held).encode()
        if text:
            new.string_value = "sha256:" + hashlib.sha256(SALT.encode() + text).hexdigest()
    return new


def same(data: bytes, expected: TracesData) -> None:
    """The bytes mean the expected message, unknown fields included."""
    got = TracesData.FromString(data)
    assert got == expected
    assert sorted(data) == sorted(expected.SerializeToString())  # unknown fields may stand elsewhere


@given(traces(), st.sampled_from([("password",), ("user.email", "n"), ("note", "http.url")]))
@settings(max_examples=40, deadline=None)
def test_delete_removes_the_named_attributes_and_nothing_else(data: TracesData, keys: tuple[str, ...]) -> None:
    """All attributes and map entries of these keys are gone, everything else stands as it did, unknown fields too."""
    apply = transform(rules=[{"action": "delete", "keys": list(keys)}])
    same(apply(data.SerializeToString()), by_key(data, keys, lambda _: None))


@given(traces())
@settings(max_examples=40, deadline=None)
def test_mask_and_hash_change_the_values_of_the_named_attributes(data: TracesData) -> None:
    """Masked values are the mask, hashed ones `sha256:` and the digest of salt and value, and nothing else changes."""
    given_bytes = data.SerializeToString()
    masked = transform(rules=[{"action": "mask", "keys": "password"}])(given_bytes)
    same(masked, by_key(data, ("password",), lambda _: AnyValue(string_value="****")))
    apply = transform(salt=SALT, rules=[{"action": "hash", "keys": "user.email"}])
    same(apply(given_bytes), by_key(data, ("user.email",), hashed))


ALL = {
    "salt": SALT,
    "drop_spans": [{"attributes": {"n": ["5", "true"]}}],
    "rules": [
        {"action": "delete", "keys": "password"},
        {"action": "hash", "key_pattern": "mail"},
        {"action": "mask", "keys": "n", "levels": ["link"]},
        {"action": "rewrite", "pattern": "token=[^&]+"},
    ],
    "max_value_length": 64,
    "max_attributes": 2,
    "upsert": {"k8s.pod.name": "pod-1", "replicas": 3},
}


@given(traces())
@settings(max_examples=40, deadline=None)
def test_a_transformation_done_twice_is_done_once(data: TracesData) -> None:
    """What has gone through once goes through again as it is, the same object even where it is recognised as done."""
    apply = transform(**ALL)
    once = apply(data.SerializeToString())
    assert TracesData.FromString(apply(once)) == TracesData.FromString(once)


@given(traces())
@settings(max_examples=40, deadline=None)
def test_a_secret_survives_nowhere(data: TracesData) -> None:
    """What a rewrite is to remove is in no byte of the result, whatever kind of value, name or message it was in."""
    result = transform(rules=[{"action": "rewrite", "pattern": "token=[^&]+"}])(data.SerializeToString())
    assert SECRET.encode() not in result
    assert b"token=" not in result


@given(traces(), st.sampled_from(["delete", "mask", "hash"]))
@settings(max_examples=40, deadline=None)
def test_a_secret_behind_a_key_survives_nowhere(data: TracesData, action: str) -> None:
    """No value of a named key is left, at any level and depth."""
    for holder in holders(data):
        for attribute in holder.attributes:
            if attribute.key != "password":
                attribute.value.CopyFrom(AnyValue(int_value=1))
    for section in data.resource_spans:
        for scope in section.scope_spans:
            for span in scope.spans:
                span.name = span.status.message = ""
                for event in span.events:
                    event.name = ""
    rule = {"action": action, "key_pattern": "(?i)^PASS"}
    result = transform(salt=SALT, rules=[rule])(data.SerializeToString())
    assert SECRET.encode() not in result


@given(traces())
@settings(max_examples=40, deadline=None)
def test_what_nothing_applies_to_is_the_same_object(data: TracesData) -> None:
    """Data in which no rule finds anything is handed back as it came, not written anew."""
    given_bytes = data.SerializeToString()
    apply = transform(rules=[{"action": "delete", "keys": "absent"}, {"action": "rewrite", "pattern": "sk_live_\\w+"}])
    assert apply(given_bytes) is given_bytes


@given(traces(), st.integers(1, 4), st.integers(16, 50))
@settings(max_examples=40, deadline=None)
def test_limits_hold(data: TracesData, most: int, longest: int) -> None:
    """Spans have at most so many attributes, counting what was removed; values are cut to beginnings of themselves."""
    result = TracesData.FromString(
        transform(max_attributes=most, max_value_length=longest)(data.SerializeToString())
    )  # fmt: skip
    pairs = zip(holders(data), holders(result), strict=True)
    for old, new in pairs:
        kept = list(old.attributes)[:most] if isinstance(old, Span) else list(old.attributes)
        assert [each.key for each in new.attributes] == [each.key for each in kept]
        if isinstance(old, Span):
            removed = len(old.attributes) - len(kept)
            assert new.dropped_attributes_count == old.dropped_attributes_count + removed
        for before, after in zip(kept, new.attributes, strict=True):
            if before.value.HasField("string_value"):
                text, cut = before.value.string_value.encode(), after.value.string_value.encode()
                assert text.startswith(cut)
                assert len(cut) <= longest
                assert cut == text or len(cut) > longest - 4


@given(traces(), st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=3), st.integers(0, 2000))
@settings(max_examples=60, deadline=None)
def test_damaged_data_ends_in_one_way(data: TracesData, flips: list[tuple[int, int]], cut: int) -> None:
    """What the scanner takes is taken, and what comes of it too; what it refuses may only raise ScanError."""
    damaged = bytearray(data.SerializeToString())
    for place, byte in flips:
        if place < len(damaged):
            damaged[place] = byte
    given_bytes, split = bytes(damaged[: cut or None]), get_scanner().split
    apply = transform(**ALL)
    try:
        split(given_bytes, 4, "sarama")
    except ScanError:
        with contextlib.suppress(ScanError):
            apply(given_bytes)
    else:
        split(apply(given_bytes), 4, "sarama")
