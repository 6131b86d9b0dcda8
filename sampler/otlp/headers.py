"""What resources and scopes say to the spans below them, remembered: few differ. For the scanner without a compiler."""

from __future__ import annotations

from typing import NamedTuple

from policies.conditions import Where
from sampler.otlp.attributes import Attributes
from sampler.otlp.fields import Place
from sampler.otlp.schema import SLIM

_KNOWN_HEADERS = 2048
_KNOWN_HEADER_SIZE = 4096

_resource_header = SLIM["ResourceHeader"].FromString
_scope_header = SLIM["ScopeHeader"].FromString
_resource = SLIM["RawResource"].FromString
_scope = SLIM["RawScope"].FromString


class Header(NamedTuple):
    """What a resource or scope says to the spans below it."""

    encoded: bytes
    bits: int
    """Of the leaves it answers, a scope's with those of its resource."""
    place: Place
    """Where fields are read from."""
    mentions: int
    """How often its bytes hold keys that are asked of spans."""


class Headers:
    """The headers of resources and scopes: at most 2,048 of 4 KiB are kept."""

    def __init__(self, resource: Attributes, scope: Attributes, span: Attributes) -> None:
        self._resource = resource
        self._scope = scope
        self._span = span
        self._known: dict[bytes | tuple[bytes, bytes], Header] = {}

    def resource(self, encoded: bytes) -> Header:
        """What the encoded header of a ResourceSpans says. Its resources are one message, as protobuf merges them."""
        header = self._known.get(encoded)
        if header is None:
            message = _resource_header(encoded)
            content = b"".join(message.resource)
            place = Place(Where.RESOURCE, None, content, schema_url=message.schema_url)
            bits = self._resource.bits_of(_resource(content).attributes)
            header = Header(encoded, bits, place, self._span.mentions(encoded))
            self._keep(encoded, header, len(encoded))
        return header

    def scope(self, encoded: bytes, resource: Header) -> Header:
        """What the encoded header of a ScopeSpans below `resource` says."""
        key = (resource.encoded, encoded)
        header = self._known.get(key)
        if header is None:
            message = _scope_header(encoded)
            content = b"".join(message.scope)
            place = Place(Where.SCOPE, resource.place, content, schema_url=message.schema_url)
            bits = self._scope.bits_of(_scope(content).attributes) | resource.bits
            header = Header(encoded, bits, place, self._span.mentions(encoded))
            self._keep(key, header, len(encoded) + len(resource.encoded))
        return header

    def _keep(self, key: bytes | tuple[bytes, bytes], header: Header, size: int) -> None:
        if size <= _KNOWN_HEADER_SIZE:
            if len(self._known) >= _KNOWN_HEADERS:
                self._known.clear()
            self._known[key] = header
