"""OTLP JSON to OTLP protobuf.

OTLP JSON is protobuf's JSON mapping, save that ids are hexadecimal and unknown fields are ignored.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

# Original field names beside the lowerCamelCase ones, as the Collector reads both.
_RESOURCE_SPANS = ("resourceSpans", "resource_spans")
_SCOPE_SPANS = ("scopeSpans", "scope_spans")
_SPANS = ("spans",)
_LINKS = ("links",)
_SPAN_IDS = ("traceId", "trace_id", "spanId", "span_id", "parentSpanId", "parent_span_id")


class JsonError(ValueError):
    """The body is not OTLP JSON; the text says where and why."""


def request_from_json(body: bytes) -> bytes:
    """A serialized ExportTraceServiceRequest from its OTLP JSON form; JsonError where it is none."""
    try:
        document = json.loads(body)
        if not isinstance(document, dict):
            raise JsonError(f"the body must be a JSON object with resourceSpans, not {_kind(document)}")
        for span in _spans(document):
            _hex_to_base64(span)
            for link in _items(span, _LINKS):
                _hex_to_base64(link)
        message = json_format.ParseDict(document, ExportTraceServiceRequest(), ignore_unknown_fields=True)
        return message.SerializeToString()
    except JsonError:
        raise
    except (ValueError, json_format.ParseError, RecursionError, TypeError) as error:
        raise JsonError(f"the body is not OTLP JSON: {error}") from error


def _spans(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        span
        for resource_spans in _items(document, _RESOURCE_SPANS)
        for scope_spans in _items(resource_spans, _SCOPE_SPANS)
        for span in _items(scope_spans, _SPANS)
    ]


def _items(parent: dict[str, Any], names: tuple[str, ...]) -> list[dict[str, Any]]:
    """The objects of a list field; whatever else is there is left for the protobuf parser to judge."""
    return [
        item
        for name in names
        if isinstance(values := parent.get(name), list)
        for item in values
        if isinstance(item, dict)
    ]


def _hex_to_base64(holder: dict[str, Any]) -> None:
    for name in _SPAN_IDS:
        value = holder.get(name)
        if isinstance(value, str) and value:
            try:
                holder[name] = base64.b64encode(bytes.fromhex(value)).decode("ascii")
            except ValueError:
                raise JsonError(f"{name} {value[:64]!r} is not hexadecimal, as OTLP JSON wants it") from None


def _kind(value: object) -> str:
    return {list: "a list", str: "a string", type(None): "null"}.get(type(value), "a " + type(value).__name__)
