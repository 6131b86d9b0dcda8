"""Brokers that are there and take nothing: too few copies, records that are too large."""

from __future__ import annotations

from tests.faults.stage import Stage
from tests.harness.process import wait_until
from tests.harness.tier import Tier

FAILURES = "tailsampler_output_failures_total"
BATCH_LIMIT_BYTES = 4200


def failures(tier: Tier, error: str) -> float:
    """How many outputs of the first worker were refused so."""
    return tier.metric(0, FAILURES, f'{{error="{error}"}}')


def test_sampled_topic_refuses_and_takes_again(stage3: Stage) -> None:
    """For want of a copy every output is refused while a broker is away: all are kept, and written when it is back."""
    with stage3.tier(copies=3) as tier:
        tier.start_worker()
        kafka, sampled = stage3.kafka, tier.topics["sampled"]
        kafka.alter_topic(sampled, {"min.insync.replicas": "3"})
        away = ({0, 1, 2} - {kafka.coordinator(tier.group), kafka.controller}).pop()
        with stage3.load(35) as load:
            load.until(6)
            stage3.crash(0)
            stage3.strike()
            kafka.kill_broker(away)
            # The client asks again for as long as an output may take, and tells then that its time is over.
            wait_until(
                lambda: failures(tier, "msg_timed_out") + failures(tier, "not_enough_replicas") > 0, 30, "a refusal",
                tier.workers[0].output,
            )  # fmt: skip
            load.until(20)
            kafka.start_broker(away)
        stage3.finish("sampled topic refuses: too few copies")


def test_two_of_three_brokers_stopped(stage3: Stage) -> None:
    """Of three copies of everything, two must be in sync: with one broker nothing is taken. Both come back."""
    with stage3.tier(copies=3) as tier:
        tier.start_worker()
        with stage3.load(45) as load:
            load.until(8)
            stage3.crash(0)
            stage3.strike()
            for broker in (1, 2):
                stage3.kafka.kill_broker(broker)
            load.until(16)
            stage3.kafka.start_broker(1)
            load.until(26)
            stage3.kafka.start_broker(2)
        stage3.finish("two of three brokers stopped")


def test_sampled_topic_takes_only_small_records(stage: Stage) -> None:
    """Its limit is lowered far below what the worker was told: batches shrink until they are taken."""
    with stage.tier() as tier:
        tier.start_worker()
        with stage.load(20) as load:
            load.until(6)
            stage.strike()
            stage.kafka.alter_topic(tier.topics["sampled"], {"max.message.bytes": str(BATCH_LIMIT_BYTES)})
        stage.finish("sampled topic takes only small records")
        assert failures(tier, "msg_size_too_large") > 0
        assert "reading again" not in tier.workers[0].output()
