"""The blocks of the single processes: `agent:`, `worker:`, `web:` and `log:`."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, SecretStr, model_validator

from sampler.config.base import Endpoint, Section
from sampler.config.overload import Overload
from sampler.config.receiving import AgentAuth, AgentLimits, AgentTenant
from sampler.config.secrets import one_of_both, read_secret
from sampler.config.server_tls import Certificate, ServerTls
from sampler.config.source import KafkaSource
from sampler.config.transform import Transform
from sampler.config.units import DurationField, PositiveDuration, Size, parse_duration

KIB = 1024
MIB = 1024 * KIB


class Grpc(Section):
    """OTLP over gRPC."""

    enabled: bool = True
    endpoint: Endpoint = "localhost:4317"
    """Address to listen on; 0.0.0.0:4317 takes spans from other machines."""
    tls: ServerTls | None = None
    """Without this block spans travel in plain text."""
    max_connection_age: DurationField = parse_duration("0s")
    """Age, give or take a tenth, at which a connection is closed gracefully, so that its sender connects again and
    agents that were added get a part of the load; 5m where several agents stand behind one address. 0 is never."""


class Http(Section):
    """OTLP over HTTP, protobuf and JSON, path /v1/traces."""

    enabled: bool = True
    endpoint: Endpoint = "localhost:4318"
    """Address to listen on; 0.0.0.0:4318 takes spans from other machines."""
    tls: ServerTls | None = None
    """Without this block spans travel in plain text."""


class Agent(Section):
    """OTLP in, Kafka out."""

    grpc: Grpc = Grpc()
    http: Http = Http()
    kafka_source: KafkaSource | None = None
    """Topics to be split by trace; without this block none is read."""
    auth: AgentAuth = AgentAuth()
    tenant: AgentTenant = AgentTenant()
    limits: AgentLimits = AgentLimits()
    transform: Transform = Transform()
    """What is done to spans before anything else, so that nothing of what it removes reaches Kafka."""
    trace_context_headers: bool = False
    """Write W3C `traceparent` and `tracestate` as headers of records that hold spans of one trace only."""
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
        if not (self.grpc.enabled or self.http.enabled or self.kafka_source):
            raise ValueError("both grpc and http are off, and there is no kafka_source: nothing could be received")
        if self.max_request_bytes > self.max_buffer:
            raise ValueError("max_request_bytes is above max_buffer: the largest request could never be taken")
        return self


class TraceTable(Section):
    """Where the spans of undecided traces wait."""

    memory_limit_mib: int = Field(default=256, ge=0)
    """Spans up to this size wait in memory, the rest on disk; 0 puts all on disk."""
    disk_limit_mib: int = Field(default=8192, ge=0)
    """Most disk for waiting spans; beyond it the oldest traces are decided early. 0 uses no disk at all."""
    disk_reserve_mib: int = Field(default=64, ge=0)
    """Free space of the disk that is left alone: with less, spans wait in memory until there is room again."""
    max_traces: int = Field(default=0, ge=0)
    """Most undecided traces; beyond it the oldest are decided early. 0 is no limit of its own."""


class Memory(Section):
    """How large a worker may grow, all its libraries included."""

    limit_mib: int = Field(default=0, ge=0)
    """The limit; 0 takes that of the container (its cgroup, shared with what else runs in it), and none where that has
    none."""
    soft_percent: int = Field(default=75, ge=1, le=100)
    """From this share of the limit on it fetches less at once and puts waiting spans on disk earlier."""
    hard_percent: int = Field(default=90, ge=1, le=100)
    """From this share on it fetches nothing and puts all waiting spans on disk; if it is still above it after ten
    seconds, the oldest traces are decided early."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.soft_percent >= self.hard_percent:
            raise ValueError(f"soft_percent ({self.soft_percent}) must be below hard_percent ({self.hard_percent})")
        return self


class Watchdog(Section):
    """When a worker that stands still ends itself with exit code 70, to be started again. 0 is never.

    Time in which Kafka cannot be reached or takes no outputs does not count.
    """

    stall_timeout: DurationField = parse_duration("2m")
    """No fetch has come back, or nothing was read though records lie there."""
    commit_timeout: DurationField = parse_duration("5m")
    """More may be committed, but nothing was."""
    recovery_timeout: DurationField = parse_duration("10m")
    """The decision tables are being read back, but nothing more comes."""


