"""Records of the keyspace topic: what a partition counted in one interval of a policy, and what time it is there.

Both are JSON. Keys name the source partition, so that compaction keeps what is newest of each, whoever had it; those of
counts name one of SLOTS places for intervals too, so that the latest few survive.

    ["clock", partition]                        {"v": 1, "by": "..", "n": .., "ms": .., "deaf": ..,
                                                 "reported": {policy: [newest, bits]}}
    ["counts", policy, partition, slot, part]   {"v": 1, "by": "..", "interval": .., "interval_ms": .., "parts": ..,
                                                 "counts": {key: [..]}}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from sys import intern
from typing import Any, NoReturn, TypeAlias

from policies.exchange import MAX_AGE, Counts
from policies.partition_exchange import MAX_KEY_CHARACTERS, MAX_KEYS, MAX_NUMBERS
from policies.tier_counts import HISTORY, Report, Reported

VERSION = 1
SLOTS = MAX_AGE + 1
"""Intervals of each policy and partition that survive compaction."""
PART_BYTES = 200_000
"""Counts are split into records of about this size: well below the smallest limit a topic is given."""
MAX_PARTS = 256
FUTURE_MS = 3_600_000
"""Stream time is never ahead of the clock; machines' clocks differ by less than this."""

Key: TypeAlias = bytes


class PoisonError(ValueError):
    """A record that none of us wrote, or that was damaged; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class ClockRecord:
    """The stream time of a partition, as its worker told it; `number` counts the words of that worker."""

    partition: int
    by: str
    number: int
    stream_ms: int
    deaf: bool
    reported: Mapping[str, Reported]


@dataclass(frozen=True, slots=True)
class CountsPart:
    """One of the `parts` records of a report."""

    partition: int
    by: str
    slot: int
    part: int
    parts: int
    report: Report


@dataclass(frozen=True, slots=True)
class Removed:
    """A tombstone: what a policy's partition had in this place is no longer."""

    policy: str
    partition: int


Decoded: TypeAlias = ClockRecord | CountsPart | Removed


def encode_clock(clock: ClockRecord) -> tuple[bytes, bytes]:
    """Key and value of the record."""
    value = {
        "v": VERSION, "by": clock.by, "n": clock.number, "ms": clock.stream_ms, "deaf": clock.deaf,
        "reported": clock.reported,
    }  # fmt: skip
    return _json(["clock", clock.partition]), _json(value)


def encode_counts(partition: int, by: str, report: Report) -> list[tuple[bytes, bytes]]:
    """Keys and values of the records that hold a report."""
    bodies = list(_bodies(report.counts))[:MAX_PARTS]
    slot = report.interval % SLOTS
    head = _json(
        {"v": VERSION, "by": by, "interval": report.interval, "interval_ms": report.interval_ms,
         "parts": len(bodies)}
    )[:-1]  # fmt: skip
    return [
        (_json(["counts", report.policy, partition, slot, part]), head + b',"counts":{' + body + b"}}")
        for part, body in enumerate(bodies)
    ]


def decode(key: bytes | None, value: bytes | None, timestamp_ms: int) -> Decoded:
    """What a record says; PoisonError where it says nothing that can be used."""
    try:
        match _read(key):
            case ["clock", int(partition)] if partition >= 0 and value is not None:
                return _clock(partition, _read(value), timestamp_ms)
            case ["counts", str(policy), int(partition), int(slot), int(part)] if partition >= 0:
                if value is None:
                    return Removed(policy, partition)
                return _counts(policy[:MAX_KEY_CHARACTERS], partition, slot, part, _read(value), timestamp_ms)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise PoisonError(f"{type(error).__name__}: {error}"[:200]) from None
    raise PoisonError("its key is neither that of a clock nor of counts")


def _clock(partition: int, body: Any, timestamp_ms: int) -> ClockRecord:
    stream_ms = _whole(body["ms"])
    if stream_ms > timestamp_ms + FUTURE_MS:
        raise PoisonError(f"its stream time {stream_ms} lies in the future")
    reported = {
        policy: Reported(_whole(newest), _whole(bits) & (1 << HISTORY) - 1)
        for policy, (newest, bits) in body["reported"].items()
    }
    return ClockRecord(partition, _by(body), _whole(body["n"]), stream_ms, body["deaf"] is True, reported)


def _counts(policy: str, partition: int, slot: int, part: int, body: Any, timestamp_ms: int) -> CountsPart:
    interval, interval_ms, parts = _whole(body["interval"]), _whole(body["interval_ms"]), _whole(body["parts"])
    if not (0 <= part < parts <= MAX_PARTS and interval_ms > 0 and interval >= 0 and slot == interval % SLOTS):
        raise PoisonError(f"interval {interval} of {interval_ms} ms, part {part} of {parts}: that cannot be")
    if interval * interval_ms > timestamp_ms + FUTURE_MS:
        raise PoisonError(f"its interval {interval} lies in the future")
    counts = body["counts"]
    if len(counts) > MAX_KEYS:
        raise PoisonError(f"{len(counts)} keys, more than {MAX_KEYS}")
    report = Report(
        policy, interval, interval_ms, {intern(key): _numbers(key, numbers) for key, numbers in counts.items()}
    )
    return CountsPart(partition, _by(body), slot, part, parts, report)


def _numbers(key: str, numbers: Any) -> tuple[float, ...]:
    found = tuple(float(number) for number in numbers)
    if len(key) > MAX_KEY_CHARACTERS or len(found) > MAX_NUMBERS or not all(map(isfinite, found)):
        raise PoisonError(f"the counts of {key[:80]!r} are no list of at most {MAX_NUMBERS} finite numbers")
    return found


def _by(body: Any) -> str:
    if body["v"] != VERSION:
        raise PoisonError(f"version {body['v']!r} of the record, not {VERSION}")
    return str(body["by"])[:MAX_KEY_CHARACTERS]


def _whole(value: Any) -> int:
    if type(value) is not int or not -(2**53) < value < 2**53:
        raise PoisonError(f"{value!r:.40} stands where a whole number belongs")
    return value


def _bodies(counts: Counts) -> Iterator[bytes]:
    """The members of the JSON object, cut into pieces of about PART_BYTES; at least one piece."""
    members: list[str] = []
    size = 0
    for key, values in counts.items():
        numbers = ",".join(repr(int(value)) if value.is_integer() else repr(value) for value in values)
        member = f"{json.dumps(key)}:[{numbers}]"
        if members and size + len(member) > PART_BYTES:
            yield ",".join(members).encode()
            members, size = [], 0
        members.append(member)
        size += len(member) + 1
    yield ",".join(members).encode()


def _read(data: bytes | None) -> Any:
    return json.loads(data or b"", parse_constant=_no_number)


def _no_number(name: str) -> NoReturn:
    raise PoisonError(f"{name} is no number")


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
