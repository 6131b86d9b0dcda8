"""The HTTP port of the agent: TLS whose files are followed, and a bound on open connections."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable

from aiohttp import web

from sampler.certificates import LOOK_EVERY_S, ReloadedContext
from sampler.config.server_tls import ServerTls

LOOPBACK = ("127.0.0.1", "::1")
"""What `localhost` means, whatever the machine's table of hosts says: as for gRPC. Some senders try IPv6 first."""
REFUSED_S = 1.0
TOO_MANY = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Type: text/plain\r\nContent-Length: 61\r\n"
    b"Connection: close\r\n\r\ntoo many connections are open (agent.limits.max_connections)\n"
)


class HttpListener:
    """Listens from `start` to `stop` and gives every request to `handler`."""

    def __init__(
        self,
        listen: str,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        tls: ServerTls | None = None,
        max_connections: int = 0,
    ) -> None:
        self._listen = listen
        self._handler = handler
        self._tls = tls
        self._max_connections = max_connections
        self._certificate: ReloadedContext | None = None
        self._following: asyncio.TimerHandle | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen; OSError with a sentence where the address cannot be had, ConfigError where a certificate is unfit."""
        if self._tls is not None:
            self._certificate = ReloadedContext(self._tls, "agent.http.tls")
            self._follow()
        # aiohttp would inflate a body without a bound; `read_compressed` has one.
        server = _BoundedServer(self._handler, access_log=None, auto_decompress=False)
        server.max_connections = self._max_connections
        self._runner = web.ServerRunner(server)
        await self._runner.setup()
        try:
            await self._bind()
        except OSError as error:
            await self.stop(0)
            raise OSError(f"cannot listen for OTLP/HTTP on {self._listen}: {error}") from error

    async def _bind(self) -> None:
        host, _, port = self._listen.rpartition(":")
        context = self._certificate.context if self._certificate else None
        missing: OSError | None = None
        for address in LOOPBACK if host == "localhost" else (host.strip("[]") or None,):
            site = web.TCPSite(self._runner, address, self.port or int(port), ssl_context=context)
            try:
                await site.start()
            except OSError as error:
                if error.errno == errno.EADDRINUSE and int(port):
                    raise
                # A machine may have one of the families only.
                await site.stop()
                missing = error
            else:
                self.port = self._runner.addresses[0][1]
        if not self.port:
            raise missing or OSError("no address")

    async def stop(self, timeout_s: float) -> None:
        """Take no new connections, finish requests in flight within `timeout_s` seconds."""
        if self._following is not None:
            self._following.cancel()
        for site in list(self._runner.sites):
            await site.stop()
        server = self._runner.server
        if server is not None:
            server.pre_shutdown()
            await server.shutdown(timeout_s)
        await self._runner.cleanup()

    def _follow(self) -> None:
        assert self._certificate is not None
        self._certificate.look()
        self._following = asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._follow)


class _BoundedServer(web.Server):
    """Answers connections beyond the bound with 503 and closes them; 0 is no bound."""

    max_connections = 0

    def __call__(self) -> asyncio.Protocol:  # type: ignore[override]  # asyncio asks for no more than that
        """The protocol of a new connection."""
        if self.max_connections and len(self.connections) >= self.max_connections:
            return _Refusal()
        return super().__call__()


class _Refusal(asyncio.Protocol):
    """Answers, and takes in what is sent for a moment: closing over unread bytes would take the answer away."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(TOO_MANY)
        if transport.can_write_eof():
            transport.write_eof()
        self._closing = asyncio.get_running_loop().call_later(REFUSED_S, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing.cancel()
