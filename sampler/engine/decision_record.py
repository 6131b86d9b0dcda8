"""The record of what was decided at one settlement of one partition, as it lies in the decision table.

Key, big-endian: term (u32), group generation (i32), sequence (u64), part (u16). The term is one more than the highest
in the table when the owner began, so it orders owners even when the group's generations begin anew; an owner that
begins again in the same generation keeps it. The sequence counts the records of one owner and gives every record a key
of its own.
Value, little-endian: version (u8 = 1), base offset (u64), next offset (u64), stream time in ms (i64), length of the
head (u32), the head: JSON of {"verdicts": [...], "state": limiter state or null}, number of decisions (u32), the trace
ids (16 bytes each), the verdict index of each (u16). `base` is the next offset that had been recovered when the owner
began: records of an earlier owner that reach beyond it were written by a worker that had already lost the partition.
"""

from __future__ import annotations

import json
import struct
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count
from typing import Any, NamedTuple, TypeAlias

from policies.randomness import RandomnessSource
from policies.verdict import Verdict

VERSION = 1
MAX_DECISIONS = 20_000
MAX_VERDICTS = 1_000
"""With 18 bytes a decision and some 100 a verdict a record stays below 512 KiB, under any broker's default limit."""

_KEY = struct.Struct(">IiQH")
_HEAD = struct.Struct("<BQQqI")
_COUNT = struct.Struct("<I")
ID_BYTES = 16

RESURRECTED, RESCUED = "resurrected", "rescued"
SECOND_LOOK = frozenset({RESURRECTED, RESCUED})
"""Reasons of decisions that replace an earlier one on the same trace, by which it was not sampled."""


class RecordError(ValueError):
    """The bytes are not a decision record of a version this program knows."""


class Owner(NamedTuple):
    """Who wrote a record; owners of a partition are ordered by it."""

    term: int
    generation: int


RecordId: TypeAlias = tuple[int, int, int]
"""Term, generation and sequence of a record: of two of one partition the newer one's is greater."""


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """Decisions of one settlement: `ids` holds 16 bytes each, `verdict_of` the index into `verdicts` of each.

    Only parts as `split` makes them are encoded; before, a record may be of any size.
    """

    owner: Owner
    sequence: int
    base_offset: int
    next_offset: int
    stream_time_ms: int
    verdicts: Sequence[Verdict]
    ids: bytes
    verdict_of: array[int]
    state: Mapping[str, Any] | None = None
    part: int = 0

    def __len__(self) -> int:
        return len(self.verdict_of)

    def __iter__(self) -> Iterator[tuple[bytes, Verdict]]:
        ids, verdicts = self.ids, self.verdicts
        for i, index in enumerate(self.verdict_of):
            yield ids[i * ID_BYTES : (i + 1) * ID_BYTES], verdicts[index]

    @property
    def id(self) -> RecordId:
        """What all parts of the record share."""
        return (*self.owner, self.sequence)

    @property
    def key(self) -> bytes:
        """The record's key in the table of its partition."""
        return _KEY.pack(*self.owner, self.sequence, self.part)

    def encode(self) -> bytes:
        """The record's value."""
        head = json.dumps(
            {"verdicts": [_verdict_out(v) for v in self.verdicts], "state": self.state}, separators=(",", ":")
        ).encode()
        return b"".join(
            (
                _HEAD.pack(VERSION, self.base_offset, self.next_offset, self.stream_time_ms, len(head)),
                head,
                _COUNT.pack(len(self.verdict_of)),
                self.ids,
                array("H", self.verdict_of).tobytes(),
            )
        )

    def split(self) -> Iterator[DecisionRecord]:
        """This record in parts below 512 KiB, all with the same next offset and each with the verdicts it needs."""
        if len(self) <= MAX_DECISIONS and len(self.verdicts) <= MAX_VERDICTS:
            yield self
            return
        start = 0
        for part in count():
            index_of: dict[int, int] = {}
            stop = start
            while stop < len(self) and stop - start < MAX_DECISIONS:
                if len(index_of) == MAX_VERDICTS and self.verdict_of[stop] not in index_of:
                    break
                index_of.setdefault(self.verdict_of[stop], len(index_of))
                stop += 1
            verdict_of = array("H", [index_of[index] for index in self.verdict_of[start:stop]])
            verdicts = [self.verdicts[index] for index in index_of]
            ids = self.ids[start * ID_BYTES : stop * ID_BYTES]
            state = self.state if part == 0 else None
            yield replace(self, verdicts=verdicts, ids=ids, verdict_of=verdict_of, state=state, part=part)
            start = stop
            if start == len(self):
                return


def decode(key: bytes, value: bytes) -> DecisionRecord:
    """Read a record back; RecordError where it is damaged or of another version."""
    try:
        return _decoded(key, value)
    except RecordError:
        raise
    except (struct.error, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RecordError(f"not a decision record: {error}") from error


def _decoded(key: bytes, value: bytes) -> DecisionRecord:
    term, generation, sequence, part = _KEY.unpack(key)
    version, base, next_offset, stream_time_ms, head_size = _HEAD.unpack_from(value)
    if version != VERSION:
        raise RecordError(f"decision record of version {version}, this program reads version {VERSION}")
    at = _HEAD.size
    head = json.loads(value[at : at + head_size])
    at += head_size
    (count,) = _COUNT.unpack_from(value, at)
    at += _COUNT.size
    ids = bytes(value[at : at + count * ID_BYTES])
    at += count * ID_BYTES
    verdict_of = array("H")
    verdict_of.frombytes(value[at:])
    if len(ids) != count * ID_BYTES or len(verdict_of) != count:
        raise RecordError(f"decision record cut short: {len(verdict_of)} of {count} decisions")
    verdicts, state = [_verdict_in(v) for v in head["verdicts"]], head["state"]
    if max(verdict_of, default=-1) >= len(verdicts):
        raise RecordError(f"decision record with {len(verdicts)} verdicts names verdict {max(verdict_of)}")
    if not (state is None or isinstance(state, dict)):
        raise RecordError("decision record with a limiter state that is no mapping")
    owner = Owner(term, generation)
    return DecisionRecord(owner, sequence, base, next_offset, stream_time_ms, verdicts, ids, verdict_of, state, part)


def _verdict_out(verdict: Verdict) -> list[Any]:
    fields = [verdict.decision, verdict.keep, verdict.policy, verdict.source.name, verdict.reason]
    rest = [verdict.salt, verdict.tenant, verdict.output]
    while rest and not rest[-1]:
        rest.pop()
    return [*fields, *rest]


def _verdict_in(fields: list[Any]) -> Verdict:
    decision, keep, *rest = fields
    return _verdict(decision, keep if isinstance(keep, int) else tuple((low, high) for low, high in keep), *rest)


@lru_cache(maxsize=4096)
def _verdict(decision: Any, keep: Any, policy: str | None, source: str, reason: str, *rest: str) -> Verdict:
    """Mostly one that was read before: records of a table say a few verdicts over and over."""
    texts = (decision, reason, *rest) if policy is None else (decision, policy, reason, *rest)
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("a verdict whose parts are no texts")
    return Verdict(decision, keep, policy, RandomnessSource[source], reason, *rest)
