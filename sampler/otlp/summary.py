"""The summary of a trace in plain Python, and the packed form that both kinds of summary share."""

from __future__ import annotations

import struct
from typing import Any, Protocol

from policies.trace import Summary as SummaryView

PACKED = struct.Struct("<BBQQQQqQ4Q")
VERSION = 1
_MASK64 = 2**64 - 1


class Summary(SummaryView, Protocol):
    """A summary that grows: see `policies.trace.Summary` for the fields."""

    @property
    def rv_root(self) -> bool:
        """Whether `rv` came from a root span."""

    @property
    def rv_span_id(self) -> int:
        """The span that gave `rv`, as a big-endian number; 0 where none did."""

    def merge(self, other: Any) -> None:
        """Take in what another part of the same trace showed; the order of merges does not matter."""

    def copy(self) -> Summary:
        """An equal summary that shares nothing with this one."""

    def pack(self) -> bytes:
        """82 bytes that `unpack_summary` turns back."""


class PlainSummary:
    """A summary in plain Python, equal and packed alike to the compiled one."""

    __slots__ = (
        "bits",
        "end_unix_nano",
        "has_error",
        "has_root",
        "has_threshold",
        "rv",
        "rv_root",
        "rv_span_id",
        "size_bytes",
        "span_count",
        "start_unix_nano",
    )

    def __init__(
        self,
        start_unix_nano: int = 0,
        end_unix_nano: int = 0,
        span_count: int = 0,
        size_bytes: int = 0,
        has_error: bool = False,
        has_root: bool = False,
        bits: int = 0,
        rv: int = -1,
        has_threshold: bool = False,
        rv_root: bool = False,
        rv_span_id: int = 0,
    ) -> None:
        self.start_unix_nano = start_unix_nano
        self.end_unix_nano = end_unix_nano
        self.span_count = span_count
        self.size_bytes = size_bytes
        self.has_error = has_error
        self.has_root = has_root
        self.bits = bits
        self.rv = rv
        self.has_threshold = has_threshold
        self.rv_root = rv_root
        self.rv_span_id = rv_span_id

    def offer_rv(self, rv: int, root: bool, span_id: int) -> None:
        """Take an explicit randomness if it ranks before the present one: root, then smallest span id, then rv."""
        if rv < 0:
            return
        if self.rv < 0 or (not root, span_id, rv) < (not self.rv_root, self.rv_span_id, self.rv):
            self.rv, self.rv_root, self.rv_span_id = rv, root, span_id

    def merge(self, other: Any) -> None:
        """Take in what another part of the same trace showed."""
        start, end = other.start_unix_nano, other.end_unix_nano
        if start and (not self.start_unix_nano or start < self.start_unix_nano):
            self.start_unix_nano = start
        self.end_unix_nano = max(self.end_unix_nano, end)
        self.span_count += other.span_count
        self.size_bytes += other.size_bytes
        self.has_error = self.has_error or other.has_error
        self.has_root = self.has_root or other.has_root
        self.bits |= other.bits
        self.has_threshold = self.has_threshold or other.has_threshold
        self.offer_rv(other.rv, other.rv_root, other.rv_span_id)

    def copy(self) -> PlainSummary:
        """An equal summary that shares nothing with this one."""
        return PlainSummary.unpack(self.pack())

    def pack(self) -> bytes:
        """82 bytes, little-endian: version, flags, times, counts, rv and its span, 256 bits."""
        flags = self.has_error | self.has_root << 1 | self.has_threshold << 2 | self.rv_root << 3
        words = [self.bits >> shift & _MASK64 for shift in (0, 64, 128, 192)]
        return PACKED.pack(
            VERSION,
            flags,
            self.start_unix_nano,
            self.end_unix_nano,
            self.span_count,
            self.size_bytes,
            self.rv,
            self.rv_span_id,
            *words,
        )

    @staticmethod
    def unpack(data: bytes) -> PlainSummary:
        """The summary that was packed; ValueError for anything else."""
        if len(data) != PACKED.size or data[0] != VERSION:
            raise ValueError(f"no packed summary of version {VERSION}: {len(data)} bytes")
        _, flags, start, end, count, size, rv, span_id, *words = PACKED.unpack(data)
        bits = sum(word << 64 * index for index, word in enumerate(words))
        error, root, threshold, rv_root = (bool(flags >> bit & 1) for bit in range(4))
        return PlainSummary(start, end, count, size, error, root, bits, rv, threshold, rv_root, span_id)

    def __eq__(self, other: object) -> bool:
        pack = getattr(other, "pack", None)
        return bool(pack is not None and pack() == self.pack())

    __hash__ = None  # type: ignore[assignment]  # it grows

    def __reduce__(self) -> tuple[Any, ...]:
        return PlainSummary.unpack, (self.pack(),)

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"PlainSummary({fields})"
