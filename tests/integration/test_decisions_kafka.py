"""Decisions on a real Kafka: copies on other workers, and partitions shared out so that nobody is without work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from rocksdict import AccessType, Options, Rdict

from tests.harness.kafka import KafkaCluster
from tests.harness.process import wait_until
from tests.harness.tier import Tier
from tests.harness.traffic import plan_traces, publish, read_sampled

pytestmark = pytest.mark.kafka

POLICIES = {
    "decision_wait": "3s",
    "policies": [{"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}],
}
PARTITIONS = 4
RECORD_KEY_BYTES = 18


@pytest.fixture
def tier(kafka: KafkaCluster, topics: Callable[[str], str], tmp_path: Path) -> Tier:
    """A tier whose topics are this test's own."""
    return Tier(kafka, topics("t"), tmp_path, POLICIES, partitions=PARTITIONS)


def held_on_disk(folder: Path) -> dict[int, set[bytes]]:
    """The keys of decision records in the databases below a folder, by partition; nobody may have them open."""
    found: dict[int, set[bytes]] = {}
    for path in folder.rglob("decisions-*.db"):
        db = Rdict(str(path), options=Options(raw_mode=True), access_type=AccessType.read_only())
        found[int(path.stem.rsplit("-", 1)[1])] = {key for key in db.keys() if len(key) == RECORD_KEY_BYTES}  # noqa: SIM118
        db.close()
    return found


def recorded(tier: Tier) -> dict[int, set[bytes]]:
    """The keys of decision records in the changelog, by partition."""
    found: dict[int, set[bytes]] = {}
    for record in tier.kafka.read_all(tier.topics["decisions"]):
        if record.value is not None:
            assert record.key is not None
            found.setdefault(record.partition, set()).add(record.key)
    return found


def test_another_worker_has_every_decision_on_its_disk(tier: Tier, tmp_path: Path) -> None:
    """It follows while decisions are made: of the partitions of both workers it has every record but the very last."""
    traces = plan_traces(600, seed=6)
    with tier:
        tier.start_worker()
        tier.start_worker()
        wait_until(lambda: tier.metric(1, "tailsampler_partitions_assigned") == 2, 60, "a share for the second worker")
        publish(tier.kafka.bootstrap, tier.topics["spans"], PARTITIONS, traces, 100.0)
        tier.wait_decided()
        assert tier.workers[1].terminate() == 0
        own = held_on_disk(tmp_path / "worker-1")
        wanted = recorded(tier)
    assert wanted.keys() == own.keys() == set(range(PARTITIONS))
    for partition, keys in wanted.items():
        assert len(keys) >= 4
        assert len(keys - own[partition]) <= 1


def test_no_worker_is_without_work_where_partitions_cannot_be_shared_out_evenly(tier: Tier) -> None:
    """Three workers of four partitions have two, one and one; nothing is lost over the joining."""
    traces = plan_traces(900, seed=7)
    with tier:
        tier.start_worker()
        events = [(1.0, lambda: tier.start_worker(wait=False)), (4.0, lambda: tier.start_worker(wait=False))]
        publish(tier.kafka.bootstrap, tier.topics["spans"], PARTITIONS, traces, 100.0, during=events)
        for number in range(3):
            tier.wait_ready(number)

        def shares() -> list[float]:
            return sorted(tier.metric(number, "tailsampler_partitions_assigned") for number in range(3))

        wait_until(lambda: shares() == [1, 1, 2], 30, "two, one and one partition")
        tier.wait_decided()
        found = read_sampled(tier.kafka.read_all(tier.topics["sampled"]))
    kept = {trace.trace_id: trace.span_ids for trace in traces if any(span.error for span in trace.spans)}
    assert {trace_id: set(spans) for trace_id, spans in found.spans.items()} == kept
    assert found.duplicated() == 0
