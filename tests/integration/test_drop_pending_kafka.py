"""A worker that is to drop its undecided traces when it is told to stop, on a real Kafka."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.kafka import KafkaCluster
from tests.harness.process import wait_until
from tests.harness.tier import Tier
from tests.harness.traffic import plan_traces, publish, read_sampled

pytestmark = pytest.mark.kafka

ALL = {"name": "all", "type": "always_sample"}


def test_sigterm_drops_what_is_pending(kafka: KafkaCluster, topics: Callable[[str], str], tmp_path: Path) -> None:
    """It ends in time, all is committed, nothing is written, and the next worker has nothing to do with them."""
    policies = {"decision_wait": "600s", "drop_pending_traces_on_shutdown": True, "policies": [ALL]}
    traces = plan_traces(100, seed=1)
    with Tier(kafka, topics("t"), tmp_path, policies) as tier:
        worker = tier.start_worker()
        publish(kafka.bootstrap, tier.topics["spans"], tier.partitions, traces, 1000)
        sent = sum(len(trace.spans) for trace in traces)
        wait_until(
            lambda: tier.metric(0, "tailsampler_spans_received_total") == sent, 30, "all spans", worker.output
        )  # fmt: skip
        assert worker.terminate(10) == 0
        assert "dropped 100 undecided traces" in worker.output()
        ends = kafka.end_offsets(tier.topics["spans"])
        assert {p: o for p, o in kafka.committed(tier.group, tier.topics["spans"]).items() if o} == {
            p: end for p, end in ends.items() if end
        }
        tier.start_worker()
        assert read_sampled(kafka.read_all(tier.topics["sampled"])).trace_ids == set()
        assert tier.metric(1, "tailsampler_spans_received_total") == 0
