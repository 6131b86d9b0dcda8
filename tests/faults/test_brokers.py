"""Three brokers with three copies of everything, of which one is killed or given other partitions."""

from __future__ import annotations

import json
from collections.abc import Callable

from confluent_kafka import ElectionType, TopicPartition

from tests.faults.stage import PARTITIONS, Stage
from tests.harness.process import wait_until
from tests.harness.tier import Tier


def test_broker_kill_and_restart(stage3: Stage) -> None:
    """The broker that coordinates the group is killed, and comes back ten seconds later."""
    with stage3.tier(copies=3) as tier:
        tier.start_worker()
        with stage3.load(35) as load:
            load.until(8)
            _kill_and_restart(stage3, stage3.kafka.coordinator(tier.group), lambda: load.until(18))
        stage3.finish("broker kill and restart")


def test_controller_kill(stage3: Stage) -> None:
    """The active controller is killed, and comes back ten seconds later."""
    with stage3.tier(copies=3) as tier:
        tier.start_worker()
        controller = stage3.kafka.controller
        with stage3.load(35) as load:
            load.until(8)
            _kill_and_restart(stage3, controller, lambda: load.until(18))
        stage3.finish("controller kill")


def test_partition_reassignment(stage3: Stage) -> None:
    """All partitions of all topics move to other brokers, leaders included."""
    with stage3.tier(copies=2) as tier:
        tier.start_worker()
        with stage3.load(30) as load:
            load.until(8)
            stage3.strike()
            _move_all(stage3, tier)
        stage3.finish("partition reassignment")


def _kill_and_restart(stage: Stage, broker: int, wait: Callable[[], None]) -> None:
    # The lease may end before the group has a new coordinator: what was under way then is thrown away and repeated.
    stage.crash(0)
    stage.strike()
    stage.kafka.kill_broker(broker)
    wait()
    stage.kafka.start_broker(broker)


def _move_all(stage: Stage, tier: Tier) -> None:
    """Give every partition to the next two brokers, and wait until they have them."""
    wanted = {p: [1 + (p + 1) % 3, 1 + (p + 2) % 3] for p in range(PARTITIONS)}
    names = [tier.topics[name] for name in ("spans", "sampled", "decisions")]
    plan = [{"topic": name, "partition": p, "replicas": replicas} for name in names for p, replicas in wanted.items()]
    file = stage.folder / "plan.json"
    file.write_text(json.dumps({"version": 1, "partitions": plan}))
    command = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"
    stage.kafka.tool(command, "--reassignment-json-file", str(file), "--execute")

    def moved() -> bool:
        topics = stage.kafka.admin_client.list_topics(timeout=10).topics
        return all(topics[name].partitions[p].replicas == wanted[p] for name in names for p in wanted)

    wait_until(moved, 60, "the partitions on their new brokers")
    elected = stage.kafka.admin_client.elect_leaders(
        ElectionType.PREFERRED, [TopicPartition(name, p) for name in names for p in wanted]
    )
    elected.result(30)
