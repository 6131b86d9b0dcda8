"""Paths: which names there are in which context, and the fields of the span they read.

A path begins with a context (`span`, `spanevent`, `resource`, `scope` or its older name `instrumentation_scope`), or
without one with a name of the list's own context. Paths that need more than an attribute, a name or a time read the
whole message they stand in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from policies.conditions import Field, Part
from policies.errors import nearest
from policies.ottl.decode import Message, attributes_of
from policies.ottl.errors import EvaluationError, OttlError
from policies.ottl.frame import Frame, Getter
from policies.ottl.index import in_data, key_of_map
from policies.ottl.kinds import Identifier, Opaque, PMap, Time, wrapped
from policies.ottl.syntax import Path, Segment
from policies.ottl.tracestate import entries_of

KINDS = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
CONTEXTS = {
    "span": ("span", "resource", "scope", "instrumentation_scope"),
    "spanevent": ("spanevent", "span", "resource", "scope", "instrumentation_scope"),
}
"""The contexts that conditions of each list can name, its own first."""

Read = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class _Plain:
    """A name that reads one field; `inner` are the names that may follow it, None for none."""

    part: Part
    read: Read
    inner: dict[str, _Plain] | None = None


def _same(value: Any) -> Any:
    return value


def _kind_text(prefix: str, *, upper: bool = False) -> Read:
    def read(kind: int) -> str:
        name = KINDS[kind] if 0 <= kind < len(KINDS) else None
        return "" if name is None else prefix + (name.upper() if upper else name)

    return read


def _id(kind: str, number: int, length: int) -> _Plain:
    def content(message: Message) -> bytes:
        return message.bytes(number).ljust(length, b"\0")

    return _Plain(
        Part.SPAN,
        lambda message: Identifier(kind, content(message)),
        {"string": _Plain(Part.SPAN, lambda message: content(message).hex())},
    )


def _count(part: Part, number: int) -> _Plain:
    return _Plain(part, lambda message: message.number(number) & 0xFFFFFFFF)


def _listed(name: str, number: int) -> _Plain:
    return _Plain(Part.SPAN, lambda message: Opaque(name, len(message.all(number))))


_SPAN = {
    "trace_id": _id("trace", 1, 16),
    "span_id": _id("span", 2, 8),
    "parent_span_id": _id("span", 4, 8),
    "trace_state": _Plain(Part.TRACE_STATE, _same),
    "name": _Plain(Part.SPAN_NAME, _same),
    "kind": _Plain(
        Part.KIND,
        _same,
        {
            "string": _Plain(Part.KIND, _kind_text("")),
            "deprecated_string": _Plain(Part.KIND, _kind_text("SPAN_KIND_", upper=True)),
        },
    ),
    "start_time": _Plain(Part.START_TIME, Time),
    "end_time": _Plain(Part.END_TIME, Time),
    "start_time_unix_nano": _Plain(Part.START_TIME, _same),
    "end_time_unix_nano": _Plain(Part.END_TIME, _same),
    "dropped_attributes_count": _count(Part.SPAN, 10),
    "events": _listed("events", 11),
    "dropped_events_count": _count(Part.SPAN, 12),
    "links": _listed("links", 13),
    "dropped_links_count": _count(Part.SPAN, 14),
    "status": _Plain(
        Part.SPAN,
        lambda _: Opaque("status"),
        {
            "code": _Plain(Part.STATUS_CODE, _same),
            "message": _Plain(Part.SPAN, lambda message: Message(message.bytes(15)).text(2)),
        },
    ),
    "flags": _count(Part.SPAN, 16),
}
_EVENT = {
    "name": _Plain(Part.EVENT_NAME, _same),
    "time": _Plain(Part.EVENT, lambda message: Time(wrapped(message.number(1)))),
    "time_unix_nano": _Plain(Part.EVENT, lambda message: wrapped(message.number(1))),
    "dropped_attributes_count": _count(Part.EVENT, 4),
}
_RESOURCE = {
    "schema_url": _Plain(Part.RESOURCE_SCHEMA_URL, _same),
    "dropped_attributes_count": _count(Part.RESOURCE, 2),
}
_SCOPE = {
    "name": _Plain(Part.SCOPE, lambda message: message.text(1)),
    "version": _Plain(Part.SCOPE, lambda message: message.text(2)),
    "schema_url": _Plain(Part.SCOPE_SCHEMA_URL, _same),
    "dropped_attributes_count": _count(Part.SCOPE, 4),
}
PATHS = {
    "span": _SPAN,
    "spanevent": _EVENT,
    "resource": _RESOURCE,
    "scope": _SCOPE,
    "instrumentation_scope": _SCOPE,
}
"""The names of each context besides `attributes` and `cache`."""

_ATTRIBUTES = {
    "span": (Part.SPAN_ATTRIBUTE, Part.SPAN, 9),
    "spanevent": (Part.EVENT_ATTRIBUTE, Part.EVENT, 3),
    "resource": (Part.RESOURCE_ATTRIBUTE, Part.RESOURCE, 1),
    "scope": (Part.SCOPE_ATTRIBUTE, Part.SCOPE, 3),
    "instrumentation_scope": (Part.SCOPE_ATTRIBUTE, Part.SCOPE, 3),
}
"""Of each context: the part that is one attribute, the whole message, and the field of the attributes in it."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A path taken apart: the context it speaks of and its own segments."""

    context: str
    segments: tuple[Segment, ...]


