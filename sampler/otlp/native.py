"""Typed access to the compiled modules, and what stands in for them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from policies import randomness
from sampler.otlp.partition import Hasher, plain_partition_of
from sampler.otlp.summary import PlainSummary, Summary

if TYPE_CHECKING:
    from sampler.otlp import Scanner


def optional_module(name: str) -> Any:
    """A compiled module of this package, None where it is not installed."""
    try:
        return importlib.import_module(f"sampler.otlp._compiled.{name}")
    except ImportError:
        return None


_partition, _summary, _scanner = optional_module("partition"), optional_module("summary"), optional_module("scanner")
_hashing = optional_module("hashing")
COMPILED = None not in (_partition, _summary, _scanner)
"""Whether the compiled scanner is installed."""


def compiled_scanner() -> Scanner:
    """A compiled scanner; only where COMPILED."""
    return cast("Scanner", _scanner.Scanner())


def is_compiled(scanner: object) -> bool:
    """Whether this is the compiled scanner itself, whose inside other compiled parts may use."""
    return COMPILED and isinstance(scanner, _scanner.Scanner)


def new_summary(**fields: Any) -> Summary:
    """A summary with the given fields (see `policies.trace.Summary`); no fields: that of a trace without spans."""
    return cast(Summary, (_summary.Summary if COMPILED else PlainSummary)(**fields))


def unpack_summary(data: bytes) -> Summary:
    """The summary whose `pack()` gave these bytes, ValueError for others."""
    return cast(Summary, _summary.unpack(data) if COMPILED else PlainSummary.unpack(data))


def _partition_of(trace_id: bytes, partitions: int, hasher: Hasher = "sarama") -> int:
    """The partition of a trace (its 16-byte id) among `partitions`."""
    return cast(int, _partition.partition_of(trace_id, partitions, hasher))


fnv1a64 = cast("Callable[[bytes, int], int]", _hashing.fnv1a64) if _hashing is not None else randomness.fnv1a64
"""FNV-1a, 64 bits; `policies.randomness.fnv1a64` says what is promised."""

partition_of = _partition_of if COMPILED else plain_partition_of