class DecisionCache(Section):
    """The memory of decisions, which late spans follow."""

    ttl: PositiveDuration = parse_duration("10m")
    """How long a decision is remembered, in stream time."""
    standby_replicas: int = Field(default=1, ge=0)
    """Other workers that keep a copy of a partition's decisions on disk, so that one of them can go on at once. Every
    copy costs its worker a table's writing: some 0.1 ms of CPU a record, live up to eight a second and partition."""


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


class MetricLabels(Section):
    """What a worker's metrics tell apart. Every name costs a few series in Prometheus for each worker."""

    services: int = Field(default=50, ge=0, le=1000)
    """So many services have their spans and bytes counted under their own names, those with the most spans; all others
    together are `other`. 0 counts nothing by service."""
    keys: int = Field(default=50, ge=0, le=1000)
    """So many keys of each policy that has a rate by key (`dynamic`) have their rate told, those of most traffic."""


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
    group_instance_id: Annotated[str, Field(min_length=1)] | None = None
    """A name that stays the same over restarts, such as the pod's: a worker that is back within `session_timeout` keeps
    its partitions, and after a clean stop goes on with the traces it has on disk. Without, its share goes to others."""
    trace_table: TraceTable = TraceTable()
    decision_cache: DecisionCache = DecisionCache()
    retain_dropped_limit_mib: int = Field(default=4096, ge=1)
    """Most disk for dropped traces, where the policy file keeps them (`retain_dropped`); beyond it the oldest go."""
    scanner: Literal["auto", "compiled", "upb"] = "auto"
    """`auto` takes the compiled scanner where it is built; the other two insist."""
    annotation: Annotation = Annotation()
    transform: Transform = Transform()
    """What is done to kept spans when they are written, after all policies."""
    trace_context_headers: bool = False
    """Write W3C `traceparent` and `tracestate` as headers of the records with kept traces; some 10 µs a record."""
    policies_reload_interval: DurationField = parse_duration("5s")
    """How often the policy file is looked at for changes, which are taken without a restart; 0 looks only at SIGHUP."""
    max_unacknowledged: int = Field(default=20_000, ge=1)
    """Output records waiting for acknowledgement at which fetching pauses."""
    memory: Memory = Memory()
    metrics: MetricLabels = MetricLabels()
    watchdog: Watchdog = Watchdog()
    overload: Overload = Overload()

    @model_validator(mode="after")
    def _beats(self) -> Self:
        if self.heartbeat_interval.ms * 3 > self.session_timeout.ms:
            raise ValueError(
                f"heartbeat_interval ({self.heartbeat_interval}) must be at most a third of session_timeout "
                f"({self.session_timeout})"
            )
        return self


class Web(Section):
    """/metrics, /livez, /readyz and /status of a process."""

    enabled: bool = True
    endpoint: Endpoint = "localhost:8484"
    """Address to listen on. `tailsampler run` has the pages of all its processes there, and those of each alone at the
    ports after it: the agent, the workers, the exporter."""
    tls: Certificate | None = None
    """Without this block the pages are plain http."""
    token: Annotated[SecretStr, Field(min_length=8)] | None = None
    """What a request must bring (`Authorization: Bearer ...`) that changes something (`tailsampler rescue`) or reads
    /status; best from a variable: `${env:WEB_TOKEN}`. Without, such requests are taken only where `endpoint` is an
    address of the machine itself, such as localhost. /livez and /readyz are open to all."""
    token_file: Annotated[str, Field(min_length=1)] | None = None
    """A file that holds the token, in place of token; read when a process starts."""
    protect_metrics: bool = False
    """True asks for the token at /metrics too: its labels name services, tenants and policies."""

    @model_validator(mode="after")
    def _token(self) -> Self:
        one_of_both("token", self.token, self.token_file, needed=self.protect_metrics)
        return self

    def secret_token(self) -> str | None:
        """The token in force; ConfigError where its file cannot be used."""
        return read_secret(self.token, self.token_file, "web.token")


class Log(Section):
    """What the processes say on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"
