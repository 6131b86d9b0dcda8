"""`python -m benchmarks.otlp_client TARGET REQUESTS SEED`: sends the agent's load over OTLP/gRPC and reports.

Sixteen requests are in flight over four connections, as from a few Collectors. A refusal is sent again after a moment
and counted; any other failure ends the client.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator

import grpc

from benchmarks.requests import RequestPool

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
IN_FLIGHT = 16
CONNECTIONS = 4
RETRY_S = 0.05
REQUEST_S = 60.0


class Client:
    """Sends requests by number until there are none left."""

    def __init__(self, pool: RequestPool, numbers: Iterator[int]) -> None:
        self._pool = pool
        self._numbers = numbers
        self.refused = 0
        self.partial = 0

    async def send_all(self, channel: grpc.aio.Channel) -> None:
        """One request after the other."""
        export = channel.unary_unary(EXPORT)
        for number in self._numbers:
            body = self._pool.request(number)
            while True:
                try:
                    answer = await export(body, timeout=REQUEST_S)
                except grpc.aio.AioRpcError as error:
                    if error.code() not in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED}:
                        raise
                    self.refused += 1
                    await asyncio.sleep(RETRY_S)
                    continue
                self.partial += bool(answer)
                break


async def run(target: str, requests: int, seed: int) -> dict[str, float]:
    """Send everything; what came back."""
    client = Client(RequestPool(seed), iter(range(requests)))
    # Channels of equal options share one connection unless told otherwise.
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(target, options) for _ in range(CONNECTIONS)]
    started_s = time.perf_counter()
    await asyncio.gather(*(client.send_all(channels[i % CONNECTIONS]) for i in range(IN_FLIGHT)))
    wall_s = time.perf_counter() - started_s
    for channel in channels:
        await channel.close()
    return {"requests": requests, "refused": client.refused, "partial": client.partial, "wall_s": wall_s}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))))
