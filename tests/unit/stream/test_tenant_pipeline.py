"""Tenants named by a header through the whole pipeline: topics, lost batches, crashes, and reloads under way."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from confluent_kafka import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from prometheus_client import CollectorRegistry

from policies.any_set import AnyPolicySet
from policies.policy_set import build_policy_set
from policies.tenants import Tenant, TenantPolicySets
from sampler.engine.chunk_store import ChunkStore
from sampler.metrics import WorkerMetrics
from sampler.otlp import compile_plan, get_scanner
from sampler.stream.batch import SpanBatch
from sampler.stream.pipeline import Pipeline
from sampler.stream.span_source import header_values
from tests.unit.stream.pipeline_lab import FAR_FUTURE_MS, Broker, Worker, spans_in

ALL = {"name": "all", "type": "always_sample"}
ERRORS = {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}
NAMES = ("acme", "globex", "other", None)


def tenants(header: str = "X-Tenant") -> TenantPolicySets:
    """Of acme all is kept and of globex errors, each in a topic of its own; of others errors."""
    members = [
        Tenant("acme", ("acme",), build_policy_set([ALL]), "acme-topic"),
        Tenant("globex", ("globex",), build_policy_set([ERRORS]), "globex-topic"),
    ]
    return TenantPolicySets(build_policy_set([ERRORS]), members, header=header)


@dataclass
class HeaderWorker(Worker):
    """A worker whose source reads headers from the log: (header, value) by offset."""

    headers: dict[int, tuple[str, str]] = field(default_factory=dict)
    sets: AnyPolicySet | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.header = ""
        self.policies_now = self.sets or tenants()
        self.pipeline = Pipeline(
            self.settings, self.policies_now, get_scanner(), ChunkStore(), self, self.broker, limits=self.limits,
            committed=lambda _: self.broker.committed, rewind=self.rewind, current_epoch=lambda: self.epoch,
            wall_ms=lambda: FAR_FUTURE_MS, read_header=self.read_header,
        )  # fmt: skip

    def read_header(self, name: str) -> None:
        self.header = name

    def labelled(self, batch: SpanBatch) -> SpanBatch:
        if not self.header:
            return batch
        found = {offset: self.headers.get(offset, ("", "")) for offset, _, _ in batch.records}
        values = {offset: value for offset, (name, value) in found.items() if name == self.header}
        return replace(batch, header=self.header, tenants=values)

    def exchange(self, policies: AnyPolicySet) -> None:
        self.pipeline.use_policies(policies, compile_plan(policies.span_conditions), self.settings)


@dataclass
class Log:
    """A broker with spans, their headers, and where each trace's spans must be found."""

    broker: Broker
    headers: dict[int, tuple[str, str]]
    expected: dict[str, dict[bytes, set[bytes]]]


def make_log(seed: int, traces: int) -> Log:
    """Traces of four records, one of them late in every fifth; of a tenant, an unknown one or none; some fail."""
    rng = random.Random(seed)
    records: list[tuple[int, bytes, str | None]] = []
    expected: dict[str, dict[bytes, set[bytes]]] = {"acme-topic": {}, "globex-topic": {}, "": {}}
    for number in range(traces):
        begin_ms, trace_id, tenant, error = 1000 + 60 * number, rng.randbytes(16), rng.choice(NAMES), rng.random() < 0.4
        times = [begin_ms, *(begin_ms + rng.randrange(500) for _ in range(3))]
        if number % 5 == 0:
            times[3] = begin_ms + 3000
        ids = [rng.randbytes(8) for _ in times]
        for index, (at_ms, span_id) in enumerate(zip(times, ids, strict=True)):
            data = TracesData()
            span = data.resource_spans.add().scope_spans.add().spans.add(trace_id=trace_id, span_id=span_id, name="op")
            if error and index == 1:
                span.status.code = span.status.STATUS_CODE_ERROR
            # One record of a trace suffices to name its tenant; it is not late.
            records.append((at_ms, data.SerializeToString(), tenant if index == 2 or rng.random() < 0.5 else None))
        if tenant == "acme" or error:
            place = f"{tenant}-topic" if tenant in ("acme", "globex") else ""
            expected[place][trace_id] = set(ids)
    records.sort(key=lambda record: record[0])
    log = [(offset, at_ms, value) for offset, (at_ms, value, _) in enumerate(records)]
    headers = {offset: ("X-Tenant", name) for offset, (_, _, name) in enumerate(records) if name is not None}
    return Log(Broker(log), headers, expected)


