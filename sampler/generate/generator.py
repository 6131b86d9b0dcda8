"""Realistic traces from a seed: the same seed and count give the same traces, on every machine."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

from sampler.generate.model import Attributes, AttributeValue, Event, Span, Trace
from sampler.generate.shop import CLIENT, CONSUMER, ENTRIES, INTERNAL, PRODUCER, SERVER, TIERS, Call, Entry, Fault

NS_PER_MS = 1_000_000
SPREAD = 0.45
"""Standard deviation of the logarithm of a duration: most lie within a factor of two of the median."""
SLOW_FROM_MS, SLOW_TO_MS = 900.0, 2200.0
"""What a slow call takes: it waits for a lock or a collector."""
NETWORK_MS = 0.35
_OWN_KIND = {"http": SERVER, "grpc": SERVER, "queue": CONSUMER, "db": CLIENT, "local": INTERNAL}
_REMOTE = ("http", "grpc", "queue")


def generate_traces(seed: int, count: int) -> Iterator[Trace]:
    """`count` traces of the shop in `shop`, ids included, all from `seed`."""
    source = random.Random(seed)
    weights = [entry.weight for entry in ENTRIES]
    for entry in source.choices(ENTRIES, weights, k=count):
        yield _TraceMaker(source).make(entry)


class _TraceMaker:
    """One trace in the making."""

    def __init__(self, source: random.Random) -> None:
        self._source = source
        self._spans: list[Span] = []

    def make(self, entry: Entry) -> Trace:
        """The trace of one request."""
        attributes = dict(entry.attributes)
        if entry.root.calls:
            attributes["user.tier"] = self._source.choices(list(TIERS), list(TIERS.values()))[0]
        trace_id = self._source.getrandbits(128).to_bytes(16, "big")
        self._serve(entry.root, b"", 0, attributes)
        return Trace(trace_id, tuple(self._spans))

    def _serve(self, call: Call, parent_id: bytes, start_ns: int, extra: Attributes) -> tuple[int, Fault | None]:
        """The span of the work itself with all below it; when it ended and what went wrong in it."""
        span_id = self._new_id()
        own_ns = self._own_time_ns(call)
        at, end_ns = start_ns + own_ns // 2, start_ns + own_ns // 2
        fault = self._own_fault(call)
        events = (_exception(call, fault, end_ns),) if fault is not None else ()
        for child in () if fault else self._calls(call):
            child_end_ns, child_fault = self._call(child, call.service, span_id, at)
            end_ns = max(end_ns, child_end_ns)
            at = at + NS_PER_MS // 10 if call.parallel else end_ns
            if child_fault is not None and not call.parallel:
                fault = child_fault
                break
            fault = fault or (child_fault if child.protocol != "queue" else None)
        end_ns += own_ns - own_ns // 2
        attributes = {**_rpc(call), **call.attributes, **extra, **_outcome(call, fault)}
        self._spans.append(
            Span(
                call.service, span_id, parent_id, call.name, start_ns, end_ns, _OWN_KIND[call.protocol],
                *_status(fault), attributes, events, _scope(call, call.service),
            )
        )  # fmt: skip
        return end_ns, fault

    def _call(self, call: Call, caller: str, parent_id: bytes, start_ns: int) -> tuple[int, Fault | None]:
        """A call as its caller sees it: over the network with a client span, else just the work."""
        if call.protocol not in _REMOTE:
            return self._serve(call, parent_id, start_ns, {})
        span_id = self._new_id()
        network_ns = self._around(NETWORK_MS)
        served_ns, fault = self._serve(call, span_id, start_ns + network_ns, {})
        queued = call.protocol == "queue"
        end_ns = start_ns + network_ns if queued else served_ns + network_ns
        seen = None if queued else fault
        name = "orders publish" if queued else call.name
        attributes = {**_rpc(call), **call.attributes, "server.address": call.service, **_outcome(call, seen)}
        kind = PRODUCER if queued else CLIENT
        self._spans.append(
            Span(
                caller, span_id, parent_id, name, start_ns, end_ns, kind, *_status(seen), attributes,
                scope=_scope(call, caller),
            )
        )  # fmt: skip
        return end_ns, seen

    def _calls(self, call: Call) -> Iterator[Call]:
        for child in call.calls:
            if child.chance >= 1 or self._source.random() < child.chance:
                for _ in range(self._source.randint(*child.repeat)):
                    yield child

    def _own_fault(self, call: Call) -> Fault | None:
        return next((fault for fault in call.faults if self._source.random() < fault.chance), None)

    def _own_time_ns(self, call: Call) -> int:
        if call.slow_chance and self._source.random() < call.slow_chance:
            return round(self._source.uniform(SLOW_FROM_MS, SLOW_TO_MS) * NS_PER_MS)
        return self._around(call.own_ms)

    def _around(self, median_ms: float) -> int:
        return max(1000, round(self._source.lognormvariate(math.log(median_ms), SPREAD) * NS_PER_MS))

    def _new_id(self) -> bytes:
        return (self._source.getrandbits(64) or 1).to_bytes(8, "big")


def _status(fault: Fault | None) -> tuple[int, str]:
    return (2, fault.message) if fault is not None else (0, "")


def _scope(call: Call, service: str) -> str:
    return service if call.protocol == "local" else f"io.opentelemetry.{call.protocol}"


def _exception(call: Call, fault: Fault, at_ns: int) -> Event:
    """The event that SDKs record for an exception."""
    trace = f'  File "{call.service}/handlers.py", line 88, in {call.name}\n{fault.exception}: {fault.message}'
    attributes = {
        "exception.type": fault.exception,
        "exception.message": fault.message,
        "exception.stacktrace": f"Traceback (most recent call last):\n{trace}",
    }
    return Event("exception", at_ns, attributes)


def _rpc(call: Call) -> dict[str, AttributeValue]:
    if call.protocol != "grpc":
        return {}
    service, _, method = call.name.partition("/")
    return {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}


def _outcome(call: Call, fault: Fault | None) -> dict[str, AttributeValue]:
    """The status code of a protocol that has one."""
    if call.protocol == "http":
        return {"http.response.status_code": 500 if fault else 200}
    if call.protocol == "grpc":
        return {"rpc.grpc.status_code": 13 if fault else 0}
    return {"error.type": fault.exception} if fault else {}
