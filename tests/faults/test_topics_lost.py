"""Things that operators delete: the span topic, the group's offsets."""

from __future__ import annotations

from tests.faults.stage import Stage
from tests.harness.process import wait_until


def test_topic_deleted_and_created_again(stage: Stage) -> None:
    """The span topic vanishes under a running worker and comes back empty: what comes then is sampled as ever."""
    with stage.tier() as tier:
        tier.start_worker()
        with stage.load(12):
            pass
        tier.wait_decided()
        before = stage.kafka.read_all(tier.topics["spans"])
        stage.kafka.delete_topic(tier.topics["spans"])
        tier.create_topic("spans")
        with stage.load(20) as load:
            load.until(6)
            stage.strike()
        stage.finish("topic deleted and created again", before=before)


def test_topic_replaced_while_no_worker_ran(stage: Stage) -> None:
    """The same while the worker is away: the offsets that it had committed mean nothing in the new topic."""
    with stage.tier() as tier:
        tier.start_worker()
        with stage.load(15):
            pass
        tier.wait_decided()
        assert tier.workers[0].terminate(10) == 0
        before = stage.kafka.read_all(tier.topics["spans"])
        stage.kafka.delete_topic(tier.topics["spans"])
        tier.create_topic("spans")
        with stage.load(20) as load:
            load.until(4)
            stage.strike()
            tier.workers[0].start()
        stage.finish("topic replaced while no worker ran", before=before)


def test_offsets_deleted(stage: Stage) -> None:
    """The group's offsets are gone: the topic is read from its beginning, and what was decided is not written again."""
    with stage.tier() as tier:
        tier.start_worker()
        with stage.load(25) as load:
            load.until(10)
            stage.strike()
            assert tier.workers[0].terminate(10) == 0
            admin = stage.kafka.admin_client
            admin.delete_consumer_groups([tier.group])[tier.group].result(30)
            wait_until(lambda: not stage.kafka.committed(tier.group, tier.topics["spans"]), 10, "no offsets")
            tier.workers[0].start()
        stage.finish("offsets deleted")
