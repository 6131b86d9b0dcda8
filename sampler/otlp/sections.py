"""Cuts a TracesData into its sections and spans with protobuf's own parser; the bytes stay as they came.

The header of a section is every field but the scopes or spans in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from sampler.otlp.schema import SLIM

_traces_data = SLIM["TracesData"].FromString
_resource_spans = SLIM["ResourceSpans"].FromString
_scope_spans = SLIM["ScopeSpans"].FromString
_raw_scope_spans = SLIM["RawScopeSpans"].FromString

Scopes: TypeAlias = list[tuple[bytes, list[bytes]]]
"""The header of each ScopeSpans, and its spans as they came."""
SlimScopes: TypeAlias = list[tuple[bytes, list[Any]]]
"""The same with slim spans."""


def resource_spans(record: bytes) -> list[bytes]:
    """The contents of every ResourceSpans. DecodeError where the record is malformed; sections are not looked into."""
    return list(_traces_data(record).resource_spans)


def cut(content: bytes) -> tuple[bytes, Scopes]:
    """(header of a ResourceSpans, its scopes). DecodeError where it is malformed; spans are not looked into."""
    return _sections(content, _raw_scope_spans)


def read(content: bytes) -> tuple[bytes, SlimScopes]:
    """As `cut`, with slim spans in the place of their bytes."""
    return _sections(content, _scope_spans)


def counted(content: bytes) -> tuple[bytes, int]:
    """(header of a ResourceSpans, number of its spans). DecodeError where it is malformed, as for `cut`."""
    message = _resource_spans(content)
    spans = sum(len(_raw_scope_spans(scope).spans) for scope in message.scope_spans)
    message.ClearField("scope_spans")
    return message.SerializeToString(), spans


def _sections(content: bytes, parse: Callable[[bytes], Any]) -> tuple[bytes, list[tuple[bytes, list[Any]]]]:
    message = _resource_spans(content)
    sections = []
    for scope_content in message.scope_spans:
        scope = parse(scope_content)
        spans = list(scope.spans)
        # Only fields unknown to the slim schema are left then: they are written as they came.
        scope.ClearField("spans")
        sections.append((scope.SerializeToString(), spans))
    message.ClearField("scope_spans")
    return message.SerializeToString(), sections