def resolve(path: Path, own: str, text: str) -> Resolved:
    """The context of a path in a condition of the list `own`; OttlError where it does not exist there."""
    first = path.segments[0]
    if len(path.segments) > 1 and not first.keys:
        if first.name in CONTEXTS[own]:
            return Resolved(first.name, path.segments[1:])
        if first.name in ("otelcol", "spanevent"):
            why = (
                "conditions of spans do not see events; put it into the list `spanevent`"
                if first.name == "spanevent"
                else "what a Collector knows of its client is not known when a trace is decided"
            )
            raise OttlError(f"the context {first.name} does not exist here: {why}", text, path.at)
    return Resolved(own, path.segments)


def path_getter(path: Path, own: str, text: str, keys_of: Callable[[Segment], Sequence[Getter]]) -> Getter:
    """How to get the value of a path; `keys_of` compiles the keys of a segment. Raises OttlError."""
    resolved = resolve(path, own, text)
    first, *rest = resolved.segments
    if first.name == "attributes":
        _nothing_after(rest, text)
        return _attributes(resolved.context, keys_of(first))
    if first.name == "cache":
        return _cache(resolved, own, text, keys_of)
    names = PATHS[resolved.context]
    plain = names.get(first.name)
    if plain is None:
        if first.name in CONTEXTS[own]:
            raise OttlError(f'{first.name} is a context: write {first.name}.attributes["key"]', text, first.at)
        known = [*names, "attributes", *CONTEXTS[own]]
        raise OttlError(f"{resolved.context} has no path {first.name!r}", text, first.at, nearest(first.name, known))
    if first.name == "trace_state" and first.keys:
        _nothing_after(rest, text)
        return _trace_state(first, text, keys_of(first))
    for segment in rest:
        if first.keys:
            break
        following = (plain.inner or {}).get(segment.name)
        if following is None:
            known = list(plain.inner or ())
            suggestion = nearest(segment.name, known)
            raise OttlError(f"{first.name!r} has no part {segment.name!r}", text, segment.at, suggestion)
        first, plain = segment, following
    if first.keys:
        raise OttlError(f"{first.name!r} cannot be indexed", text, first.at)
    field, read = Field(plain.part), plain.read
    return Getter(lambda frame: read(frame.read(field)), frozenset({field}), sure=True)


def _nothing_after(rest: Sequence[Segment], text: str) -> None:
    if rest:
        raise OttlError(f'nothing can follow here; an entry of a map is written ["{rest[0].name}"]', text, rest[0].at)


def _attributes(context: str, keys: Sequence[Getter]) -> Getter:
    part, message_part, number = _ATTRIBUTES[context]
    whole = Field(message_part)

    def all_of(frame: Frame) -> PMap:
        return attributes_of(frame.read(whole).content, number)

    if not keys:
        return Getter(all_of, frozenset({whole}), sure=True)
    first, rest = keys[0], keys[1:]
    fields = frozenset[Field]().union(*(key.fields for key in keys))
    if first.literal and type(first.value) is str:
        field = Field(part, first.value)
        if not rest:
            return Getter(lambda frame: frame.read(field), frozenset({field}), sure=True)

        def entry(frame: Frame) -> Any:
            return in_data(frame.read(field), rest, frame) if frame.has(field) else None

        return Getter(entry, fields | {field})

    def found(frame: Frame) -> Any:
        name = key_of_map(first, frame)
        attributes = all_of(frame).first
        return in_data(attributes[name], rest, frame) if name in attributes else None

    return Getter(found, fields | {whole})


def _cache(resolved: Resolved, own: str, text: str, keys_of: Callable[[Segment], Sequence[Getter]]) -> Getter:
    """The cache of a context: always empty, because conditions cannot write to it."""
    first, *rest = resolved.segments
    if resolved.context != own:
        raise OttlError(f"the cache of {resolved.context} cannot be read from here", text, first.at)
    _nothing_after(rest, text)
    keys = keys_of(first)
    if not keys:
        return Getter(lambda _: PMap([]), sure=True)

    def nothing(frame: Frame) -> None:
        key_of_map(keys[0], frame)

    return Getter(nothing, keys[0].fields)


def _trace_state(segment: Segment, text: str, keys: Sequence[Getter]) -> Getter:
    """An entry of the tracestate: "" where it is not there, nil where the header is not valid."""
    if len(keys) != 1:
        raise OttlError("trace_state takes exactly one key", text, segment.at)
    field, key = Field(Part.TRACE_STATE), keys[0]
    if not (key.literal and type(key.value) is str):

        def fails(frame: Frame) -> None:
            if entries_of(frame.read(field)) is not None:
                raise EvaluationError("trace_state is indexed by a string written in the expression")

        return Getter(fails, frozenset({field}))
    name: str = key.value

    def get(frame: Frame) -> str | None:
        entries = entries_of(frame.read(field))
        return None if entries is None else entries.get(name, "")

    return Getter(get, frozenset({field}), sure=True)
