"""What the engine is told once, at start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sampler.engine.overload import OverloadRule
from sampler.otlp import Hasher

TICK_MS = 250
"""Deadlines lie on a grid of this many milliseconds of stream time."""


@dataclass(frozen=True, slots=True)
class AnnotationSettings:
    """What is written on kept spans; `incoming_probability` is one value or one by service name with a default."""

    rate_attribute: str = "sampling.rate"
    policy_attribute: str = "sampling.policy"
    rate_as_int: bool = False
    incoming_probability: float | Mapping[str, float] = 1.0
    incoming_probability_default: float = 1.0


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Limits and waits of one worker. 0 switches an optional limit off."""

    decision_wait_ms: int = 30_000
    decision_wait_after_root_ms: int = 0
    maximum_trace_size_bytes: int = 0
    maximum_spans_per_trace: int = 0
    decision_ttl_ms: int = 600_000
    retain_dropped_ms: int = 0
    drop_pending_at_stop: bool = False
    max_output_bytes: int = 900_000
    partitions: int = 1
    partitioner: Hasher = "sarama"
    annotation: AnnotationSettings = AnnotationSettings()
    overload: OverloadRule | None = None
