"""OTLP over gRPC: raw bytes out; no message class sees a span."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import grpc

from sampler.config.backend_address import BackendAddress
from sampler.config.exporter import Backend
from sampler.exporter.answers import Answer, Fate, accepted, cleaned, grpc_answer
from sampler.exporter.grpc_tls import credentials, read_files

EXPORT_TRACES: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

_OPTIONS: Final = (
    ("grpc.lb_policy_name", "round_robin"),  # over all addresses of a name, as the Collector's exporter does
    ("grpc.use_local_subchannel_pool", 1),  # else a new channel would go on with the old one's connections
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.min_reconnect_backoff_ms", 2_000),
    ("grpc.max_reconnect_backoff_ms", 10_000),
    ("grpc.max_send_message_length", -1),  # how much is too much the backend says
    ("grpc.primary_user_agent", "tailsampler-exporter"),
)


class GrpcSender:
    """Sends over one channel, which connects again by itself."""

    def __init__(self, backend: Backend, address: BackendAddress) -> None:
        self._backend = backend
        self._address = address
        self._timeout_s = backend.timeout.seconds
        self._metadata = tuple((name.lower(), value.get_secret_value()) for name, value in backend.headers.items())
        self._also_later = frozenset(backend.retry.also_on)
        self._channel: Any = None
        self._call: Any = None
        self._opening = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()
        if address.encrypted:
            read_files(backend.tls)

    async def send(self, body: bytes) -> Answer:
        try:
            if self._call is None:
                await self._open()
            response = await self._call(body, timeout=self._timeout_s, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            trailers = error.trailing_metadata() or ()
            return grpc_answer(error.code().name, error.details() or "", trailers, self._also_later)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # The channel of this call was given up; grpc says so in the same way.
            return Answer(Fate.LATER, "CANCELLED", "the connection was renewed")
        except (OSError, ValueError, grpc.aio.UsageError) as error:
            return Answer(Fate.LATER, "UNAVAILABLE", cleaned(str(error)))
        return accepted(response)

    async def renew(self) -> None:
        old, self._channel, self._call = self._channel, None, None
        if old is not None:
            # Calls under way get their answers first.
            task = asyncio.create_task(old.close(self._timeout_s))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        old, self._channel, self._call = self._channel, None, None
        for task in self._closing:
            task.cancel()
        if old is not None:
            await old.close()

    async def _open(self) -> None:
        async with self._opening:
            if self._call is not None:
                return
            compression = grpc.Compression.Gzip if self._backend.compression == "gzip" else None
            target, options = self._address.target, list(_OPTIONS)
            if self._address.encrypted:
                how, name = await asyncio.to_thread(credentials, self._backend.tls, self._address)
                if name:
                    options.append(("grpc.ssl_target_name_override", name))
                self._channel = grpc.aio.secure_channel(target, how, options, compression)
            else:
                self._channel = grpc.aio.insecure_channel(target, options, compression)
            self._call = self._channel.unary_unary(EXPORT_TRACES)
