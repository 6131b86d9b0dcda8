"""An OTLP backend for tests, over gRPC and HTTP, that answers as it is told and remembers what it has accepted."""

from __future__ import annotations

import asyncio
import gzip
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from sampler.agent.answers import status

EXPORT_TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
LARGEST_BYTES = 64 << 20
START_S = 10.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reaction:
    """What a request comes to: accepted where `code` is OK and `http_status` 200.

    `stall` holds the answer back until the backend is `released`; `retry_after` is sent as RetryInfo or Retry-After.
    """

    code: str = "OK"
    http_status: int = 200
    text: str = ""
    retry_after: float | None = None
    rejected_spans: int = 0
    stall: bool = False

    @property
    def accepts(self) -> bool:
        return self.code == "OK" and self.http_status == 200


ACCEPT = Reaction()
UNAVAILABLE = Reaction("UNAVAILABLE", 503, "try later")
INVALID = Reaction("INVALID_ARGUMENT", 400, "I do not like it")
TOO_LARGE = Reaction("RESOURCE_EXHAUSTED", 413, "too large for me")


@dataclass(slots=True)
class Received:
    """One request: how it was answered, and what came with it."""

    request: ExportTraceServiceRequest
    reaction: Reaction
    size_bytes: int
    headers: dict[str, str]
    at_s: float
    """When it came, in monotonic seconds."""

    def span_ids(self) -> list[bytes]:
        return [
            span.span_id
            for resource_spans in self.request.resource_spans
            for scope_spans in resource_spans.scope_spans
            for span in scope_spans.spans
        ]


@dataclass
class OtlpBackend:
    """The backend on the running loop. `script` is answered first, one reaction a request; then `judge` decides.

    After `stop` it can be started again, on the same ports.
    """

    judge: Callable[[ExportTraceServiceRequest, int], Reaction] = lambda request, size: ACCEPT
    credentials: Any = None
    ssl_context: Any = None
    script: deque[Reaction] = field(default_factory=deque)
    received: list[Received] = field(default_factory=list)
    grpc_port: int = 0
    http_port: int = 0

    async def start(self) -> None:
        """Listen for both protocols."""
        self._released = asyncio.Event()
        self._server = grpc.aio.server(options=[("grpc.max_receive_message_length", LARGEST_BYTES)])
        self._server.add_generic_rpc_handlers((_Service(self._grpc),))
        address = f"127.0.0.1:{self.grpc_port}"
        if self.credentials is not None:
            self.grpc_port = self._server.add_secure_port(address, self.credentials)
        else:
            self.grpc_port = self._server.add_insecure_port(address)
        await self._server.start()
        app = web.Application(client_max_size=LARGEST_BYTES)
        app.router.add_post("/v1/traces", self._http)
        self._runner = web.AppRunner(app, access_log=None, auto_decompress=False)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.http_port, ssl_context=self.ssl_context).start()
        self.http_port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close both ports; requests that are held back get no answer."""
        await self._server.stop(None)
        self._released.set()
        await self._runner.cleanup()

    def release(self) -> None:
        """Let the answers go that are held back; nothing is held back any more."""
        self._released.set()

    @property
    def spans(self) -> Counter[bytes]:
        """How often each span was accepted, by its id."""
        return Counter(span_id for each in list(self.received) if each.reaction.accepts for span_id in each.span_ids())

    async def _react(self, body: bytes, headers: dict[str, str]) -> Reaction:
        at_s = time.monotonic()
        request = ExportTraceServiceRequest.FromString(body)
        reaction = self.script.popleft() if self.script else self.judge(request, len(body))
        if reaction.stall:
            await self._released.wait()
        self.received.append(Received(request, reaction, len(body), headers, at_s))
        return reaction

    async def _grpc(self, body: bytes, context: Any) -> bytes:
        headers = {key: str(value) for key, value in context.invocation_metadata()}
        reaction = await self._react(body, headers)
        if reaction.code == "OK":
            return _response(reaction)
        code = grpc.StatusCode[reaction.code]
        trailers: tuple[tuple[str, bytes], ...] = ()
        if reaction.retry_after is not None:
            details = status(code.value[0], reaction.text, reaction.retry_after)
            trailers = (("grpc-status-details-bin", details),)
        await context.abort(code, reaction.text, trailers)
        return b""

    async def _http(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        reaction = await self._react(body, {key.lower(): value for key, value in request.headers.items()})
        headers = {"Content-Type": "application/x-protobuf"}
        if reaction.retry_after is not None:
            headers["Retry-After"] = f"{reaction.retry_after:g}"
        if reaction.http_status == 200:
            return web.Response(body=_response(reaction), headers=headers)
        return web.Response(status=reaction.http_status, body=status(13, reaction.text), headers=headers)


class _Service(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    def __init__(self, export: Any) -> None:
        self._handler = grpc.unary_unary_rpc_method_handler(export)

    def service(self, handler_call_details: Any) -> Any:
        return self._handler if handler_call_details.method == EXPORT_TRACES else None


class BackendThread:
    """An `OtlpBackend` on a loop in a thread of its own, for tests that have no loop. Gone at the end of `with`."""

    def __init__(self, backend: OtlpBackend | None = None) -> None:
        self.backend = backend or OtlpBackend()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="otlp-backend", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_S)
        self._loop.close()

    def start(self) -> None:
        """Listen, also again, on the same ports."""
        self._wait(asyncio.run_coroutine_threadsafe(self.backend.start(), self._loop))

    def stop(self) -> None:
        """Close the ports."""
        self._wait(asyncio.run_coroutine_threadsafe(self.backend.stop(), self._loop))

    def release(self) -> None:
        """Let the answers go that are held back."""
        self._loop.call_soon_threadsafe(self.backend.release)

    @staticmethod
    def _wait(future: Future[T]) -> T:
        return future.result(START_S)


def _response(reaction: Reaction) -> bytes:
    response = ExportTraceServiceResponse()
    if reaction.rejected_spans or reaction.text:
        response.partial_success.rejected_spans = reaction.rejected_spans
        response.partial_success.error_message = reaction.text
    return response.SerializeToString()
