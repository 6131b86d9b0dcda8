"""The worker as a process on real Kafka: what should be kept is there, whole and once, whatever happens meanwhile."""

from __future__ import annotations

import signal
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from confluent_kafka import Producer

from tests.harness.kafka import KafkaCluster
from tests.harness.process import wait_until
from tests.harness.tier import Tier
from tests.harness.traffic import TraceSpec, plan_traces, publish, read_sampled

pytestmark = pytest.mark.kafka

ERRORS = {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}
HEALTH = {"name": "route", "type": "string_attribute", "string_attribute": {"key": "http.route", "values": ["/health"]}}
NOT_PROD = {
    "name": "not-prod",
    "type": "string_attribute",
    "string_attribute": {"key": "deployment.environment", "values": ["prod"], "invert_match": True},
}
POLICIES = {
    "decision_wait": "3s",
    "policies": [
        ERRORS,
        {"name": "no-health-checks", "type": "drop", "drop": {"drop_sub_policy": [HEALTH]}},
        NOT_PROD,
        {"name": "not-cart", "type": "not", "not": {"not_sub_policy": {**HEALTH, "string_attribute": {
            "key": "http.route", "values": ["/cart", "/health"]}}}},
    ],
}  # fmt: skip
TRACES_PER_S = 150.0


def expected(traces: Sequence[TraceSpec]) -> dict[bytes, set[bytes]]:
    """What the policies above keep, from the plan alone: errors and staging, but no health check."""
    kept = {}
    for trace in traces:
        attributes = dict(trace.spans[0].attributes)
        wanted = any(span.error for span in trace.spans) or attributes["deployment.environment"] != "prod"
        if wanted and attributes["http.route"] != "/health":
            kept[trace.trace_id] = trace.span_ids
    return kept


def check(tier: Tier, traces: Sequence[TraceSpec], *, most_duplicates: int) -> None:
    """Every trace that should be kept is in the sampled topic, whole, and no other."""
    found, kept = read_sampled(tier.kafka.read_all(tier.topics["sampled"])), expected(traces)
    assert len(kept) > len(traces) // 10
    assert found.trace_ids - kept.keys() == set()
    assert kept.keys() - found.trace_ids == set()
    partial = {t.hex(): len(ids - set(found.spans[t])) for t, ids in kept.items() if ids != set(found.spans[t])}
    assert partial == {}
    assert found.duplicated() <= most_duplicates


@pytest.fixture
def tier(kafka: KafkaCluster, topics: Callable[[str], str], tmp_path: Path) -> Tier:
    """A tier whose topics are this test's own."""
    return Tier(kafka, topics("t"), tmp_path, POLICIES)


def test_kept_traces_leave_whole_once_and_annotated(tier: Tier) -> None:
    """Without faults nothing is lost, split or written twice; every kept span says which policy kept it."""
    traces = plan_traces(600, seed=1)
    with tier:
        tier.start_worker()
        publish(tier.kafka.bootstrap, tier.topics["spans"], tier.partitions, traces, TRACES_PER_S)
        tier.wait_decided()
        check(tier, traces, most_duplicates=0)
        found = read_sampled(tier.kafka.read_all(tier.topics["sampled"]))
        assert {tuple(sorted(a)) for a in found.attributes.values()} <= {
            (("sampling.policy", "errors"), ("sampling.rate", "1.0")),
            (("sampling.policy", "not-prod"), ("sampling.rate", "1.0")),
        }
        assert tier.metric(0, "tailsampler_spans_received_total") == 600 * 9
        assert tier.metric(0, "tailsampler_mispartitioned_spans_total") == 0
        assert tier.workers[0].terminate() == 0


def test_spans_that_come_after_the_decision_follow_it(
    kafka: KafkaCluster, topics: Callable[[str], str], tmp_path: Path
) -> None:
    """A late span of a kept trace leaves with the same annotations; one of a dropped trace does not."""
    traces = plan_traces(300, seed=2, spread_s=0.5, late_after_s=5.0)
    with Tier(kafka, topics("t"), tmp_path, {**POLICIES, "decision_wait": "2s"}) as tier:
        tier.start_worker()
        publish(kafka.bootstrap, tier.topics["spans"], tier.partitions, traces, TRACES_PER_S)
        tier.wait_decided()
        check(tier, traces, most_duplicates=0)
        assert tier.metric(0, "tailsampler_late_spans_total", '{decision="sampled"}') > 10
        assert tier.metric(0, "tailsampler_late_spans_total", '{decision="dropped"}') > 5


@pytest.mark.parametrize("same_disk", [True, False])
def test_kill_9_loses_and_splits_nothing(tier: Tier, same_disk: bool) -> None:
    """A worker that is killed in the middle and started again, on its disk or on an empty one, finishes what was begun.

    Spans of traces that were decided before the kill come after it, and follow. What leaves twice is at most what was
    not yet acknowledged: about a tick of each partition.
    """
    traces = plan_traces(1500, seed=3, late_after_s=6.0)

    def kill() -> None:
        tier.workers[0].kill()
        if same_disk:
            tier.workers[0].start()
        else:
            tier.start_worker(wait=False)

    with tier:
        tier.start_worker()
        events = [(5.0, kill)]
        publish(tier.kafka.bootstrap, tier.topics["spans"], tier.partitions, traces, TRACES_PER_S, during=events)
        tier.wait_decided()
        check(tier, traces, most_duplicates=40)


