"""OTLP/gRPC: raw bytes in, raw bytes out; no message class sees a span."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import grpc

from sampler.agent.answers import export_response, retry_info, status, wrong_signal
from sampler.agent.grpc_certificates import GrpcCertificates
from sampler.agent.guard import Guard, LimitedError, UnauthenticatedError, WrongTenantError
from sampler.agent.metrics import AgentMetrics, Outcome
from sampler.agent.publisher import BufferFullError, Publisher, PublishError, RequestTooLargeError
from sampler.config.server_tls import ServerTls
from sampler.otlp import ScanError

log = logging.getLogger(__name__)

EXPORT_TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
WRONG_SIGNALS = {
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": "metrics",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export": "logs",
    "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export": "profiles",
}

Handler = Callable[[bytes, Any], Awaitable[bytes]]


class _Services(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    """Finds the handler of a method; None makes grpc answer UNIMPLEMENTED by itself."""

    def __init__(self, handlers: dict[str, Handler]) -> None:
        # Without serializers grpc hands over and takes bytes.
        self._handlers = {method: grpc.unary_unary_rpc_method_handler(call) for method, call in handlers.items()}

    def service(self, handler_call_details: Any) -> Any:
        return self._handlers.get(handler_call_details.method)


class GrpcServer:
    """The gRPC side of the agent."""

    def __init__(
        self,
        listen: str,
        max_request_bytes: int,
        publisher: Publisher,
        metrics: AgentMetrics,
        max_age_ms: int = 0,
        guard: Guard | None = None,
        tls: ServerTls | None = None,
        max_connections: int = 0,
    ) -> None:
        """`max_request_bytes` is the size after decompression; 0 as an age or a number of connections is no limit."""
        self._guard = guard
        self._certificates = GrpcCertificates(tls) if tls else None
        self._listen = listen
        self._publisher = publisher
        self._metrics = metrics
        self.port = 0
        self._options = [
            ("grpc.max_receive_message_length", max_request_bytes),
            # Two agents on one port would share its connections without either saying so.
            ("grpc.so_reuseport", 0),
            # SDKs and Collectors may keep idle connections alive by pings; grpc's default ends those connections.
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
        ]
        if max_age_ms:
            # No grace is set: requests in flight on a connection that has reached its age are finished.
            self._options.append(("grpc.max_connection_age_ms", max_age_ms))

        if max_connections:
            self._options.append(("grpc.max_allowed_incoming_connections", max_connections))

    async def start(self) -> None:
        """Listen; OSError with a sentence where the address cannot be had, ConfigError where a certificate is unfit.

        `port` holds the port afterwards.
        """
        credentials = self._certificates.credentials() if self._certificates else None
        self._server = grpc.aio.server(options=self._options)
        handlers: dict[str, Handler] = {EXPORT_TRACES: self._guarded if self._guard else self._export}
        handlers |= {method: _refusal(signal) for method, signal in WRONG_SIGNALS.items()}
        self._server.add_generic_rpc_handlers((_Services(handlers),))
        try:
            if credentials is not None:
                self.port = self._server.add_secure_port(self._listen, credentials)
            else:
                self.port = self._server.add_insecure_port(self._listen)
        except RuntimeError as error:
            raise OSError(f"cannot listen for OTLP/gRPC on {self._listen}: {error}") from error
        await self._server.start()

    async def stop(self, timeout_s: float) -> None:
        """Take no new calls, finish those in flight within `timeout_s` seconds."""
        await self._server.stop(timeout_s)

    async def _guarded(self, request: bytes, context: Any) -> bytes:
        """As `_export`, for who may send, and within the limits."""
        guard, count = self._guard, self._metrics.count_request
        assert guard is not None
        metadata = dict(context.invocation_metadata() or ())
        try:
            admission = guard.enter(metadata.get("authorization"), metadata.get(guard.tenant_header or ""))
        except UnauthenticatedError as error:
            count("grpc", "unauthenticated")
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error))
        except WrongTenantError as error:
            count("grpc", "invalid")
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except LimitedError as error:
            count("grpc", "limited")
            await _retry_later(context, grpc.StatusCode.RESOURCE_EXHAUSTED, str(error), error.retry_after_s)
        try:
            return await self._export(request, context, lambda body: guard.stamped(admission, body))
        finally:
            guard.leave()

    async def _export(self, request: bytes, context: Any, stamped: Callable[[bytes], bytes] | None = None) -> bytes:
        count = self._metrics.count_request
        try:
            receipt = await self._publisher.publish(stamped(request) if stamped else request)
        except ScanError as error:
            text = f"not an ExportTraceServiceRequest: {error.reason} at byte {error.offset}"
            count("grpc", "invalid")
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, text)
        except RequestTooLargeError as error:
            count("grpc", "too_large")
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except PublishError as error:
            outcome: Outcome = "buffer_full" if isinstance(error, BufferFullError) else "kafka_unavailable"
            count("grpc", outcome)
            await _retry_later(context, grpc.StatusCode.UNAVAILABLE, str(error), error.retry_after_s)
        except asyncio.CancelledError:
            count("grpc", "cancelled")
            raise
        if receipt.rejected:
            count("grpc", "partial")
            return export_response(receipt.rejected, receipt.message)
        count("grpc", "ok")
        return b""


async def _retry_later(context: Any, code: Any, text: str, retry_after_s: float) -> NoReturn:
    """A code with RetryInfo, in the form of the grpc libraries and in the one the Python SDK reads."""
    metadata = (
        ("grpc-status-details-bin", status(code.value[0], text, retry_after_s)),
        ("google.rpc.retryinfo-bin", retry_info(retry_after_s)),
    )
    await context.abort(code, text, metadata)
    raise AssertionError("abort raises")


def _refusal(signal: str) -> Handler:
    async def refuse(_request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, wrong_signal(signal))
        return b""

    return refuse
