"""The `ot` entry of a W3C tracestate: reading `th` and `rv`, and writing them back.

A header is a list `key=value,key=value`; the first member with the key `ot` counts, its value is a list
`name:value;name:value`. `th` is 1 to 14 lower-case hex digits, the threshold's leading ones; `rv` exactly 14. The first
well-formed one of each counts; others are as if absent.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_VALUE = 256
_RV = re.compile(rb"[0-9a-f]{14}")
_TH = re.compile(rb"[0-9a-f]{1,14}")
_BLANK = b" \t"


class OtEntry(NamedTuple):
    """`th` (the threshold, 0 to 2**56 - 1) and `rv` are -1 where absent."""

    th: int = -1
    rv: int = -1
    rest: tuple[bytes, ...] = ()
    """Sub-keys other than th and rv, as they stand."""
    others: tuple[bytes, ...] = ()
    """Members of other vendors, as they stand."""


def parse(tracestate: bytes) -> OtEntry:
    """The `ot` entry of a header; faults are ignored, never raised."""
    th = rv = -1
    rest: list[bytes] = []
    others: list[bytes] = []
    found = False
    for raw in tracestate.split(b","):
        member = raw.strip(_BLANK)
        key, equals, value = member.partition(b"=")
        if key != b"ot" or not equals:
            if member:
                others.append(member)
            continue
        if found:
            continue
        found = True
        for part in value.split(b";"):
            name, _, text = part.partition(b":")
            if name == b"th":
                if th < 0 and _TH.fullmatch(text):
                    th = int(text.ljust(14, b"0"), 16)
            elif name == b"rv":
                if rv < 0 and _RV.fullmatch(text):
                    rv = int(text, 16)
            elif part:
                rest.append(part)
    return OtEntry(th, rv, tuple(rest), tuple(others))


def threshold_hex(threshold: int) -> bytes:
    """A threshold as `th` writes it: 14 hex digits without the trailing zeros, `0` for 0."""
    return (b"%014x" % threshold).rstrip(b"0") or b"0"


def render(entry: OtEntry) -> bytes:
    """The header with `ot` first, as W3C asks of the member that was changed; left out where it would be empty.

    Of the `ot` value's unknown sub-keys the last ones are dropped until it has at most 256 characters.
    """
    parts = []
    if entry.th >= 0:
        parts.append(b"th:" + threshold_hex(entry.th))
    if entry.rv >= 0:
        parts.append(b"rv:%014x" % entry.rv)
    parts.extend(entry.rest)
    while len(b";".join(parts)) > MAX_VALUE:
        parts.pop()
    members = [b"ot=" + b";".join(parts), *entry.others] if parts else entry.others
    return b",".join(members)
