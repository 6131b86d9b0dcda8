"""Live load through an agent: OTLP/gRPC requests, each sent again until it is acknowledged.

`python -m tests.faults.otlp_load PLAN ENDPOINT FILE`: the plan is that of `tests.faults.load`, and FILE gets what was
acknowledged, each request behind its length (four bytes, big-endian).
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc

from tests.faults.load import LoadPlan, sends

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
SLICE_S = 0.02
"""A request has what came in this time: about 120 spans."""
RETRY_S = 0.2
TIMEOUT_S = 5.0
GIVE_UP_S = 60.0
RECONNECT = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]


def requests(plan: LoadPlan) -> list[tuple[float, bytes]]:
    """Time and content of every request: messages of repeated fields add up when they are put one after the other."""
    slices: dict[int, list[bytes]] = {}
    for send in sends(plan):
        slices.setdefault(int(send.at_s / SLICE_S), []).append(send.value)
    return [(number * SLICE_S, b"".join(values)) for number, values in sorted(slices.items())]


class Client:
    """Keeps requests in flight and notes the acknowledged ones."""

    def __init__(self, endpoint: str) -> None:
        self.acknowledged: list[bytes] = []
        self.refused = 0
        self._pending = 0
        self._changed = threading.Condition()
        self._again: list[tuple[float, bytes]] = []
        self._export = grpc.insecure_channel(endpoint, RECONNECT).unary_unary(EXPORT)

    def send(self, request: bytes) -> None:
        """Send it; what becomes of it is seen later."""
        with self._changed:
            self._pending += 1
        call = self._export.future(request, timeout=TIMEOUT_S)
        call.add_done_callback(lambda done: self._done(request, done))

    def send_again(self) -> None:
        """Send what was refused some time ago."""
        now_s = time.monotonic()
        with self._changed:
            due = [request for at_s, request in self._again if at_s <= now_s]
            self._again = [each for each in self._again if each[0] > now_s]
        for request in due:
            self.send(request)

    @property
    def busy(self) -> bool:
        """Something is not acknowledged yet."""
        with self._changed:
            return bool(self._pending or self._again)

    def _done(self, request: bytes, call: Any) -> None:
        with self._changed:
            self._pending -= 1
            if call.code() is grpc.StatusCode.OK:
                self.acknowledged.append(request)
            else:
                self.refused += 1
                self._again.append((time.monotonic() + RETRY_S, request))


def acknowledged(file: Path) -> Iterator[bytes]:
    """The requests in a FILE."""
    content, at = file.read_bytes(), 0
    while at < len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        yield content[at + 4 : at + 4 + size]
        at += 4 + size


def main() -> None:
    """Send the plan named on the command line."""
    plan, client = LoadPlan(**json.loads(sys.argv[1])), Client(sys.argv[2])
    planned = requests(plan)
    print("ready", len(planned), flush=True)
    while not Path(plan.go).exists():
        time.sleep(0.01)
    began_s = time.monotonic()
    for at_s, request in planned:
        while (wait_s := at_s - (time.monotonic() - began_s)) > 0:
            client.send_again()
            # Paces the load.
            time.sleep(min(wait_s, SLICE_S))
        client.send(request)
    end_s = time.monotonic() + GIVE_UP_S
    while client.busy and time.monotonic() < end_s:
        client.send_again()
        time.sleep(SLICE_S)
    with Path(sys.argv[3]).open("wb") as file:
        for request in client.acknowledged:
            file.write(len(request).to_bytes(4, "big") + request)
    print(f"sent {len(planned)}, acknowledged {len(client.acknowledged)}, refused {client.refused}", flush=True)
    sys.exit(client.busy)


if __name__ == "__main__":
    main()
