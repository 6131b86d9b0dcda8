"""What resources and scopes say to the spans below them, remembered: few differ. For the scanner without a compiler."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from policies.conditions import Where
from sampler.otlp.attributes import Attributes
from sampler.otlp.fields import Place
from sampler.otlp.schema import SLIM

_KNOWN_HEADERS = 2048
_KNOWN_HEADER_SIZE = 4096

_section_header = SLIM["SectionHeader"].FromString
_resource = SLIM["RawResource"].FromString
_scope = SLIM["RawScope"].FromString

_Key: TypeAlias = bytes | tuple[bytes, bytes]
"""The encoded header of a resource; of a scope with that of its resource before it."""


class Header(NamedTuple):
    """What a resource or scope says to the spans below it."""

    encoded: bytes
    bits: int
    """Of the leaves it answers, a scope's with those of its resource."""
    place: Place
    """Where fields are read from."""
    mentions: int
    """How often keys that are asked of spans are seen in it, at least."""


class Headers:
    """The headers of resources and scopes: at most 2,048 of 4 KiB are kept, with what was read and answered of them."""

    def __init__(self, resource: Attributes, scope: Attributes, span: Attributes) -> None:
        self._resource = resource
        self._scope = scope
        self._span = span
        self._known: dict[_Key, Header] = {}

    def resource(self, encoded: bytes) -> Header:
        """What the encoded header of a ResourceSpans says."""
        return self._known.get(encoded) or self._read(encoded, encoded, None)

    def scope(self, encoded: bytes, resource: Header) -> Header:
        """What the encoded header of a ScopeSpans below `resource` says."""
        key = (resource.encoded, encoded)
        return self._known.get(key) or self._read(key, encoded, resource)

    def _read(self, key: _Key, encoded: bytes, resource: Header | None) -> Header:
        header = _section_header(encoded)
        # A resource or scope that is there more than once is one message, as protobuf merges them.
        content = b"".join(header.parts)
        if resource is None:
            place = Place(Where.RESOURCE, None, content, schema_url=header.schema_url)
            bits = self._resource.bits_of(_resource(content).attributes)
        else:
            place = Place(Where.SCOPE, resource.place, content, schema_url=header.schema_url)
            bits = self._scope.bits_of(_scope(content).attributes) | resource.bits
        # Each part lies in the record as it is. Their joints do not: a key across one would be seen only here.
        mentions = self._span.mentions((*header.parts, header.schema_url))
        made = Header(encoded, bits, place, mentions)
        if len(encoded) + (len(resource.encoded) if resource else 0) <= _KNOWN_HEADER_SIZE:
            if len(self._known) >= _KNOWN_HEADERS:
                self._known.clear()
            self._known[key] = made
        return made
