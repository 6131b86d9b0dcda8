"""Keeps traces by an entry of their W3C tracestate."""

from __future__ import annotations

import json
import re

from pydantic import Field

from policies.builtin.string_attribute import Text
from policies.conditions import Matcher, TraceStateMatches
from policies.contract import Context, Policy, PolicyConfig
from policies.intent import Intent
from policies.rset import ALWAYS, NEVER
from policies.trace import TraceView

MAX_MEMBERS = 32
MAX_KEY_AND_VALUE = 256
_REST = "[a-z0-9_*/-]"
_KEY = re.compile(rf"[a-z]{_REST}{{0,255}}|[a-z0-9]{_REST}{{0,240}}@[a-z]{_REST}{{0,13}}")
_VALUE = re.compile(r"[ -+\--<>-~]{0,255}[!-+\--<>-~]")


class TraceState(Policy):
    """Keeps a trace with a span in whose tracestate the entry `key` is exactly one of `values`.

    A tracestate that breaks a rule of W3C anywhere, such as a key that occurs twice, matches nothing.
    """

    type = "trace_state"

    class Config(PolicyConfig):
        """Fields of the Collector."""

        key: str = Field(min_length=1)
        """Key of the entry, such as `dd` or `tenant@system`."""
        values: tuple[Text, ...] = Field(default=(), strict=False)
        """Values that keep a trace. Those that are empty, or with the key 256 bytes or longer, never match."""

    config: Config

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        key = config.key
        room = MAX_KEY_AND_VALUE - len(key.encode())
        values = frozenset(value for value in config.values if value and len(value.encode()) < room)

        def test(header: str) -> bool:
            return parse(header).get(key) in values

        self._condition = TraceStateMatches(Matcher(f"trace_state {json.dumps([key, sorted(values)])}", test))
        self.conditions = (self._condition,)
        if not values:
            self.notes = ("keeps nothing: `values` holds none that may occur",)
        elif len(values) < len(set(config.values)):
            self.notes = ("some `values` never match: they are empty, or 256 bytes or longer with the key",)

    def evaluate(self, trace: TraceView) -> Intent:
        """ALWAYS or NEVER."""
        return ALWAYS if trace.matches(self._condition) else NEVER

    def describe(self) -> str:
        """Says what it keeps."""
        values = ", ".join(json.dumps(value, ensure_ascii=False) for value in self.config.values)
        return f"a span with {self.config.key} in [{values}] in its tracestate"


def parse(header: str) -> dict[str, str]:
    """The entries of a tracestate header; none where it breaks a rule, as OpenTelemetry's parser for Go reads it.

    A list of at most 32 entries `key=value`, separated by commas; nothing at all between two commas is passed over.
    Blanks and tabs before the key and after the value are no part of them.
    """
    entries: dict[str, str] = {}
    for member in header.split(","):
        if not member:
            continue
        key, _, value = member.partition("=")
        key, value = key.lstrip(" \t"), value.rstrip(" \t")
        if key in entries or not _KEY.fullmatch(key) or not _VALUE.fullmatch(value):
            return {}
        entries[key] = value
    return entries if len(entries) <= MAX_MEMBERS else {}
