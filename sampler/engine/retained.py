"""The dropped traces of one partition in a `Retention`.

Of each trace there is a head, key `h` and trace id, and its payload in parts, key `p`, trace id and number (u32,
big-endian): the first is what came before the decision, the others what came later. Head, little-endian: time of the
decision in ms of stream time (i64), number of parts (u32), their bytes (u64), number of the scan plan (u32), index of
the origin (u32), whether an earlier decision gave it a chance (u8), packed summary (82 bytes).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from policies.randomness import RandomnessSource
from policies.rset import ALWAYS
from policies.verdict import Verdict
from sampler.engine.retention import Retention
from sampler.otlp import Summary

_HEAD = struct.Struct("<qIQIIB82s")
_NUMBER = struct.Struct(">I")
_HEADS, _PARTS = b"h", b"p"


class Origin(NamedTuple):
    """What of the first verdict goes on to hold, however the trace is decided anew."""

    source: RandomnessSource
    salt: str
    tenant: str
    output: str
    let_in: int
    """The lowest R that was taken when the trace began."""


class Head(NamedTuple):
    """What is known of a retained trace without its payload.

    `stood_for`: an earlier decision would have kept the trace for some R. So those traces that were kept by such a
    decision stand for this one too.
    """

    decided_ms: int
    parts: int
    size_bytes: int
    plan: int
    origin: Origin
    stood_for: bool
    summary: bytes


class RetainedTraces:
    """Keeps traces of one partition, and finds them for `keep_ms` of stream time from their decision on."""

    def __init__(self, retention: Retention, keep_ms: int) -> None:
        self._retention = retention
        self._owner = retention.new_owner()
        self.keep_ms = keep_ms
        self._origins: list[Origin] = []
        self._index_of: dict[Origin, int] = {}

    def keep(
        self,
        trace_id: bytes,
        chunks: Sequence[bytes],
        summary: Summary,
        plan: int,
        verdict: Verdict,
        at_ms: int,
        let_in: int = ALWAYS,
    ) -> None:
        """Keep a trace that was decided at that time; too large a one is not kept."""
        payload = b"".join(chunks)
        origin = Origin(verdict.source, verdict.salt, verdict.tenant, verdict.output, let_in)
        head = Head(at_ms, 1, len(payload), plan, origin, verdict.probability > 0, summary.pack())
        if self._put_part(trace_id, 0, payload, at_ms):
            self._put_head(trace_id, head, at_ms, items=1)

    def extend(self, trace_id: bytes, head: Head, payload: bytes, summary: Summary, plan: int, stood_for: bool) -> None:
        """Keep what has come of a trace since; `head` is its present one, `summary` that of all together."""
        extended = head._replace(
            parts=head.parts + 1,
            size_bytes=head.size_bytes + len(payload),
            plan=plan,
            stood_for=head.stood_for or stood_for,
            summary=summary.pack(),
        )
        # Where the part has no place the trace is not whole any more: a head without it would promise too much.
        if self._put_part(trace_id, head.parts, payload, head.decided_ms):
            self._put_head(trace_id, extended, head.decided_ms)
        else:
            self.forget(trace_id, head)

    def forget(self, trace_id: bytes, head: Head) -> None:
        """The trace cannot be had any more."""
        self._put_head(trace_id, head._replace(parts=0), head.decided_ms)

    def get(self, trace_id: bytes, now_ms: int) -> Head | None:
        """The head of a trace, None where it is not kept or its time is over."""
        found = self._retention.get(self._owner, _HEADS + trace_id)
        return None if found is None else self._wanted(found, now_ms - self.keep_ms)

    def read(self, trace_id: bytes, head: Head) -> list[bytes] | None:
        """The payload in parts, in order of arrival; None where a part is gone already."""
        parts: list[bytes] = []
        for number in range(head.parts):
            part = self._retention.get(self._owner, _PARTS + trace_id + _NUMBER.pack(number))
            if part is None:
                return None
            parts.append(part)
        return parts

    def since(self, since_ms: int, now_ms: int) -> Iterator[tuple[bytes, Head]]:
        """Traces decided at that time or later; one that was extended may come again, with an earlier head."""
        for key, value in self._retention.scan(self._owner, _HEADS):
            head = self._wanted(value, max(since_ms, now_ms - self.keep_ms))
            if head is not None:
                yield key[len(_HEADS) :], head

    def flush(self) -> None:
        """Bring to disk what was kept since the last call."""
        self._retention.flush()

    def expire(self, now_ms: int) -> None:
        """Give up the space of what is not found any more."""
        self._retention.expire(self._owner, now_ms - self.keep_ms)

    def close(self) -> None:
        """Nothing is wanted any more."""
        self._retention.forget(self._owner)

    def _put_part(self, trace_id: bytes, number: int, payload: bytes, at_ms: int) -> bool:
        return self._retention.put(self._owner, _PARTS + trace_id + _NUMBER.pack(number), payload, at_ms)

    def _put_head(self, trace_id: bytes, head: Head, at_ms: int, *, items: int = 0) -> None:
        index = self._index_of.get(head.origin)
        if index is None:
            index = self._index_of[head.origin] = len(self._origins)
            self._origins.append(head.origin)
        packed = _HEAD.pack(
            head.decided_ms, head.parts, head.size_bytes, head.plan, index, head.stood_for, head.summary
        )
        self._retention.put(self._owner, _HEADS + trace_id, packed, at_ms, items=items)

    def _wanted(self, packed: bytes, since_ms: int) -> Head | None:
        decided_ms, parts, size, plan, index, stood_for, summary = _HEAD.unpack(packed)
        if not parts or decided_ms < since_ms:
            return None
        return Head(decided_ms, parts, size, plan, self._origins[index], bool(stood_for), summary)
