"""Decisions of the engine over the same spans in any order, cut into any chunks and records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, TracesData

from policies.policy_set import PolicySet, build_policy_set
from policies.testing import any_value, event, resource, span
from policies.verdict import Verdict
from sampler.engine.chunk_store import ChunkStore
from sampler.engine.decision_memory import DecisionMemory
from sampler.engine.decision_record import Owner
from sampler.engine.partition import PartitionEngine, PartitionStart
from sampler.engine.settings import EngineSettings
from sampler.engine.settlement import EngineCounts
from sampler.otlp import compile_plan, get_scanner

SETS: Mapping[str, list[dict[str, Any]]] = yaml.safe_load(
    (Path(__file__).parents[3] / "benchmarks" / "policies.yaml").read_text()
)
VALUES: dict[str, Sequence[Any]] = {
    "http.request.method": ("GET", "POST", "", 7),
    "http.route": ("/api/v1", "/admin/x", "/healthz", None),
    "http.response.status_code": (200, 503, "503", 503.0),
    "server.port": (8080, 9000, "x"),
    "user.tier": ("vip", "free", ["vip"]),
    "app.cache.hit": (True, False, "true"),
    "sampling.priority": (-1, 0, 1, 2),
    "retries": (0, 3),
    "db.system": ("redis",),
}
attributes = st.fixed_dictionaries({}, optional={key: st.sampled_from(values) for key, values in VALUES.items()})
times = st.none() | st.integers(0, 3000)
events = st.lists(
    st.builds(event, st.sampled_from(["exception", "retry"]), st.fixed_dictionaries({}, optional={
        "exception.type": st.sampled_from(["TimeoutError", "KeyError"])})), max_size=2,
)  # fmt: skip
some_spans = st.builds(
    span, st.sampled_from(["query", "GET /cart", ""]), times, times,
    attributes=attributes, status=st.sampled_from(["UNSET", "OK", "ERROR"]), root=st.booleans(),
    tracestate=st.sampled_from(["", "dd=s:2", "ot=th:8", "ot=rv:0123456789abcd;th:c", "a=1,a=2"]),
    flags=st.sampled_from([0, 1, 0x100]), events=events,
)  # fmt: skip
placed = st.tuples(st.integers(1, 4), st.sampled_from(["cart", "checkout", "auth"]), some_spans)
"""Trace number, service, span."""


@cache
def policy_set(name: str) -> PolicySet:
    """A set of the benchmark's file; they hold every policy type."""
    return build_policy_set(SETS[name])


def stamped(number: int, place: tuple[int, str, Span]) -> tuple[str, Span]:
    """A span with the ids of its trace and its own; every third has the one before it as parent."""
    trace, service, content = place
    made = Span()
    made.CopyFrom(content)
    # Ids far apart, so that their hashes are, too.
    made.trace_id = (trace * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128).to_bytes(16, "big")
    made.span_id = (number + 1).to_bytes(8, "big")
    if made.parent_span_id and number % 3 == 0:
        made.parent_span_id = number.to_bytes(8, "big")
    return service, made


def unit(service: str, *spans: Span) -> ResourceSpans:
    """Spans of one service."""
    made = resource({"service.name": service}, *spans)
    made.resource.attributes.add(key="team", value=any_value("red"))
    return made


def decided(policies: PolicySet, records: Sequence[Sequence[ResourceSpans]], scanner: str) -> dict[bytes, Verdict]:
    """What an engine decides of everything in these records, in one tick."""
    policies.errors.clear()
    engine = PartitionEngine(
        PartitionStart(0, Owner(1, 1), 0), EngineSettings(), policies,
        get_scanner("compiled" if scanner == "compiled" else "upb"), compile_plan(policies.span_conditions),
        ChunkStore(), DecisionMemory(), EngineCounts(),
    )  # fmt: skip
    values = [TracesData(resource_spans=record).SerializeToString() for record in records]
    engine.append([(offset, 1000, value) for offset, value in enumerate(values)], 10**6)
    engine.decide_all()
    settlement = engine.settle()
    assert not policies.errors, policies.last_errors
    return {} if settlement is None else {i: verdict for record in settlement.records for i, verdict in record}


@pytest.mark.parametrize("name", sorted(SETS))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    places=st.lists(placed, min_size=1, max_size=12),
    shuffle=st.randoms(use_true_random=False),
    scanner=st.sampled_from(["compiled", "upb"]),
)
def test_order_chunks_and_records_change_nothing(name: str, places: list[Any], shuffle: Any, scanner: str) -> None:
    """Every policy type gives each trace the same verdict, whatever the order and the packing of the spans."""
    spans = [stamped(number, place) for number, place in enumerate(places)]
    by_service: dict[str, list[Span]] = {}
    for service, content in spans:
        by_service.setdefault(service, []).append(content)
    whole = decided(policy_set(name), [[unit(service, *group) for service, group in by_service.items()]], scanner)
    shuffle.shuffle(spans)
    records: list[list[ResourceSpans]] = [[]]
    for service, content in spans:
        if shuffle.random() < 0.4:
            records.append([])
        if (
            records[-1]
            and shuffle.random() < 0.5
            and records[-1][-1].resource.attributes[0].value.string_value == service
        ):
            records[-1][-1].scope_spans[0].spans.append(content)
        else:
            records[-1].append(unit(service, content))
    assert decided(policy_set(name), records, scanner) == whole
