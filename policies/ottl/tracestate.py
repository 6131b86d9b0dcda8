"""W3C tracestate as the OpenTelemetry Go API reads it, on which OTTL's `trace_state["key"]` rests."""

from __future__ import annotations

import re

_MAX_MEMBERS = 32
_KEY = re.compile(r"[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13}")
_VALUE = re.compile(r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")


def entries_of(header: str) -> dict[str, str] | None:
    """The entries by key; None where the header is not valid as a whole."""
    entries: dict[str, str] = {}
    for member in header.split(","):
        if not member:
            continue
        key, equals, value = member.partition("=")
        key, value = key.lstrip(" \t"), value.rstrip(" \t")
        if not equals or not _KEY.fullmatch(key) or not _VALUE.fullmatch(value):
            return None
        if key in entries or len(entries) >= _MAX_MEMBERS:
            return None
        entries[key] = value
    return entries
