"""What each process does with Kafka, as the ACLs that it needs."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

from sampler.config.models import Config
from sampler.topics.access import Need, Operation

Process: TypeAlias = Literal["agent", "worker", "exporter", "create"]
PROCESSES: Final[tuple[Process, ...]] = ("agent", "worker", "exporter", "create")


def needs_of(process: Process, config: Config, tenants: Sequence[str] = ()) -> tuple[Need, ...]:
    """The ACLs of a process; `create` is `tailsampler topics create`. `tenants` are the topics tenants write to.

    With `kafka.create_topics` every process looks at the settings of the topics, and makes missing ones.
    """
    kafka = config.kafka
    names = kafka.topics
    kept = (names.sampled, *tenants)
    everything = (names.spans, *kept, names.decisions, names.keyspace, names.dead_letter)
    needs: list[Need] = []
    if process == "agent":
        needs += _on((names.spans,), "Write")
        source = config.agent.kafka_source
        if source is not None:
            needs += [*_on(source.topics, "Read"), *_on((names.dead_letter,), "Write")]
            needs.append(Need("group", source.group_id, "Read"))
    elif process == "worker":
        needs += _on((names.spans,), "Read")
        needs += _on((names.decisions, names.keyspace), "Read", "Write")
        needs += _on((*kept, names.dead_letter), "Write")
        needs.append(Need("group", kafka.group_id, "Read"))
        if not kafka.create_topics:
            # For the metric of the lag against the topic's retention.
            needs.append(Need("topic", names.spans, "DescribeConfigs", required=False))
    elif process == "exporter":
        needs += _exporter(config, kept)
    if process == "create":
        needs += _on(everything, "Create", "Describe", "DescribeConfigs")
    elif kafka.create_topics:
        needs += _on(everything, "DescribeConfigs", "Describe")
    return tuple(dict.fromkeys(needs))


def commands(needs: Sequence[Need], principal: str, bootstrap: str) -> list[str]:
    """Lines for a shell that give a principal (`User:name`) these ACLs, one for each topic and group."""
    by_place: dict[tuple[str, str], list[str]] = {}
    for need in needs:
        by_place.setdefault((need.kind, need.name), []).append(need.operation)
    return [
        shlex.join(
            ["kafka-acls.sh", "--bootstrap-server", bootstrap, "--add", "--allow-principal", principal,
             *(part for operation in operations for part in ("--operation", operation)), f"--{kind}", name]
        )
        for (kind, name), operations in by_place.items()
    ]  # fmt: skip


def _exporter(config: Config, kept: Sequence[str]) -> list[Need]:
    """Those of every backend; topics that only a pattern names are not among them."""
    needs = _on((config.kafka.topics.dead_letter,), "Write")
    for backend in config.exporter.backends:
        named = [topic for topic in backend.topics if not topic.startswith("^")]
        needs += _on(named if backend.topics else kept, "Read")
        group = backend.group_id or f"{config.kafka.group_id}-exporter-{backend.name}"
        needs.append(Need("group", group, "Read"))
    return needs


def _on(topics: Sequence[str], *operations: Operation) -> list[Need]:
    return [Need("topic", topic, operation) for topic in topics for operation in operations]
