"""Traces on which the policies beyond the Collector's show their different answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from policies.testing import Trace, decide, event, resource, span, trace

SHOP = {"service.name": "shop"}
PAY = {"service.name": "pay"}


def priority_trace(value: Any, tracestate: str = "", key: str = "_sampling_priority_v1") -> Trace:
    """A trace whose second span carries a priority; None gives none."""
    attributes = {} if value is None else {key: value}
    return trace(span("root", root=True), span("child", attributes=attributes, tracestate=tracestate))


SAMPLES = (
    trace(resource(SHOP, span("GET /cart", 0, 700, root=True, status="ERROR"), span("SELECT", 10, 20))),
    trace(resource(PAY, span("charge", 0, 5, status="ERROR")), resource(SHOP, span("GET /cart", 0, 20, root=True))),
    trace(
        span(
            "call",
            attributes={"http.response.status_code": 503, "rpc.grpc.status_code": 14},
            events=[event("exception", {"exception.type": "java.net.SocketTimeoutException"})],
        )
    ),
    trace(span("call", attributes={"http.status_code": "404", "error.type": "KeyError"})),
    *(priority_trace(value) for value in (2, 1.0, "0", -1)),
    priority_trace(None, "dd=s:-1;o:rum"),
)


def verdict_of(kind: str, config: Mapping[str, Any], subject: Trace, **options: Any) -> Any:
    """The verdict of one policy named p."""
    return decide([{"name": "p", "type": kind, kind: config}], subject, **options)


def recorded(kind: str, config: Mapping[str, Any], subject: Trace) -> str:
    """What it decides, and under which name: `sampled p/errors`."""
    verdict = verdict_of(kind, config, subject)
    return f"{verdict.decision} {verdict.policy}" if verdict.policy else str(verdict.decision)
