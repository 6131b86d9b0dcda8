"""What is said about topics that exist already, from descriptions alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sampler.topics import ExistingTopic, Role, Severity, TopicPlan, TopicSpec, compare

PLAN = TopicPlan(partitions=8, replication_factor=3, min_insync_replicas=2)
SPECS = {spec.role: spec for spec in PLAN.specs()}


def as_wanted() -> dict[str, ExistingTopic]:
    """All topics exactly as the plan makes them."""
    return {
        spec.name: ExistingTopic(spec.partitions, spec.replication_factor, dict(spec.config)) for spec in PLAN.specs()
    }


def test_topics_as_made_are_beyond_reproach() -> None:
    """The plan's own topics give no finding."""
    assert compare(PLAN.specs(), as_wanted(), decision_wait_ms=30_000) == ()


def test_the_plan_sets_what_the_worker_relies_on() -> None:
    """Spans carry the broker's time, decisions and key space are compacted and never deleted by time."""
    assert SPECS[Role.SPANS].config["message.timestamp.type"] == "LogAppendTime"
    assert SPECS[Role.DECISIONS].partitions == SPECS[Role.SPANS].partitions
    for role in (Role.DECISIONS, Role.KEYSPACE):
        assert SPECS[role].config["cleanup.policy"] == "compact"
        assert "retention.ms" not in SPECS[role].config


def test_what_is_not_set_is_left_to_the_brokers() -> None:
    """Without replicas in the plan, no topic names any."""
    for spec in TopicPlan().specs():
        assert spec.replication_factor == -1
        assert "min.insync.replicas" not in spec.config


DIFFERENCES = [
    (Role.SPANS, "message.timestamp.type", "CreateTime", Severity.WARNING, "clocks of the producers"),
    (Role.SPANS, "max.message.bytes", "65536", Severity.WARNING, "refuse the largest records"),
    (Role.SAMPLED, "max.message.bytes", "65536", Severity.WARNING, "refuse the largest records"),
    (Role.SPANS, "retention.ms", "30000", Severity.ERROR, "before the decision wait"),
    (Role.SPANS, "cleanup.policy", "compact", Severity.ERROR, "spans are lost"),
    (Role.SAMPLED, "cleanup.policy", "compact,delete", Severity.ERROR, "spans are lost"),
    (Role.DECISIONS, "cleanup.policy", "delete", Severity.WARNING, "decided anew"),
    (Role.DECISIONS, "cleanup.policy", "compact,delete", Severity.WARNING, "decided anew"),
    (Role.KEYSPACE, "cleanup.policy", "delete", Severity.WARNING, "only part of the tier"),
    (Role.SPANS, "min.insync.replicas", "4", Severity.ERROR, "every write with acks=all is refused"),
]


@pytest.mark.parametrize(("role", "setting", "value", "severity", "meaning"), DIFFERENCES)
def test_a_setting_that_matters_is_reported(
    role: Role, setting: str, value: str, severity: Severity, meaning: str
) -> None:
    """A setting that breaks a promise gives one finding with its meaning and the command that ends it."""
    existing, name = as_wanted(), SPECS[role].name
    existing[name] = replace(existing[name], config={**existing[name].config, setting: value})
    (finding,) = compare(PLAN.specs(), existing, decision_wait_ms=30_000)
    assert (finding.topic, finding.setting, finding.found, finding.severity) == (name, setting, value, severity)
    assert meaning in finding.meaning
    assert f"--topic {name} --add-config {setting}=" in finding.remedy


@pytest.mark.parametrize(
    ("setting", "value"),
    [("retention.ms", "-1"), ("retention.ms", "30001"), ("max.message.bytes", "1048588"), ("retention.bytes", "1")],
)
def test_a_setting_that_does_not_matter_is_not_reported(setting: str, value: str) -> None:
    """Unlimited or just sufficient retention, Kafka's default record size and settings of no concern are silent."""
    existing, name = as_wanted(), SPECS[Role.SPANS].name
    existing[name] = replace(existing[name], config={**existing[name].config, setting: value})
    assert compare(PLAN.specs(), existing, decision_wait_ms=30_000) == ()


def test_fewer_partitions_are_a_warning_and_more_are_not() -> None:
    """Fewer partitions of the sampled topic limit its readers; more harm nobody."""
    existing, name = as_wanted(), SPECS[Role.SAMPLED].name
    existing[name] = replace(existing[name], partitions=4)
    (finding,) = compare(PLAN.specs(), existing)
    assert (finding.severity, finding.found, finding.wanted) == (Severity.WARNING, "4", "8")
    existing[name] = replace(existing[name], partitions=16)
    assert compare(PLAN.specs(), existing) == ()


@pytest.mark.parametrize(("partitions", "command"), [(4, "--alter"), (16, "--delete")])
def test_decisions_must_have_the_partitions_of_the_spans(partitions: int, command: str) -> None:
    """Another number of partitions than that of the spans is an error, upwards and downwards, with what to do."""
    existing, name = as_wanted(), SPECS[Role.DECISIONS].name
    existing[name] = replace(existing[name], partitions=partitions)
    (finding,) = compare(PLAN.specs(), existing)
    assert (finding.severity, finding.wanted) == (Severity.ERROR, "8")
    assert command in finding.remedy


def test_decisions_follow_the_spans_that_exist_not_the_plan() -> None:
    """Spans and decisions with the same number of partitions fit, even where the plan says less."""
    existing = as_wanted()
    for role in (Role.SPANS, Role.DECISIONS):
        existing[SPECS[role].name] = replace(existing[SPECS[role].name], partitions=12)
    assert compare(PLAN.specs(), existing) == ()


def test_a_missing_topic_is_an_error_that_names_the_command() -> None:
    """A topic that is not there is reported with the command that makes it."""
    existing, name = as_wanted(), SPECS[Role.DEAD_LETTER].name
    del existing[name]
    (finding,) = compare(PLAN.specs(), existing)
    assert finding.severity is Severity.ERROR
    assert finding.remedy == "tailsampler topics create"


def test_a_finding_reads_as_a_sentence() -> None:
    """The text of a finding holds the topic, both values, the meaning and the remedy."""
    spec = TopicSpec(Role.SPANS, "s", 2)
    (finding,) = compare([spec], {"s": ExistingTopic(1, 1, {})})
    assert str(finding).startswith("warning: topic s: partitions is 1, wanted 2: no more than 1 workers")
    assert "Remedy: kafka-topics.sh --alter --topic s --partitions 2" in str(finding)
