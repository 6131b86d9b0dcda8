"""OTLP/HTTP: protobuf and JSON, plain and gzip."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable

from aiohttp import web

from sampler.agent import answers
from sampler.agent.body import WINDOWS, BodyDamagedError, BodyTooLargeError, read_compressed, read_plain
from sampler.agent.guard import Guard, LimitedError, UnauthenticatedError, WrongTenantError
from sampler.agent.http_listener import HttpListener
from sampler.agent.metrics import AgentMetrics, Outcome
from sampler.agent.publisher import BufferFullError, Publisher, PublishError, Receipt, RequestTooLargeError
from sampler.config.server_tls import ServerTls
from sampler.otlp import ScanError
from sampler.otlp.json_reader import JsonError, request_from_json

log = logging.getLogger(__name__)

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
TRACES = "/v1/traces"
WRONG_SIGNALS = {"/v1/metrics": "metrics", "/v1/logs": "logs", "/v1development/profiles": "profiles"}
PLAIN_ENCODINGS = ("", "identity", "none")

# Beyond this a JSON body is parsed in a thread: parsing takes long enough to hold up every other request.
JSON_IN_LOOP_BYTES = 64 * 1024


class HttpServer:
    """The HTTP side of the agent."""

    def __init__(
        self,
        listen: str,
        max_request_bytes: int,
        publisher: Publisher,
        metrics: AgentMetrics,
        guard: Guard | None = None,
        tls: ServerTls | None = None,
        max_connections: int = 0,
    ) -> None:
        """`max_request_bytes` is the size after decompression; 0 connections are no limit."""
        self._listener = HttpListener(listen, self._handle, tls, max_connections)
        self._guard = guard
        self._max_request_bytes = max_request_bytes
        self._publisher = publisher
        self._metrics = metrics

    @property
    def port(self) -> int:
        """The port listened on, once started."""
        return self._listener.port

    async def start(self) -> None:
        """Listen; OSError with a sentence where the address cannot be had, ConfigError where a certificate is unfit."""
        await self._listener.start()

    async def stop(self, timeout_s: float) -> None:
        """Take no new connections, finish requests in flight within `timeout_s` seconds."""
        await self._listener.stop(timeout_s)

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        if request.path == TRACES:
            return await self._traces(request)
        signal = WRONG_SIGNALS.get(request.path)
        if signal is not None:
            return _failure(request, 404, answers.UNIMPLEMENTED, answers.wrong_signal(signal))
        return _failure(request, 404, answers.NOT_FOUND, f"there is nothing at {request.path}; POST traces to {TRACES}")

    async def _traces(self, request: web.BaseRequest) -> web.Response:
        if request.method != "POST":
            text = f"{TRACES} takes POST, not {request.method}"
            return _failure(request, 405, answers.UNIMPLEMENTED, text, headers={"Allow": "POST"})
        try:
            outcome, response = await (self._guarded(request) if self._guard else self._export(request))
        except (asyncio.CancelledError, ConnectionError):
            self._metrics.count_request("http", "cancelled")
            raise
        self._metrics.count_request("http", outcome)
        return response

    async def _guarded(self, request: web.BaseRequest) -> tuple[Outcome, web.Response]:
        """As `_export`, for who may send, and within the limits; nothing of a refused request is read."""
        guard = self._guard
        assert guard is not None
        named = request.headers.get(guard.tenant_header) if guard.tenant_header else None
        try:
            admission = guard.enter(request.headers.get("Authorization"), named)
        except UnauthenticatedError as error:
            headers = {"WWW-Authenticate": "Bearer"}
            return "unauthenticated", _failure(request, 401, answers.UNAUTHENTICATED, str(error), headers=headers)
        except WrongTenantError as error:
            return "invalid", _failure(request, 400, answers.INVALID_ARGUMENT, str(error))
        except LimitedError as error:
            headers = {"Retry-After": str(math.ceil(error.retry_after_s))}
            code = answers.RESOURCE_EXHAUSTED
            return "limited", _failure(request, 429, code, str(error), error.retry_after_s, headers)
        try:
            return await self._export(request, lambda body: guard.stamped(admission, body))
        finally:
            guard.leave()

    async def _export(
        self, request: web.BaseRequest, stamped: Callable[[bytes], bytes] | None = None
    ) -> tuple[Outcome, web.Response]:
        try:
            body = await self._read(request, _encoding(request))
            receipt = await self._publisher.publish(stamped(body) if stamped else body)
        except (UnsupportedError, BodyTooLargeError, BodyDamagedError, JsonError, ScanError) as error:
            return self._refuse(request, error)
        except RequestTooLargeError as error:
            return "too_large", _failure(request, 413, answers.RESOURCE_EXHAUSTED, str(error))
        except BufferFullError as error:
            return "buffer_full", _retry_later(request, 429, error)
        except PublishError as error:
            return "kafka_unavailable", _retry_later(request, 503, error)
        return "partial" if receipt.rejected else "ok", _success(request, receipt)

    def _refuse(self, request: web.BaseRequest, error: Exception) -> tuple[Outcome, web.Response]:
        """Answer a request that is at fault itself and must not be sent again."""
        match error:
            case UnsupportedError():
                headers = {"Accept-Encoding": "gzip, deflate, identity"}
                return "unsupported", _failure(request, 415, answers.INVALID_ARGUMENT, str(error), headers=headers)
            case BodyTooLargeError():
                limit = self._max_request_bytes
                text = f"the request, decompressed, is larger than {limit} bytes (agent.max_request_bytes)"
                return "too_large", _failure(request, 413, answers.RESOURCE_EXHAUSTED, text)
            case ScanError():
                text = f"not an ExportTraceServiceRequest: {error.reason} at byte {error.offset}"
            case _:
                text = str(error)
        return "invalid", _failure(request, 400, answers.INVALID_ARGUMENT, text)

    async def _read(self, request: web.BaseRequest, encoding: str) -> bytes:
        limit = self._max_request_bytes
        if (request.content_length or 0) > limit:
            raise BodyTooLargeError
        chunks = request.content.iter_any()
        body = await (read_compressed(chunks, limit, encoding) if encoding else read_plain(chunks, limit))
        if request.content_type != JSON:
            return body
        if len(body) <= JSON_IN_LOOP_BYTES:
            return request_from_json(body)
        return await asyncio.to_thread(request_from_json, body)


class UnsupportedError(Exception):
    """A Content-Type or Content-Encoding that the agent does not read."""


def _encoding(request: web.BaseRequest) -> str:
    """The body's Content-Encoding, empty for none; UnsupportedError where it or the Content-Type is another."""
    if request.headers.get("Content-Type") is None or request.content_type not in {PROTOBUF, JSON}:
        given = request.headers.get("Content-Type", "is missing")
        raise UnsupportedError(f"Content-Type {given[:64]}: send {PROTOBUF} or {JSON}")
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding in WINDOWS:
        return encoding
    if encoding not in PLAIN_ENCODINGS:
        raise UnsupportedError(f"Content-Encoding {encoding[:64]}: send gzip, deflate, or no compression")
    return ""


def _success(request: web.BaseRequest, receipt: Receipt) -> web.Response:
    encode = answers.export_response_json if request.content_type == JSON else answers.export_response
    body = encode(receipt.rejected, receipt.message)
    return web.Response(body=body, headers={"Content-Type": request.content_type})


def _retry_later(request: web.BaseRequest, http_status: int, error: PublishError) -> web.Response:
    headers = {"Retry-After": str(math.ceil(error.retry_after_s))}
    return _failure(request, http_status, answers.UNAVAILABLE, str(error), error.retry_after_s, headers)


def _failure(
    request: web.BaseRequest,
    http_status: int,
    code: int,
    text: str,
    retry_after_s: float | None = None,
    headers: dict[str, str] | None = None,
) -> web.Response:
    """A google.rpc.Status in the request's own encoding; JSON, which people can read, where it has neither."""
    protobuf = request.content_type == PROTOBUF
    body = (answers.status if protobuf else answers.status_json)(code, text, retry_after_s)
    content_type = PROTOBUF if protobuf else JSON
    return web.Response(status=http_status, body=body, headers={"Content-Type": content_type, **(headers or {})})
