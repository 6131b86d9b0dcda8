"""Workers with a name of their own in the group, stopped and started again on their disks while spans come."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sampler.clock import monotonic_s
from tests.harness.kafka import KafkaCluster
from tests.harness.tier import Tier
from tests.harness.traffic import plan_traces, publish, read_sampled

pytestmark = pytest.mark.kafka

POLICIES = {
    "decision_wait": "4s",
    "policies": [{"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}],
}
STOP_S = 10.0


def test_a_rolling_restart_reads_and_writes_nothing_twice(
    kafka: KafkaCluster, topics: Callable[[str], str], tmp_path: Path
) -> None:
    """Each worker stops within ten seconds, comes back to its partitions and goes on with the traces on its disk."""
    traces = plan_traces(1500, seed=8)
    stops_s: list[float] = []
    with Tier(kafka, topics("r"), tmp_path, POLICIES, session_timeout="30s") as tier:
        for name in ("one", "two"):
            tier.start_worker(worker={"group_instance_id": name})

        def restart(number: int) -> None:
            began_s = monotonic_s()
            assert tier.workers[number].terminate() == 0
            stops_s.append(monotonic_s() - began_s)
            tier.workers[number].start()

        publish(
            kafka.bootstrap, tier.topics["spans"], tier.partitions, traces, 150.0,
            during=[(3.0, lambda: restart(0)), (6.0, lambda: restart(1))],
        )  # fmt: skip
        tier.wait_decided()
        found = read_sampled(kafka.read_all(tier.topics["sampled"]))
        logs = [worker.output() for worker in tier.workers]
    kept = {trace.trace_id: trace.span_ids for trace in traces if any(span.error for span in trace.spans)}
    assert {trace_id: set(spans) for trace_id, spans in found.spans.items()} == kept
    assert found.duplicated() == 0
    assert max(stops_s) < STOP_S
    for log in logs:
        assert log.count("undecided traces from the checkpoint") == tier.partitions // 2
