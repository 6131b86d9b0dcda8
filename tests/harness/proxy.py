"""A TCP proxy between a process of a test and a broker, which can be cut and slowed down while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self

PIECE_BYTES = 16 * 1024
START_S = 10.0


class TcpProxy:
    """Forwards loopback ports; `routes` are target ports by the port to listen on. Closed at the end of `with`.

    Cut, it takes nothing from either side, as if the packets were lost: connections stay open, and what was sent
    waits. All methods may be called from the thread of the test.
    """

    def __init__(self, routes: Mapping[int, int]) -> None:
        self._routes = dict(routes)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="tcp-proxy", daemon=True)
        self._up = threading.Event()
        self._open = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._delay_s = 0.0
        self.forwarded_bytes = 0

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._up.wait(START_S) or self._failure is not None:
            raise RuntimeError("the proxy did not start") from self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_S)

    def cut(self) -> None:
        """Let nothing through until `heal`."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def heal(self) -> None:
        """Let everything through again, what waited first."""
        self._loop.call_soon_threadsafe(self._open.set)

    def slow(self, delay_s: float) -> None:
        """Hold every piece of up to 16 KiB back for so long, in both directions; 0 ends it."""
        self._delay_s = delay_s

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        servers: list[asyncio.Server] = []
        try:
            self._open.set()
            for port, target in self._routes.items():
                servers.append(self._loop.run_until_complete(self._listen(port, target)))
            self._up.set()
            self._loop.run_forever()
        except BaseException as failure:
            self._failure = failure
            self._up.set()
        finally:
            for server in servers:
                server.close()
            for task in self._tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
            self._loop.close()

    async def _listen(self, port: int, target: int) -> asyncio.Server:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            await self._serve(reader, writer, target)

        return await asyncio.start_server(connected, "127.0.0.1", port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: int) -> None:
        with contextlib.suppress(OSError), contextlib.closing(writer):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
            with contextlib.closing(far_writer):
                # A closed direction ends both: brokers and clients close whole connections only.
                ways = [
                    asyncio.ensure_future(self._forward(reader, far_writer)),
                    asyncio.ensure_future(self._forward(far_reader, writer)),
                ]
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(PIECE_BYTES):
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            await self._open.wait()
            self.forwarded_bytes += len(piece)
            writer.write(piece)
            await writer.drain()
