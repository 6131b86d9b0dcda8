"""Marking the spans of a request with their tenant, on its wire bytes."""

from __future__ import annotations

from sampler.otlp import wire
from sampler.otlp.walk import Field, fields

# Tags of opentelemetry.proto: field number << 3 | length-delimited
_RESOURCE_SPANS = 0x0A  # in TracesData
_RESOURCE = 0x0A  # in ResourceSpans
_ATTRIBUTES = 0x0A  # in Resource
_KEY = 0x0A  # in KeyValue


class Stamp:
    """Sets one attribute of every resource, and takes away what a sender wrote under its name.

    What it takes grows with the number of resources in a request and their attributes, not with the spans.
    """

    def __init__(self, attribute: str) -> None:
        self._key = attribute.encode()
        self._made: dict[str, bytes] = {}

    def set(self, request: bytes, tenant: str | None) -> bytes:
        """The request with this tenant, or with none; ScanError where it is not OTLP."""
        forged = self._key in request
        if tenant is None and not forged:
            return request
        resource = self._resource(tenant) if tenant is not None else b""
        out: list[bytes] = []
        for field in fields(request, 0, len(request)):
            if field.tag != _RESOURCE_SPANS:
                out.append(request[field.start : field.end])
                continue
            content = self._without(request, field) if forged else request[field.value : field.end]
            # The last of several resources is merged into those before it: its attributes are added to theirs.
            out += (b"\x0a", wire.varint(len(content) + len(resource)), content, resource)
        return b"".join(out)

    def _resource(self, tenant: str) -> bytes:
        made = self._made.get(tenant)
        if made is None:
            string_value = wire.field(b"\x0a", tenant.encode())
            attribute = wire.field(b"\x0a", self._key) + wire.field(b"\x12", string_value)
            made = wire.field(b"\x0a", wire.field(b"\x0a", attribute))
            if len(self._made) >= 1000:
                self._made.clear()
            self._made[tenant] = made
        return made

    def _without(self, data: bytes, resource_spans: Field) -> bytes:
        """The content of a ResourceSpans without attributes of our name in its resources."""
        out: list[bytes] = []
        for field in fields(data, resource_spans.value, resource_spans.end):
            if field.tag == _RESOURCE:
                kept = b"".join(
                    data[each.start : each.end]
                    for each in fields(data, field.value, field.end)
                    if each.tag != _ATTRIBUTES or not self._is_ours(data, each)
                )
                out.append(wire.field(b"\x0a", kept))
            else:
                out.append(data[field.start : field.end])
        return b"".join(out)

    def _is_ours(self, data: bytes, attribute: Field) -> bool:
        """Whether a KeyValue has our key; of several keys in it the last one counts."""
        key = b""
        for field in fields(data, attribute.value, attribute.end):
            if field.tag == _KEY:
                key = data[field.value : field.end]
        return key == self._key
