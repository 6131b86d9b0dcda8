"""Tells where existing topics differ from what the product needs, what that means and how to end it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sampler.topics.specs import BATCH_OVERHEAD_BYTES, Role, TopicSpec

UNLIMITED = "-1"
"""Kafka's word for no limit in `retention.ms`."""


@dataclass(frozen=True, slots=True)
class ExistingTopic:
    """A topic as the brokers describe it, every setting included."""

    partitions: int
    replication_factor: int
    config: Mapping[str, str]


class Severity(enum.Enum):
    """Whether the product can work with a finding."""

    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """A difference that matters: what is found, what it means, and the command that ends it."""

    topic: str
    severity: Severity
    setting: str
    found: str
    wanted: str
    meaning: str
    remedy: str

    def __str__(self) -> str:
        """One paragraph for a person."""
        return (
            f"{self.severity.value}: topic {self.topic}: {self.setting} is {self.found}, wanted {self.wanted}: "
            f"{self.meaning} Remedy: {self.remedy}"
        )


def compare(
    specs: Sequence[TopicSpec], existing: Mapping[str, ExistingTopic], decision_wait_ms: int = 0
) -> tuple[Finding, ...]:
    """The findings, from descriptions alone; topics in the order of `specs`."""
    spans = next((existing.get(spec.name) for spec in specs if spec.role is Role.SPANS), None)
    findings: list[Finding] = []
    for spec in specs:
        topic = existing.get(spec.name)
        if topic is None:
            findings.append(_missing(spec))
            continue
        context = _Context(spec, topic, spans, decision_wait_ms)
        findings.extend(found for check in _CHECKS if (found := check(context)) is not None)
    return tuple(findings)


@dataclass(frozen=True, slots=True)
class _Context:
    """What a check looks at: one topic as wanted and as found, the topic of the spans, and the decision wait."""

    spec: TopicSpec
    topic: ExistingTopic
    spans: ExistingTopic | None
    decision_wait_ms: int

    def finding(
        self,
        setting: str,
        found: object,
        wanted: object,
        meaning: str,
        severity: Severity = Severity.WARNING,
        remedy: str | None = None,
    ) -> Finding:
        """A finding about this topic; without a remedy, the command that sets `setting` to `wanted`."""
        name = self.spec.name
        command = remedy or f"kafka-configs.sh --alter --topic {name} --add-config {setting}={wanted}"
        return Finding(name, severity, setting, str(found), str(wanted), meaning, command)

    def number(self, setting: str) -> int | None:
        """A numeric setting; None where the brokers do not tell it."""
        value = self.topic.config.get(setting, "")
        return int(value) if value.lstrip("-").isdigit() else None


def _missing(spec: TopicSpec) -> Finding:
    """The finding about a topic that is not there."""
    meaning = f"the {spec.role.value} of the product have no place."
    return Finding(
        spec.name, Severity.ERROR, "partitions", "none", str(spec.partitions), meaning, "tailsampler topics create"
    )


def _partitions(context: _Context) -> Finding | None:
    """Fewer partitions than wanted limit the workers; for the decisions the number must be that of the spans."""
    spec, found = context.spec, context.topic.partitions
    if spec.role is Role.DECISIONS:
        wanted = context.spans.partitions if context.spans else spec.partitions
        if found == wanted:
            return None
        meaning = "a worker keeps the decisions of the partitions whose spans it reads, so both numbers must be equal."
        more = f"kafka-topics.sh --alter --topic {spec.name} --partitions {wanted}"
        fewer = (
            f"stop the workers, kafka-topics.sh --delete --topic {spec.name}, then tailsampler topics create "
            "(late spans of traces decided before are then decided anew)"
        )
        return context.finding("partitions", found, wanted, meaning, Severity.ERROR, more if found < wanted else fewer)
    if found >= spec.partitions:
        return None
    meaning = f"no more than {found} workers can share the load."
    remedy = f"kafka-topics.sh --alter --topic {spec.name} --partitions {spec.partitions}"
    if spec.role is Role.SPANS:
        remedy += " with agents and workers stopped and the topic read to its end, or traces under way are split"
    return context.finding("partitions", found, spec.partitions, meaning, remedy=remedy)


def _timestamps(context: _Context) -> Finding | None:
    """The clock of the deadlines is the timestamp of the records."""
    setting, wanted = "message.timestamp.type", "LogAppendTime"
    found = context.topic.config.get(setting, wanted)
    if context.spec.role is not Role.SPANS or found == wanted:
        return None
    meaning = "deadlines follow the clocks of the producers: one that is wrong makes traces be decided early or late."
    return context.finding(setting, found, wanted, meaning)


def _message_size(context: _Context) -> Finding | None:
    """A record of the size the product writes must be accepted."""
    setting = "max.message.bytes"
    found, wanted = context.number(setting), context.spec.config.get(setting)
    if found is None or wanted is None or found >= int(wanted) - BATCH_OVERHEAD_BYTES:
        return None
    return context.finding(setting, found, wanted, "the brokers refuse the largest records that the product writes.")


def _retention(context: _Context) -> Finding | None:
    """Spans must outlive the wait for their decision, and be there when a worker comes back."""
    setting = "retention.ms"
    found = context.number(setting)
    deletes = "delete" in context.topic.config.get("cleanup.policy", "delete")
    if context.spec.role is not Role.SPANS or not deletes or found is None or found < 0:
        return None
    if found > context.decision_wait_ms:
        return None
    wanted = context.spec.config.get(setting, UNLIMITED)
    meaning = f"spans are deleted before the decision wait of {context.decision_wait_ms} ms is over, and are lost."
    return context.finding(setting, found, wanted, meaning, Severity.ERROR)


def _cleanup(context: _Context) -> Finding | None:
    """Compacted topics lose old state where they delete by time; the others lose records where they compact."""
    setting = "cleanup.policy"
    found = context.topic.config.get(setting)
    if found is None:
        return None
    policies = {policy.strip() for policy in found.split(",")}
    if context.spec.role in {Role.DECISIONS, Role.KEYSPACE} and policies != {"compact"}:
        meaning = (
            "decisions are deleted by time, so that late spans and replays are decided anew."
            if context.spec.role is Role.DECISIONS
            else "the counts of quiet partitions are deleted by time, and rates follow only part of the tier."
        )
        return context.finding(setting, found, "compact", meaning)
    if context.spec.role in {Role.SPANS, Role.SAMPLED, Role.DEAD_LETTER} and "compact" in policies:
        meaning = (
            "of the records of one key only the last survives, and records without a key are refused: spans are lost."
        )
        return context.finding(setting, found, "delete", meaning, Severity.ERROR)
    return None


def _replicas(context: _Context) -> Finding | None:
    """More replicas demanded than there are means that nothing can be written."""
    setting = "min.insync.replicas"
    found = context.number(setting)
    if found is None or found <= context.topic.replication_factor or context.topic.replication_factor < 1:
        return None
    meaning = f"with {context.topic.replication_factor} replica(s) every write with acks=all is refused."
    return context.finding(setting, found, context.topic.replication_factor, meaning, Severity.ERROR)


_CHECKS: tuple[Callable[[_Context], Finding | None], ...] = (
    _partitions,
    _timestamps,
    _message_size,
    _retention,
    _cleanup,
    _replicas,
)
