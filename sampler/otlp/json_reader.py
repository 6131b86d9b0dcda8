"""OTLP JSON to OTLP protobuf.

OTLP JSON is protobuf's JSON mapping, save that ids are hexadecimal and unknown fields are ignored.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sampler.otlp.json_fast import write_usual_form

# Original field names beside the lowerCamelCase ones, as the Collector reads both.
_RESOURCE_SPANS = ("resourceSpans", "resource_spans")
_SCOPE_SPANS = ("scopeSpans", "scope_spans")
_SPANS = ("spans",)
_LINKS = ("links",)
_SPAN_IDS = ("traceId", "trace_id", "spanId", "span_id", "parentSpanId", "parent_span_id")

_MAX_REASON = 500  # characters: protobuf quotes values of any length


class JsonError(ValueError):
    """The body is not OTLP JSON; the text says where and why, and can be encoded whatever the body holds."""


def request_from_json(body: bytes) -> bytes:
    """A serialized ExportTraceServiceRequest from its OTLP JSON form; JsonError, and nothing else, where it is none."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _refusal(error) from error
    usual = write_usual_form(document)
    return write_any_form(document) if usual is None else usual


def write_any_form(document: Any) -> bytes:
    """The same from the parsed JSON, in every form that is allowed; the document is changed on the way."""
    if not isinstance(document, dict):
        raise JsonError(f"the body must be a JSON object with resourceSpans, not {_kind(document)}")
    for span in _spans(document):
        _hex_to_base64(span)
        for link in _items(span, _LINKS):
            _hex_to_base64(link)
    try:
        message = json_format.ParseDict(document, ExportTraceServiceRequest(), ignore_unknown_fields=True)
        return message.SerializeToString()
    except MemoryError:
        raise
    except Exception as error:
        # Where it should raise ParseError, protobuf's reader also lets pass what it stumbles over: OverflowError for
        # 1e400 as an enum, SystemError for half a surrogate pair as a message, TypeError, RecursionError.
        raise _refusal(error) from error


def _refusal(error: Exception) -> JsonError:
    reason = str(error)
    if len(reason) > _MAX_REASON:
        reason = reason[:_MAX_REASON] + "..."
    # It may quote half a surrogate pair of the body, which no answer and no terminal can hold.
    return JsonError(f"the body is not OTLP JSON: {reason.encode(errors='backslashreplace').decode()}")


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
                raise JsonError(f"{name} {value[:64]!a} is not hexadecimal, as OTLP JSON wants it") from None


def _kind(value: object) -> str:
    return {list: "a list", str: "a string", type(None): "null"}.get(type(value), "a " + type(value).__name__)