def test_outputs_refused_for_a_while_are_written_when_they_are_accepted(tier: Tier) -> None:
    """While the sampled topic takes nothing, nothing is committed; when it does, all is there without another span."""
    traces = plan_traces(600, seed=6)
    with tier:
        tier.kafka.alter_topic(tier.topics["sampled"], {"max.message.bytes": "60"})
        tier.start_worker()
        publish(tier.kafka.bootstrap, tier.topics["spans"], tier.partitions, traces, TRACES_PER_S)
        tier.workers[0].wait_for_log("an output was refused")
        assert tier.kafka.read_all(tier.topics["sampled"]) == []
        tier.kafka.alter_topic(tier.topics["sampled"], {"max.message.bytes": "1048588"})
        tier.wait_decided()
        check(tier, traces, most_duplicates=len(traces))


def test_a_worker_that_was_stopped_for_longer_than_its_session_contradicts_nobody(tier: Tier) -> None:
    """SIGSTOP, another worker takes over, SIGCONT: the first one drops what it held instead of deciding it."""
    traces = plan_traces(2500, seed=8)

    def stop() -> None:
        tier.workers[0].signal(signal.SIGSTOP)

    def go_on() -> None:
        tier.workers[0].signal(signal.SIGCONT)

    with tier:
        tier.start_worker()
        tier.start_worker()
        events = [(4.0, stop), (13.0, go_on)]
        publish(tier.kafka.bootstrap, tier.topics["spans"], tier.partitions, traces, TRACES_PER_S, during=events)
        tier.wait_decided()
        check(tier, traces, most_duplicates=100)


def test_a_rebalance_in_the_middle_loses_and_splits_nothing(tier: Tier) -> None:
    """A second worker joins under load, later the first one is stopped: partitions move twice."""
    traces = plan_traces(2000, seed=4)

    def join() -> None:
        tier.start_worker(wait=False)

    def leave() -> None:
        tier.workers[0].signal(signal.SIGTERM)

    with tier:
        tier.start_worker()
        events = [(3.0, join), (9.0, leave)]
        publish(tier.kafka.bootstrap, tier.topics["spans"], tier.partitions, traces, TRACES_PER_S, during=events)
        tier.wait_decided()
        check(tier, traces, most_duplicates=0)
        assert tier.workers[0].wait(20) == 0


def test_records_that_are_not_otlp_go_to_the_dead_letter_topic(tier: Tier) -> None:
    """Bad input is put aside whole, with where it came from and what is wrong, and takes nothing else with it."""
    traces = plan_traces(100, seed=5)
    with tier:
        tier.start_worker()
        producer = Producer({"bootstrap.servers": tier.kafka.bootstrap})
        for partition in range(tier.partitions):
            producer.produce(tier.topics["spans"], b"\x0a\xffnot otlp", partition=partition)
        producer.flush(10)
        publish(tier.kafka.bootstrap, tier.topics["spans"], tier.partitions, traces, TRACES_PER_S)
        tier.wait_decided()
        check(tier, traces, most_duplicates=0)
        letters = tier.kafka.read_all(tier.topics["dead_letter"])
        assert [letter.value for letter in letters] == [b"\x0a\xffnot otlp"] * tier.partitions
        headers = dict(letters[0].headers)
        assert headers["tailsampler.topic"] == tier.topics["spans"].encode()
        assert b"at byte 1" in (headers["tailsampler.error"] or b"")
        assert headers["tailsampler.offset"] == b"0"


def test_readiness_tells_the_truth(kafka: KafkaCluster, topics: Callable[[str], str], tmp_path: Path) -> None:
    """A worker without a partition lives but is not ready, says why, and becomes ready when it gets one."""
    traces = plan_traces(50, seed=9)
    with Tier(kafka, topics("t"), tmp_path, POLICIES, partitions=1) as tier:
        tier.start_worker()
        tier.start_worker(wait=False)
        wait_until(lambda: sorted(status(tier, n, "readyz")[0] for n in (0, 1)) == [200, 503], 30, "one of two ready")
        idle = next(n for n in (0, 1) if status(tier, n, "readyz")[0] == 503)
        wait_until(lambda: "no partition assigned" in status(tier, idle, "readyz")[1], 30, "the reason")
        assert status(tier, idle, "livez")[0] == 200
        publish(kafka.bootstrap, tier.topics["spans"], 1, traces, TRACES_PER_S)
        tier.wait_decided()
        assert tier.workers[1 - idle].terminate() == 0
        tier.wait_ready(idle)
        check(tier, traces, most_duplicates=0)


def status(tier: Tier, number: int, path: str) -> tuple[int, str]:
    """What a worker answers on /livez or /readyz; 0 while it does not listen yet."""
    try:
        with urllib.request.urlopen(f"{tier.url(number)}/{path}?verbose", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""
