"""Converters that a Collector knows and this compiler does not take, each with the reason."""

from __future__ import annotations

_CLOCK = "its answer changes from call to call, so a decision could not be repeated after a crash"
_CHANGES = "it changes the span, which a condition does not"
_XML = "XML is not read"
_UPSTREAM = "its exact answer depends on a library of Go that has no counterpart here"

LEFT_OUT: dict[str, str] = {
    "Now": _CLOCK,
    "UUID": _CLOCK,
    "UUIDv7": _CLOCK,
    "Append": _CHANGES,
    "DeleteIndex": _CHANGES,
    "ConvertAttributesToElementsXML": _XML,
    "ConvertTextToElementsXML": _XML,
    "GetXML": _XML,
    "InsertXML": _XML,
    "ParseSimplifiedXML": _XML,
    "ParseXML": _XML,
    "RemoveXML": _XML,
    "CommunityID": _UPSTREAM,
    "ExtractGrokPatterns": _UPSTREAM,
    "ParseSeverity": "the order in which the Collector tries its levels is random",
    "ToKeyValueString": _UPSTREAM,
    "UserAgent": _UPSTREAM,
    "XXH3": _UPSTREAM,
    "XXH128": _UPSTREAM,
}
"""The reason, by name."""