def found_in(broker: Broker) -> dict[str, dict[bytes, set[bytes]]]:
    places = {"acme-topic": [], "globex-topic": [], **broker.routed, "": broker.sampled}
    return {
        place: {trace_id: set(spans) for trace_id, spans in spans_in(payloads).items()}
        for place, payloads in places.items()
    }


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["fetch", "lose", "delay"]), st.integers(1, 60)),
        st.tuples(st.just("acknowledge"), st.integers(1, 20)),
        st.tuples(st.sampled_from(["refuse", "commit", "reload", "crash"]), st.integers(0, 10)),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), STEPS)
def test_every_trace_is_found_whole_in_the_topic_of_its_tenant(seed: int, steps: list[tuple[str, int]]) -> None:
    """Whatever is lost, refused, read again or exchanged; late spans are with their trace."""
    it = make_log(seed, 60)
    worker = HeaderWorker(it.broker, 1, headers=it.headers)
    for step, amount in steps:
        match step:
            case "fetch" | "lose" | "delay":
                worker.fetch(amount, lost=step == "lose", delayed=step == "delay")
            case "acknowledge":
                worker.acknowledge(amount)
            case "refuse" if worker.in_flight:
                worker.acknowledge(1, refused=True)
            case "commit":
                worker.commit()
            case "reload":
                # The same policies, by conditions in another order: pending traces are scanned again.
                extra = build_policy_set([ERRORS, {**ALL, "name": f"n{amount}", "type": "latency",
                                                   "latency": {"threshold_ms": 10**9 + amount}}])  # fmt: skip
                members = tenants().tenants
                worker.exchange(TenantPolicySets(extra, members[:: 1 if amount % 2 else -1], header="X-Tenant"))
            case "crash":
                worker.acknowledge(min(amount, len(worker.in_flight)))
                worker = HeaderWorker(it.broker, worker.generation + 1, headers=it.headers)
    worker.finish()
    assert found_in(it.broker) == it.expected


def test_a_batch_that_was_fetched_without_the_header_is_read_again() -> None:
    """So that from a reload on every record is seen with the header that names tenants now."""
    it = make_log(5, 40)
    worker = HeaderWorker(it.broker, 1, headers=it.headers, sets=build_policy_set([ERRORS]))
    worker.fetch(len(it.broker.log), delayed=True)
    worker.exchange(tenants())
    worker.fetch(0)
    assert all(len(engine.table) == 0 for engine in worker.pipeline.engines)
    worker.finish()
    assert found_in(it.broker) == it.expected


def test_the_source_is_told_which_header_to_read() -> None:
    """At the start, and whenever the policies change."""
    it = make_log(5, 1)
    worker = HeaderWorker(it.broker, 1, headers=it.headers)
    assert worker.header == "X-Tenant"
    worker.exchange(tenants("Other"))
    assert worker.header == "Other"
    worker.exchange(build_policy_set([ALL]))
    assert worker.header == ""


def message(offset: int, headers: Any) -> Message:
    return Message(topic="t", partition=3, offset=offset, value=b"v", headers=headers)


@pytest.mark.parametrize(
    ("headers", "value"),
    [
        (None, None),
        ([], None),
        ([("x-tenant", b"acme")], None),
        ([("X-Tenant", None)], None),
        ([("X-Tenant", b"acme")], "acme"),
        ([("a", b"b"), ("X-Tenant", b"first"), ("X-Tenant", b"last"), ("c", b"d")], "last"),
        ([("X-Tenant", b"\xff\xc3\xbc")], "\ufffd\u00fc"),
        ([("X-Tenant", b"")], ""),
    ],
)
def test_header_values(headers: Any, value: str | None) -> None:
    """By the exact name; the last of several; what is no UTF-8 is no known tenant."""
    found = header_values([message(7, headers)], "X-Tenant")
    assert found == ({} if value is None else {3: {7: value}})


def test_metrics_have_the_tenant() -> None:
    """Labels are names of tenants in the policy file, never values that came with spans."""
    names = {spec.name: spec.labels for spec in WorkerMetrics(CollectorRegistry()).specs()}
    assert names["tailsampler_tenant_traces_total"] == ("tenant", "decision")
    it = make_log(9, 60)
    worker = HeaderWorker(it.broker, 1, headers=it.headers)
    worker.finish()
    counts = worker.pipeline.take_counts()
    assert {tenant for tenant, _ in counts.tenant_traces} == {"acme", "globex"}
    assert counts.tenant_traces["acme", "sampled"] == len(it.expected["acme-topic"])
