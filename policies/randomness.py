"""R, the randomness of a trace that all policies share, and where it comes from.

Under `auto` the explicit `rv` of the tracestate entry `ot=` wins; else, where any span carries `th`, the low 56 bits
of the trace id are R, as OpenTelemetry prescribes; else a hash of the id. The hash, because head samplers of SDKs keep
low ids, so that id bits behind them are no longer uniform. It is the Collector's hash turned round, so that it keeps
the traces which a Collector's `probabilistic` policy keeps: the Collector keeps low hashes, OTEP-235 keeps high R.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Literal, TypeAlias

DEFAULT_SALT = "default-hash-seed"
"""The Collector's salt where `hash_salt` is empty."""

RandomnessMode: TypeAlias = Literal["auto", "collector_hash", "trace_id"]
MODES: tuple[RandomnessMode, ...] = ("auto", "collector_hash", "trace_id")

_FNV_OFFSET = 0xCBF29CE484222325
_FNV_PRIME = 0x100000001B3
_MASK64 = (1 << 64) - 1
_ID_BYTES = 16
_MASK56 = (1 << 56) - 1


class RandomnessSource(enum.StrEnum):
    """Where R of a trace came from; it decides what is written as `th` and `rv`."""

    RV = "rv"
    """The explicit `rv` of the trace (mode auto)."""
    TRACE_ID = "trace_id"
    """Id bits, because a span carries `th` (mode auto)."""
    HASH = "hash"
    """The hash, for want of anything explicit (mode auto): written as `rv`."""
    FORCED_HASH = "forced_hash"
    """The hash, by mode collector_hash, whatever the spans carry."""
    FORCED_TRACE_ID = "forced_trace_id"
    """Id bits, by mode trace_id, whatever the spans carry."""


def fnv1a64(data: bytes, state: int = _FNV_OFFSET) -> int:
    """FNV-1a, 64 bits, of `data`; `state` is the hash of what came before it."""
    for byte in data:
        state = (state ^ byte) * _FNV_PRIME & _MASK64
    return state


def _hash64_of_id(trace_id: bytes, state: int) -> int:
    """`fnv1a64` of an id, unrolled and cut to 64 bits every fourth byte only: higher bits never reach lower ones."""
    if len(trace_id) != _ID_BYTES:
        return fnv1a64(trace_id, state)
    a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p = trace_id  # noqa: E741
    prime = _FNV_PRIME
    state = ((((state ^ a) * prime ^ b) * prime ^ c) * prime ^ d) * prime & _MASK64
    state = ((((state ^ e) * prime ^ f) * prime ^ g) * prime ^ h) * prime & _MASK64
    state = ((((state ^ i) * prime ^ j) * prime ^ k) * prime ^ l) * prime & _MASK64
    return ((((state ^ m) * prime ^ n) * prime ^ o) * prime ^ p) * prime & _MASK64


class Randomness:
    """R of traces under one mode and salt; an empty salt is the Collector's default."""

    __slots__ = ("_hash64", "_salted", "mode", "salt")

    def __init__(self, mode: RandomnessMode = "auto", salt: str = "") -> None:
        if mode not in MODES:
            raise ValueError(f"unknown randomness {mode!r}, expected one of {', '.join(MODES)}")
        self.mode = mode
        self.salt = salt or DEFAULT_SALT
        self._salted = fnv1a64(self.salt.encode())
        self._hash64: Callable[[bytes, int], int] = _hash64_of_id

    def use(self, hash64: Callable[[bytes, int], int]) -> None:
        """Hash with another implementation of `fnv1a64` from now on, a compiled one."""
        self._hash64 = hash64

    def of(self, trace_id: bytes, rv: int, has_threshold: bool) -> tuple[int, RandomnessSource]:
        """(R, source) of a trace: `rv` is its explicit randomness, -1 for none."""
        if self.mode == "auto":
            if rv >= 0:
                return rv, RandomnessSource.RV
            if has_threshold:
                return int.from_bytes(trace_id[-7:], "big"), RandomnessSource.TRACE_ID
            return self.hashed(trace_id), RandomnessSource.HASH
        if self.mode == "collector_hash":
            return self.hashed(trace_id), RandomnessSource.FORCED_HASH
        return int.from_bytes(trace_id[-7:], "big"), RandomnessSource.FORCED_TRACE_ID

    def source(self, rv: int, has_threshold: bool) -> RandomnessSource:
        """Where R of a trace comes from, without computing it."""
        if self.mode == "auto":
            if rv >= 0:
                return RandomnessSource.RV
            return RandomnessSource.TRACE_ID if has_threshold else RandomnessSource.HASH
        return RandomnessSource.FORCED_HASH if self.mode == "collector_hash" else RandomnessSource.FORCED_TRACE_ID

    def hashed(self, trace_id: bytes) -> int:
        """2**56 - 1 - (h >> 8), h the Collector's FNV-1a-64 of the salt and the 16 raw bytes of the id."""
        return _MASK56 - (self._hash64(trace_id, self._salted) >> 8)


def randomness_of(
    trace_id: bytes, rv: int, has_threshold: bool, mode: RandomnessMode = "auto", salt: str = ""
) -> tuple[int, RandomnessSource]:
    """(R, source) of one trace; `Randomness` does the same for many without hashing the salt again."""
    return Randomness(mode, salt).of(trace_id, rv, has_threshold)
