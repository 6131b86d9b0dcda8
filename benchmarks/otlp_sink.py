"""`python -m benchmarks.otlp_sink SPANS`: an OTLP/gRPC backend that accepts everything and only counts.

Prints one JSON object a line: its port, then the first request, then, once it has so many spans, what it counted.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import grpc

from sampler.otlp.counting import count_spans

EXPORT_TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
LARGEST_BYTES = 64 << 20


class _Sink(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._handler = grpc.unary_unary_rpc_method_handler(self._export)
        self.spans = self.size_bytes = self.requests = 0

    def service(self, handler_call_details: Any) -> Any:
        return self._handler if handler_call_details.method == EXPORT_TRACES else None

    async def _export(self, request: bytes, _context: Any) -> bytes:
        if not self.requests:
            say(first=True)
        self.requests += 1
        self.size_bytes += len(request)
        before, self.spans = self.spans, self.spans + count_spans(request)
        if before < self._expected <= self.spans:
            say(spans=self.spans, bytes=self.size_bytes, requests=self.requests)
        return b""


def say(**values: Any) -> None:
    """One line for who started this."""
    print(json.dumps(values), flush=True)


async def main(expected: int) -> None:
    """Serve until killed."""
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", LARGEST_BYTES)])
    server.add_generic_rpc_handlers((_Sink(expected),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    say(port=port)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
