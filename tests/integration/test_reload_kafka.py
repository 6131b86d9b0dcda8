"""Policies are exchanged under traffic on real Kafka: good ones are taken, a bad one is told, nothing is lost."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.harness.kafka import KafkaCluster
from tests.harness.process import sampler_process, wait_until
from tests.harness.tier import Tier
from tests.harness.traffic import Found, TraceSpec, plan_traces, publish, read_sampled

pytestmark = pytest.mark.kafka

WAIT_S = 2.0
SLACK_S = 1.5
"""How much later than its wait a trace may be decided here: a tick, the idleness of a partition, a busy machine."""
WORKERS = (0, 1)


def attribute(name: str, key: str, value: str) -> dict[str, Any]:
    return {"name": name, "type": "string_attribute", "string_attribute": {"key": key, "values": [value]}}


def policies(version: str, *specs: Mapping[str, Any]) -> dict[str, Any]:
    """A policy file whose policies carry its version in their names, so that a kept span tells who kept it."""
    named = [{**spec, "name": f"{version}-{spec['name']}"} for spec in specs]
    return {"version": version, "decision_wait": f"{WAIT_S:g}s", "policies": named}


ERRORS = {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}
SETS = {
    "v1": policies("v1", ERRORS),
    "v2": policies("v2", attribute("health", "http.route", "/health")),
    "v3": policies("v3", attribute("staging", "deployment.environment", "staging"), ERRORS),
}


def wanted(version: str, trace: TraceSpec) -> bool:
    """What each of the sets above keeps, from the plan of the traffic alone."""
    attributes = dict(trace.spans[0].attributes)
    error = any(span.error for span in trace.spans)
    match version:
        case "v1":
            return error
        case "v2":
            return attributes["http.route"] == "/health"
        case _:
            return error or attributes["deployment.environment"] == "staging"


class Exchange:
    """Replaces the policy file of a tier, and notes when each set can have begun and has surely begun to run."""

    def __init__(self, tier: Tier) -> None:
        self.tier = tier
        self.begun: dict[str, float] = {"v1": 0.0}
        self.everywhere: dict[str, float] = {"v1": 0.0}

    def write(self, version: str) -> None:
        self.begun[version] = time.time()
        self.tier.write_policies(json.dumps({"tail_sampling/shop": SETS[version]}))

    def await_everywhere(self, version: str) -> None:
        wait_until(lambda: all(self.running(n)["version"] == version for n in WORKERS), 10, f"{version} on all workers")
        self.everywhere[version] = time.time()

    def running(self, number: int) -> dict[str, Any]:
        """What a worker says of its policies."""
        with urllib.request.urlopen(f"{self.tier.url(number)}/status", timeout=5) as answer:
            section: dict[str, Any] = json.load(answer)["policies"]
            return section

    def may_have_decided(self, version: str, first_s: float) -> bool:
        """Whether a trace whose first span came then can have been decided while a set ran somewhere."""
        versions = list(self.begun)
        later = versions[versions.index(version) + 1 :]
        ended = self.everywhere[later[0]] if later else float("inf")
        return self.begun[version] <= first_s + WAIT_S + SLACK_S and first_s + WAIT_S <= ended


def first_seen(tier: Tier) -> dict[bytes, float]:
    """When the broker took the first record of each trace, by its key."""
    seen: dict[bytes, float] = {}
    for record in tier.kafka.read_all(tier.topics["spans"]):
        assert record.key is not None
        at_s = record.timestamp_ms / 1000
        seen[record.key] = min(at_s, seen.get(record.key, at_s))
    return seen


def check(traces: list[TraceSpec], found: Found, exchange: Exchange, seen: Mapping[bytes, float]) -> None:
    """Every trace is decided once, whole, by a set that ran when it was due, and as that set says."""
    kept_by: dict[str, int] = dict.fromkeys(SETS, 0)
    for trace in traces:
        first_s = seen[trace.trace_id.hex().encode()]
        possible = [version for version in exchange.begun if exchange.may_have_decided(version, first_s)]
        assert 1 <= len(possible) <= 2
        if trace.trace_id not in found.spans:
            assert not all(wanted(version, trace) for version in possible)
            continue
        assert set(found.spans[trace.trace_id]) == trace.span_ids
        ((_, decider),) = (mark for mark in found.attributes[trace.trace_id] if mark[0] == "sampling.policy")
        version = decider.partition("-")[0]
        assert version in possible
        assert wanted(version, trace)
        kept_by[version] += 1
    assert found.trace_ids <= {trace.trace_id for trace in traces}
    assert found.duplicated() == 0
    assert min(kept_by.values()) > 10


def test_policies_are_exchanged_while_traffic_flows(
    kafka: KafkaCluster, topics: Callable[[str], str], tmp_path: Path
) -> None:
    """A good file, a bad one, another good one: each trace is decided by what runs, and what is wrong is told."""
    traces = plan_traces(1500, seed=11)
    settings = {"policies_reload_interval": "200ms"}
    with Tier(kafka, topics("t"), tmp_path, SETS["v1"], worker=settings) as tier:
        exchange = Exchange(tier)
        tier.start_worker(wait=False)
        tier.start_worker()
        tier.wait_ready(0)

        def spoil() -> None:
            tier.write_policies("tail_sampling:\n  policies:\n    - {name: x, type: latncy}\n")

        def is_told() -> None:
            for number, worker in enumerate(tier.workers):
                wait_until(lambda n=number: tier.metric(n, "tailsampler_policy_reload_failed") == 1, 10, "the failure")
                assert f"{tier.policies}:3: tail_sampling.policies[0].type:" in worker.output()
                assert "latncy" in exchange.running(number)["error_of_the_file"]
                assert exchange.running(number)["version"] == "v2"

        events: list[tuple[float, Callable[[], None]]] = [
            (4.0, lambda: exchange.write("v2")),
            (5.0, lambda: exchange.await_everywhere("v2")),
            (5.5, spoil),
            (6.5, is_told),
            (7.5, lambda: exchange.write("v3")),
            (8.5, lambda: exchange.await_everywhere("v3")),
        ]
        publish(kafka.bootstrap, tier.topics["spans"], tier.partitions, traces, 150.0, during=events)
        tier.wait_decided()
        found = read_sampled(kafka.read_all(tier.topics["sampled"]))
        check(traces, found, exchange, first_seen(tier))
        hashes = {exchange.running(number)["content_hash"] for number in WORKERS}
        assert len(hashes) == 1
        labels = f'{{hash="{hashes.pop()[:12]}",name="shop",version="v3"}}'
        for number in WORKERS:
            assert tier.metric(number, "tailsampler_policy_set_info", labels) == 1
            assert tier.metric(number, "tailsampler_policy_reloads_total", '{outcome="success"}') == 2
            assert tier.metric(number, "tailsampler_policy_reloads_total", '{outcome="failure"}') == 1
            assert tier.metric(number, "tailsampler_policy_reload_failed") == 0
            assert tier.metric(number, "tailsampler_traces_rescanned_total") > 10
            assert tier.workers[number].terminate() == 0


def test_the_same_mistake_ends_validate_with_2(tmp_path: Path) -> None:
    """What a running worker would refuse is told before, in the same words."""
    file = tmp_path / "policies.yaml"
    file.write_text("tail_sampling:\n  policies:\n    - {name: x, type: latncy}\n")
    process = sampler_process(["validate", str(file)], tmp_path / "log").start()
    assert process.wait(60) == 2
    assert f"{file}:3: tail_sampling.policies[0].type:" in process.output()
