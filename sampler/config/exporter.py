"""The `exporter:` block: the backends that kept traces are sent to."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, StringConstraints, model_validator

from sampler.config.backend_address import Address, Protocol, parse_address
from sampler.config.base import Section
from sampler.config.routes import Route
from sampler.config.units import DurationField, PositiveDuration, Size, parse_duration

KIB = 1024
MIB = 1024 * KIB

Text = Annotated[str, Field(min_length=1)]
BackendName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9._-]{1,100}$")]
TopicOrPattern = Annotated[str, StringConstraints(pattern=r"^(\^.+|[a-zA-Z0-9._-]{1,249})$")]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,100}$")]

OURS = {"content-type", "content-length", "content-encoding", "host", "te", "connection", "transfer-encoding"}
"""Headers that belong to the protocol."""


def _headers(given: dict[str, SecretStr]) -> dict[str, SecretStr]:
    seen: set[str] = set()
    for name, secret in given.items():
        low = name.lower()
        if low in OURS or low.startswith(("grpc-", ":")) or low.endswith("-bin"):
            raise ValueError(f"header {name} cannot be set here: it belongs to the protocol")
        if low in seen:
            raise ValueError(f"header {name} is given twice")
        seen.add(low)
        value = secret.get_secret_value()
        if not (value.isascii() and value.isprintable()) or value != value.strip():
            raise ValueError(f"header {name}: the value must be printable ASCII without spaces around it")
    return given


GRPC_CODES = (
    "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip


def _codes(given: tuple[str, ...]) -> tuple[str, ...]:
    for code in given:
        if code not in GRPC_CODES and not (len(code) == 3 and code.isdigit() and "300" <= code <= "599"):
            raise ValueError(
                f"{code!r} is neither a gRPC code, such as RESOURCE_EXHAUSTED, nor an HTTP status, such as '500'"
            )
    return given


class BackendTls(Section):
    """Encryption to a backend. Without this block the system's certificates are trusted."""

    insecure: bool = False
    """True speaks plain text over gRPC. Over HTTP the endpoint says it: http:// or https://."""
    insecure_skip_verify: bool = False
    """True accepts any certificate of the backend. Over gRPC the one it shows when we connect is then trusted,
    unless it has expired."""
    ca_file: Text | None = None
    """Certificates to trust, PEM; without, those of the system."""
    cert_file: Text | None = None
    """Our certificate, PEM; needs key_file."""
    key_file: Text | None = None
    """Its private key, PEM."""
    server_name_override: Text | None = None
    """The name that the backend's certificate must be for, in place of the endpoint's host."""

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together: set both or none")
        return self


class Retry(Section):
    """When a refusal that may pass, or no answer, is tried again."""

    initial_interval: PositiveDuration = parse_duration("1s")
    """After the first failure."""
    max_interval: PositiveDuration = parse_duration("30s")
    """The longest; a backend's own word (Retry-After, RetryInfo) goes before it."""
    multiplier: float = Field(default=1.5, ge=1, le=100)
    """What the interval grows by from one failure to the next."""
    randomization_factor: float = Field(default=0.5, ge=0, le=1)
    """How far by chance from the interval, as a share of it."""
    max_elapsed: DurationField = parse_duration("0s")
    """After so long a batch that is not taken goes to the dead-letter topic; 0 tries while the topic has it."""
    also_on: Annotated[tuple[Text, ...], AfterValidator(_codes)] = ()
    """Refusals that OTLP calls final and this backend means as "later": names of gRPC codes (`RESOURCE_EXHAUSTED`) or
    numbers of HTTP (`"500"`)."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.initial_interval.ms > self.max_interval.ms:
            raise ValueError(f"initial_interval ({self.initial_interval}) is above max_interval ({self.max_interval})")
        return self


class Sending(Section):
    """How records are put together and sent."""

    batch_size: Size = Field(default=MIB, ge=KIB)
    """Size of a request before compression; a larger record is sent alone. Most servers take 4 MiB at most."""
    batch_spans: int = Field(default=8192, ge=1)
    """Most spans of a request, unless a single record has more."""
    flush_interval: PositiveDuration = parse_duration("200ms")
    """Longest time a record waits for its request to fill."""
    parallel: int = Field(default=8, ge=1, le=256)
    """Requests under way at once."""
    max_in_flight: Size = Field(default=32 * MIB, ge=64 * KIB)
    """Bytes read and not accepted yet; with more, nothing is read. A process needs about three times that."""


class Backend(Section):
    """One backend, with a consumer group of its own: a slow one holds back no other."""

    name: BackendName
    """What it is called in logs, metrics and the name of its group."""
    endpoint: Address
    """host:port for gRPC, a URL for HTTP, to which /v1/traces is added unless it ends with that."""
    protocol: Protocol = "grpc"
    """`grpc` or `http`, which is protobuf over HTTP."""
    tls: BackendTls = BackendTls()
    headers: Annotated[dict[HeaderName, SecretStr], AfterValidator(_headers)] = Field(
        default={}, examples=[{"Authorization": "Bearer ${env:BACKEND_TOKEN}"}]
    )
    """Sent with every request; secrets best from variables: `${env:BACKEND_TOKEN}`."""
    compression: Literal["gzip", "none"] = "gzip"
    """`none` costs less CPU and more network."""
    timeout: PositiveDuration = parse_duration("10s")
    """Longest time for one request."""
    topics: tuple[TopicOrPattern, ...] = ()
    """Topics to read, or patterns that begin with `^`; without, kafka.topics.sampled and, where the exporter is given
    the policy file, those of its tenants."""
    group_id: Text | None = None
    """Consumer group; without, kafka.group_id, `-exporter-` and the name."""
    initial_offset: Literal["earliest", "latest"] = "earliest"
    """Where a group that has never committed begins to read."""
    retry: Retry = Retry()
    sending: Sending = Sending()
    route: Route = Route()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        address = parse_address(self.endpoint, self.protocol, insecure=self.tls.insecure)
        if not address.encrypted and (self.tls.ca_file or self.tls.cert_file or self.tls.insecure_skip_verify):
            raise ValueError("tls has settings that need encryption, but the endpoint is spoken to in plain text")
        if self.topics and self.route.tenants:
            raise ValueError("topics and route.tenants are both set: tenants choose their topics themselves")
        return self


class Exporter(Section):
    """Kept traces out, over OTLP."""

    backends: tuple[Backend, ...] = ()
    """Where they go; each backend gets all that its route lets through."""
    commit_interval: PositiveDuration = parse_duration("1s")
    """How often the offsets of what was accepted are committed."""
    session_timeout: PositiveDuration = parse_duration("45s")
    """The group gives the partitions of an exporter away when it has not been heard of for so long."""
    stop_timeout: PositiveDuration = parse_duration("10s")
    """Time for requests under way at SIGTERM; what is not accepted by then is sent again by the next exporter."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        for what, names in (
            ("name", [backend.name for backend in self.backends]),
            ("group_id", [backend.group_id for backend in self.backends if backend.group_id]),
        ):
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                raise ValueError(f"two backends have the same {what}: {', '.join(sorted(twice))}")
        return self
