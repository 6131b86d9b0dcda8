"""Keeps the first traces of every kind of span that has not been seen lately."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from pydantic import Field

from policies.claims import Candidate, Settlement, Tick
from policies.contract import Context, Limiter, PolicyConfig, Reads
from policies.fields import Milliseconds
from policies.intent import Claim, Intent
from policies.rset import ALWAYS, NEVER, RSet
from policies.trace import TraceView

MAX_KEYS = 100_000
_DIGEST_BYTES = 6
_KEY_CHARS = 8


@dataclass(frozen=True, slots=True)
class RareClaim(Claim):
    """Claims a place for each of the combinations of a trace, given as keys; it is granted where one has a place."""

    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """A combination that has been seen: since when it counts, and how many of its places are taken."""

    since_ms: int
    taken: int


class RareSpans(Limiter):
    """Keeps a trace with a span whose combination of service, operation and status is rare.

    The interval of a combination begins with its first trace; the first `traces_per_interval` traces that have it, in
    order of ticks and within a tick by R from the top, are kept. When the interval is over the combination is
    forgotten, and its next trace begins a new one. With `forget: after_silence` every trace that has it begins the
    interval anew, so that it is forgotten, and its places are free again, only after an interval without it.
    """

    type = "rare_spans"
    reads = Reads.SPANS

    class Config(PolicyConfig):
        """How many traces are kept of each combination, and for how long it is remembered."""

        traces_per_interval: int = Field(default=1, ge=1, le=1000)
        """How many traces of a combination are kept; every partition grants its share of them, rounded up."""
        interval_ms: Milliseconds = Field(default=300_000, ge=1)
        """How long a combination is remembered, in milliseconds of stream time."""
        forget: Literal["after_interval", "after_silence"] = "after_interval"
        """When a combination is rare again."""
        max_keys: int = Field(default=2000, ge=1, le=MAX_KEYS)
        """Combinations a partition remembers; while so many are, no new one is rare."""

    config: Config

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        if config.max_keys > 10_000:
            self.notes = (
                f"max_keys {config.max_keys}: what is remembered, {_KEY_CHARS} bytes a combination, is part of every "
                "decision record of a partition",
            )

    def cost(self, trace: TraceView) -> float:
        """One place."""
        return 1.0

    def evaluate(self, trace: TraceView) -> Intent:
        """Claims a place for every combination; a trace without spans has none."""
        keys = combinations(trace.spans)
        return RareClaim(self.context.path, self.cost(trace), keys=keys) if keys else NEVER

    def initial_state(self) -> dict[str, Any]:
        """Nothing seen."""
        return {"known": []}

    def settle(self, tick: Tick, candidates: Sequence[Candidate], state: dict[str, Any]) -> Settlement:
        """Grants places to the candidates, and remembers what they have."""
        config = self.config
        remembered = [group for group in state["known"] if tick.ms - group[0] < config.interval_ms]
        known = unpack(remembered)
        claimed: dict[str, list[int]] = {}
        for candidate in candidates:
            for key in _keys(candidate.claim):
                claimed.setdefault(key, []).append(candidate.randomness)
        for rivals in claimed.values():
            rivals.sort()
        each = max(1, math.ceil(config.traces_per_interval * tick.share - 1e-9))
        places = Places(each, known, max(0, config.max_keys - len(known)), claimed)
        changed: dict[str, Known] = {}
        for key in claimed if config.forget == "after_silence" else places.open:
            seen = known.get(key)
            if seen is None and key not in places.admitted:
                continue
            since_ms = tick.ms if seen is None or config.forget == "after_silence" else seen.since_ms
            taken = min(places.open.get(key, 0), len(claimed[key]))
            changed[key] = Known(since_ms, (seen.taken if seen else 0) + taken)
        state["known"] = pack({**known, **changed}) if changed else remembered
        return places

    def describe(self) -> str:
        """Says what it keeps."""
        config = self.config
        first = "trace" if config.traces_per_interval == 1 else f"{config.traces_per_interval} traces"
        when = "not seen for" if config.forget == "after_silence" else "in every"
        return f"the first {first} of each combination of service, operation and status {when} {config.interval_ms} ms"


class Places:
    """Which candidates get a place: of each combination those of highest R, as many as it has places free.

    Of new combinations as many as there is `room` for have places at all: the first in the order of their keys. Not
    those of highest R: what is remembered must not depend on R, or the sets of later ticks would be biased.
    """

    def __init__(self, each: int, known: Mapping[str, Known], room: int, claimed: Mapping[str, Sequence[int]]) -> None:
        """`each` combination has so many places; `claimed`: R of the candidates, rising, by combination."""
        self._each = each
        self._known = known
        self._room = room
        self._claimed = claimed
        self._new = claimed.keys() - known.keys()
        self.admitted = frozenset(sorted(self._new)[:room])
        """New combinations there is room for."""
        self.open = {key: free for key in claimed if (free := self._free(key, self.admitted)) > 0}
        """Combinations that are claimed and had places, with their number."""

    def keep(self, claim: Claim, randomness: int, *, candidate: bool) -> RSet:
        """[T, 2**56) for which the trace gets a place for one of its combinations, all others being as they are."""
        keys = _keys(claim)
        if candidate:
            places = [(key, self.open[key]) for key in keys if key in self.open]
        else:
            own = self._new.union(key for key in keys if key not in self._known)
            admitted = self.admitted if own == self._new else frozenset(sorted(own)[: self._room])
            places = [(key, self._free(key, admitted)) for key in keys]
        thresholds = (
            _threshold(self._claimed.get(key, ()), free, randomness, candidate=candidate) for key, free in places
        )
        return min(thresholds, default=NEVER)

    def _free(self, key: str, admitted: Set[str]) -> int:
        """Places that a combination had before this tick."""
        if key in self._known:
            return max(0, self._each - self._known[key].taken)
        return self._each if key in admitted else 0


def _threshold(claimed: Sequence[int], free: int, randomness: int, *, candidate: bool) -> int:
    """Just above the R of the last of the others that takes a place, where they take them all.

    `claimed` are the R of all candidates, rising; those of a candidate hold its own.
    """
    others = len(claimed) - candidate
    if free <= 0:
        return NEVER
    if others < free:
        return ALWAYS
    ahead = candidate and randomness >= claimed[-free]
    return claimed[-free - ahead] + 1


def combinations(units: Iterable[Any]) -> tuple[str, ...]:
    """The keys of the combinations of service, operation and status that the spans of a trace have, sorted."""
    found: set[tuple[str, str, int]] = set()
    for unit in units:
        service = next((a.value.string_value for a in unit.resource.attributes if a.key == "service.name"), "")
        found.update((service, span.name, int(span.status.code)) for scope in unit.scope_spans for span in scope.spans)
    return tuple(sorted(_key(*one) for one in found))


@lru_cache(maxsize=1 << 14)
def _key(service: str, operation: str, status: int) -> str:
    """48 bits of a hash as 8 characters: the state holds thousands of them."""
    text = f"{len(service)} {service}{operation} {status}".encode("utf-8", "replace")
    return base64.b64encode(hashlib.blake2b(text, digest_size=_DIGEST_BYTES).digest()).decode()


def _keys(claim: Claim) -> tuple[str, ...]:
    return claim.keys if isinstance(claim, RareClaim) else ()


def pack(known: Mapping[str, Known]) -> list[list[Any]]:
    """What is known, as small and JSON-able as it can be: [since_ms, taken, all keys in one text], sorted."""
    groups: dict[tuple[int, int], list[str]] = {}
    for key, seen in known.items():
        groups.setdefault((seen.since_ms, seen.taken), []).append(key)
    return [[since_ms, taken, "".join(sorted(keys))] for (since_ms, taken), keys in sorted(groups.items())]


def unpack(groups: Iterable[Sequence[Any]]) -> dict[str, Known]:
    """The inverse of `pack`."""
    known: dict[str, Known] = {}
    for since_ms, taken, keys in groups:
        seen = Known(since_ms, taken)
        known.update(dict.fromkeys((keys[at : at + _KEY_CHARS] for at in range(0, len(keys), _KEY_CHARS)), seen))
    return known
