"""The blocks of the single processes: `agent:`, `worker:`, `web:` and `log:`."""

from __future__ import annotations

from typing import Literal, NamedTuple, Self

from pydantic import Field, model_validator

from sampler.config.base import Endpoint, Section
from sampler.config.units import PositiveDuration, Size, parse_duration

KIB = 1024
MIB = 1024 * KIB


class Grpc(Section):
    """OTLP over gRPC."""

    enabled: bool = True
    endpoint: Endpoint = "localhost:4317"
    """Address to listen on; 0.0.0.0:4317 takes spans from other machines."""


class Http(Section):
    """OTLP over HTTP, protobuf and JSON, path /v1/traces."""

    enabled: bool = True
    endpoint: Endpoint = "localhost:4318"
    """Address to listen on; 0.0.0.0:4318 takes spans from other machines."""


class Agent(Section):
    """OTLP in, Kafka out."""

    grpc: Grpc = Grpc()
    http: Http = Http()
    max_request_bytes: Size = Field(default=16 * MIB, ge=1)
    """Largest request accepted, after decompression."""
    record_size: Size = Field(default=256 * KIB, ge=1 * KIB)
    """Size at which a record that is being packed is sent; larger ones cost a worker less per span."""
    flush_interval: PositiveDuration = parse_duration("10ms")
    """Longest time a span waits for its record to fill."""
    max_buffer: Size = Field(default=64 * MIB, ge=1)
    """Spans waiting for Kafka; when full, senders are told to try again later."""
    delivery_timeout: PositiveDuration = parse_duration("10s")
    """Longest time to wait for Kafka before a request is refused as retryable."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not (self.grpc.enabled or self.http.enabled):
            raise ValueError("both grpc and http are off: nothing could be received")
        if self.max_request_bytes > self.max_buffer:
            raise ValueError("max_request_bytes is above max_buffer: the largest request could never be taken")
        return self


class TraceTable(Section):
    """Where the spans of undecided traces wait."""

    memory_limit_mib: int = Field(default=256, ge=0)
    """Spans up to this size wait in memory, the rest on disk; 0 puts all on disk."""
    disk_limit_mib: int = Field(default=8192, ge=0)
    """Most disk for waiting spans; beyond it the oldest traces are decided early. 0 uses no disk at all."""
    max_traces: int = Field(default=0, ge=0)
    """Most undecided traces; beyond it the oldest are decided early. 0 is no limit of its own."""


class DecisionCache(Section):
    """The memory of decisions, which late spans follow."""

    ttl: PositiveDuration = parse_duration("10m")
    """How long a decision is remembered, in stream time."""


class AnnotationNames(NamedTuple):
    """What kept spans are marked with, after the preset and the overrides."""

    rate_attribute: str
    policy_attribute: str
    rate_as_int: bool


_PRESETS = {
    "default": AnnotationNames("sampling.rate", "sampling.policy", False),
    "sample_rate": AnnotationNames("sample_rate", "sampling.policy", False),
    "honeycomb": AnnotationNames("SampleRate", "sampling.policy", True),
}


class Annotation(Section):
    """What is written on kept spans beside the threshold in their tracestate."""

    preset: Literal["default", "sample_rate", "honeycomb"] = "default"
    """`default`: sampling.rate; `sample_rate`: sample_rate; `honeycomb`: SampleRate, a whole number."""
    rate_attribute: str | None = Field(default=None, min_length=1)
    """Name of the adjusted count, in place of the preset's."""
    policy_attribute: str | None = Field(default=None, min_length=1)
    """Name of the deciding policy's attribute, in place of the preset's."""

    @property
    def names(self) -> AnnotationNames:
        """The names in force."""
        preset = _PRESETS[self.preset]
        return AnnotationNames(
            self.rate_attribute or preset.rate_attribute,
            self.policy_attribute or preset.policy_attribute,
            preset.rate_as_int,
        )


class Worker(Section):
    """Gathers, decides, emits."""

    data_dir: str = Field(default="tailsampler-data", min_length=1)
    """Folder for waiting spans and the decision tables; one worker each. Relative to where the worker is started."""
    session_timeout: PositiveDuration = parse_duration("45s")
    """The group gives the partitions of a worker away when it has not been heard of for so long."""
    heartbeat_interval: PositiveDuration = parse_duration("3s")
    """How often a worker is heard of; at most a third of session_timeout."""
    commit_interval: PositiveDuration = parse_duration("1s")
    """How often the watermark is committed."""
    initial_offset: Literal["earliest", "latest"] = "earliest"
    """Where a group that has never committed begins to read."""
    trace_table: TraceTable = TraceTable()
    decision_cache: DecisionCache = DecisionCache()
    scanner: Literal["auto", "compiled", "upb"] = "auto"
    """`auto` takes the compiled scanner where it is built; the other two insist."""
    annotation: Annotation = Annotation()
    max_unacknowledged: int = Field(default=20_000, ge=1)
    """Output records waiting for acknowledgement at which fetching pauses."""

    @model_validator(mode="after")
    def _beats(self) -> Self:
        if self.heartbeat_interval.ms * 3 > self.session_timeout.ms:
            raise ValueError(
                f"heartbeat_interval ({self.heartbeat_interval}) must be at most a third of session_timeout "
                f"({self.session_timeout})"
            )
        return self


class Web(Section):
    """/metrics, /livez and /readyz of a process."""

    enabled: bool = True
    endpoint: Endpoint = "localhost:8484"
    """Address to listen on. `tailsampler run` gives the agent this port and the workers the next ones."""


class Log(Section):
    """What the processes say on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"
