"""OTLP over HTTP, in protobuf."""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp

from sampler.clock import wall_ms
from sampler.config.backend_address import BackendAddress
from sampler.config.exporter import Backend, BackendTls
from sampler.exporter.answers import Answer, Fate, accepted, cleaned, http_answer

PROTOBUF: Final = "application/x-protobuf"
LARGEST_ANSWER_BYTES: Final = 64 * 1024
PIECE_BYTES: Final = 256 * 1024
IN_LOOP_BYTES: Final = 64 * 1024
"""Beyond this a body is compressed in a thread: it takes long enough to hold up every other backend."""
GZIP_LEVEL: Final = 1
"""Three times as fast as the usual 6, for a fifth more bytes."""
_GZIP_WINDOW: Final = 31


class HttpSender:
    """Sends over a pool of connections; redirections are not followed."""

    def __init__(self, backend: Backend, address: BackendAddress) -> None:
        self._backend = backend
        self._url = address.target
        self._encrypted = address.encrypted
        self._gzip = backend.compression == "gzip"
        self._also_later = frozenset(backend.retry.also_on)
        self._headers = {name: value.get_secret_value() for name, value in backend.headers.items()}
        self._headers |= {"Content-Type": PROTOBUF, "User-Agent": "tailsampler-exporter"}
        if self._gzip:
            self._headers["Content-Encoding"] = "gzip"
        self._context = _ssl_context(backend.tls) if self._encrypted else None
        self._session: aiohttp.ClientSession | None = None

    async def send(self, body: bytes) -> Answer:
        try:
            if self._gzip:
                body = await _compressed(body)
            async with self._open().post(
                self._url,
                data=_pieces(body),
                headers={**self._headers, "Content-Length": str(len(body))},
                allow_redirects=False,
                **self._tls_options(),
            ) as response:
                return self._answer(response, await _beginning(response.content))
        except TimeoutError:
            return Answer(Fate.LATER, "timeout", f"no answer within {self._backend.timeout}")
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            # RuntimeError: the session was renewed under this request.
            return Answer(Fate.LATER, "connection", cleaned(str(error) or type(error).__name__))

    async def renew(self) -> None:
        old, self._session = self._session, None
        if self._encrypted:
            self._context = _ssl_context(self._backend.tls)
        if old is not None:
            await old.close()

    async def close(self) -> None:
        old, self._session = self._session, None
        if old is not None:
            await old.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._backend.sending.parallel),
                timeout=aiohttp.ClientTimeout(total=self._backend.timeout.seconds),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _tls_options(self) -> dict[str, Any]:
        if self._context is None:
            return {}
        name = self._backend.tls.server_name_override
        return {"ssl": self._context, **({"server_hostname": name} if name else {})}

    def _answer(self, response: aiohttp.ClientResponse, content: bytes) -> Answer:
        if 200 <= response.status < 300:
            return accepted(content) if response.content_type == PROTOBUF else Answer(Fate.ACCEPTED, "OK")
        retry_after = response.headers.get("Retry-After")
        text = f"{response.reason or ''}: {_said(response.content_type, content)}".strip(": ")
        return http_answer(response.status, text, retry_after, wall_ms(), self._also_later)


async def _beginning(content: aiohttp.StreamReader) -> bytes:
    """The body of an answer, up to a size that no honest one has."""
    pieces: list[bytes] = []
    async for piece in content.iter_any():
        pieces.append(piece)
        if sum(map(len, pieces)) >= LARGEST_ANSWER_BYTES:
            break
    return b"".join(pieces)[:LARGEST_ANSWER_BYTES]


async def _compressed(body: bytes) -> bytes:
    return _deflate(body) if len(body) <= IN_LOOP_BYTES else await asyncio.to_thread(_deflate, body)


def _deflate(body: bytes) -> bytes:
    return zlib.compress(body, GZIP_LEVEL, _GZIP_WINDOW)


async def _pieces(body: bytes) -> AsyncIterator[memoryview]:
    """The body in pieces, so that a slow backend holds up the loop at none of them."""
    view = memoryview(body)
    for start in range(0, len(view), PIECE_BYTES):
        yield view[start : start + PIECE_BYTES]


def _said(content_type: str, content: bytes) -> str:
    """The words of a refusal: those of a google.rpc.Status in protobuf (its field 2), else the text."""
    if content_type == PROTOBUF:
        from sampler.otlp.errors import ScanError
        from sampler.otlp.walk import fields

        try:
            found = [content[each.value : each.end] for each in fields(content, 0, len(content)) if each.tag == 0x12]
        except ScanError:
            return ""
        return b"".join(found).decode(errors="replace")
    return content.decode(errors="replace")


def _ssl_context(tls: BackendTls) -> ssl.SSLContext:
    """The context for a backend; OSError where a file cannot be read or is not what it should be."""
    context = ssl.create_default_context(cafile=tls.ca_file)
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert_file and tls.key_file:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    return context
