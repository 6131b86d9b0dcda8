"""Spans of the SDK over OTLP/gRPC, without a package for it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import grpc
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from sampler.clock import monotonic_s
from sampler.config.backend_address import parse_address
from sampler.config.tracing import Tracing
from sampler.exporter.grpc_sender import EXPORT_TRACES
from sampler.exporter.grpc_tls import credentials
from sampler.sdk.encode import encode_spans

log = logging.getLogger(__name__)

SAY_EVERY_S = 60.0


class OwnSpanExporter(SpanExporter):
    """Sends each batch once; what is not taken is lost, and said once a minute."""

    def __init__(self, config: Tracing) -> None:
        """OSError where a certificate's file cannot be read."""
        assert config.endpoint is not None
        address = parse_address(config.endpoint, "grpc", insecure=config.tls.insecure)
        self._where = config.endpoint
        self._timeout_s = config.timeout.seconds
        self._metadata = tuple((name.lower(), value.get_secret_value()) for name, value in config.headers.items())
        options: list[tuple[str, Any]] = [("grpc.primary_user_agent", "tailsampler")]
        if address.encrypted:
            how, name = credentials(config.tls, address)
            if name:
                options.append(("grpc.ssl_target_name_override", name))
            self._channel = grpc.secure_channel(address.target, how, options)
        else:
            self._channel = grpc.insecure_channel(address.target, options)
        self._call = self._channel.unary_unary(EXPORT_TRACES)
        self._say_again_s = 0.0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send them and wait for the answer."""
        body, _ = encode_spans(spans)
        try:
            self._call(body, timeout=self._timeout_s, metadata=self._metadata)
        except (grpc.RpcError, ValueError) as error:
            now_s = monotonic_s()
            if now_s >= self._say_again_s:
                self._say_again_s = now_s + SAY_EVERY_S
                reason = error.code().name if isinstance(error, grpc.Call) else str(error)
                log.warning("%d spans of the pipeline itself are lost: %s answers %s", len(spans), self._where, reason)
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Close the connection."""
        self._channel.close()
