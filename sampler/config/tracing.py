"""The `tracing:` block: the pipeline's traces of itself."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from sampler.config.backend_address import Address, parse_address
from sampler.config.base import Section
from sampler.config.exporter import BackendTls, HeaderName, _headers
from sampler.config.units import PositiveDuration, parse_duration


class Tracing(Section):
    """Spans of what the processes do, sent over OTLP/gRPC. Off without an endpoint; needs the extra `sdk`."""

    endpoint: Address | None = None
    """host:port of a Collector or backend, never an agent of this pipeline. What comes back by a detour is dropped by
    the agents: the spans carry the resource attribute `tailsampler.own`."""
    ratio: float = Field(default=0.01, gt=0, le=1)
    """Share of requests, fetched batches and sends that are traced."""
    tls: BackendTls = BackendTls()
    headers: Annotated[dict[HeaderName, SecretStr], AfterValidator(_headers)] = Field(default={})
    """Sent with every request; secrets best from variables."""
    timeout: PositiveDuration = parse_duration("5s")
    """Longest time for one request; spans that are not taken by then are lost."""

    @model_validator(mode="after")
    def _address(self) -> Self:
        if self.endpoint is not None:
            parse_address(self.endpoint, "grpc", insecure=self.tls.insecure)
        return self
