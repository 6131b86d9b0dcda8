"""Topics on a real Kafka: made as planned, looked at and never changed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from sampler.topics import Role, Severity, TopicError, TopicPlan, check_topics, ensure_topics
from tests.harness.kafka import KafkaCluster


@pytest.fixture
def plan(topics: Callable[[str], str]) -> TopicPlan:
    """All topics, under names of this test's own."""
    return TopicPlan(
        spans=topics("spans"),
        sampled=topics("sampled"),
        decisions=topics("decisions"),
        keyspace=topics("keyspace"),
        dead_letter=topics("dead"),
        partitions=3,
        replication_factor=1,
        min_insync_replicas=1,
        retention_ms=3_600_000,
    )


def conf(kafka: KafkaCluster) -> dict[str, str | int | float | bool]:
    """Settings of an admin client."""
    return {"bootstrap.servers": kafka.bootstrap, "log_level": 0}


def test_missing_topics_are_made_as_planned(kafka: KafkaCluster, plan: TopicPlan) -> None:
    """Every topic exists afterwards with the settings of the plan, and nothing is left to be said about them."""
    outcome = ensure_topics(conf(kafka), plan.specs(), decision_wait_ms=30_000)
    assert outcome.created == tuple(spec.name for spec in plan.specs())
    assert outcome.findings == ()
    for spec in plan.specs():
        described = kafka.describe(spec.name)
        assert {name: described[name] for name in spec.config} == spec.config
        assert len(kafka.end_offsets(spec.name)) == spec.partitions
    assert check_topics(conf(kafka), plan.specs(), decision_wait_ms=30_000) == ()


def test_a_second_time_makes_nothing(kafka: KafkaCluster, plan: TopicPlan) -> None:
    """Topics that exist are left as they are."""
    ensure_topics(conf(kafka), plan.specs())
    assert ensure_topics(conf(kafka), plan.specs()).created == ()


def test_the_brokers_may_choose_the_replicas(kafka: KafkaCluster, plan: TopicPlan) -> None:
    """A plan without replicas takes the brokers' default."""
    free = TopicPlan(spans=plan.spans, partitions=1).specs()[:1]
    assert ensure_topics(conf(kafka), free).created == (plan.spans,)
    assert check_topics(conf(kafka), free) == ()


def test_several_processes_may_make_them_at_once(kafka: KafkaCluster, plan: TopicPlan) -> None:
    """Of processes that start together each topic is made by exactly one, and none of them fails."""
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda _: ensure_topics(conf(kafka), plan.specs()), range(4)))
    made = [name for outcome in outcomes for name in outcome.created]
    assert sorted(made) == sorted(spec.name for spec in plan.specs())
    assert [outcome.findings for outcome in outcomes] == [()] * 4


def test_an_existing_topic_that_differs_is_reported_and_left_alone(kafka: KafkaCluster, plan: TopicPlan) -> None:
    """A span topic as `kafka-topics.sh --create` makes it draws the warnings that matter, and keeps its settings."""
    kafka.create_topic(plan.spans, 2, config={"retention.ms": "1000", "max.message.bytes": "1000"})
    outcome = ensure_topics(conf(kafka), plan.specs(), decision_wait_ms=30_000)
    assert plan.spans not in outcome.created
    found = {(finding.topic, finding.setting): finding.severity for finding in outcome.findings}
    assert found == {
        (plan.spans, "partitions"): Severity.WARNING,
        (plan.spans, "message.timestamp.type"): Severity.WARNING,
        (plan.spans, "max.message.bytes"): Severity.WARNING,
        (plan.spans, "retention.ms"): Severity.ERROR,
    }
    assert kafka.describe(plan.spans)["retention.ms"] == "1000"


def test_new_decisions_take_the_partitions_of_spans_that_exist(kafka: KafkaCluster, plan: TopicPlan) -> None:
    """Where the span topic exists with another number of partitions, the decisions are made with that number."""
    kafka.create_topic(plan.spans, 5, config={"message.timestamp.type": "LogAppendTime"})
    outcome = ensure_topics(conf(kafka), plan.specs())
    assert outcome.errors == ()
    assert len(kafka.end_offsets(plan.decisions)) == 5


def test_decisions_with_other_partitions_than_the_spans_are_an_error(kafka: KafkaCluster, plan: TopicPlan) -> None:
    """An existing decisions topic that does not fit the spans is among the errors."""
    kafka.create_topic(plan.decisions, 2, config={"cleanup.policy": "compact"})
    (finding,) = ensure_topics(conf(kafka), plan.specs()).errors
    assert (finding.topic, finding.found, finding.wanted) == (plan.decisions, "2", "3")


def test_a_topic_the_brokers_refuse_is_explained(kafka: KafkaCluster, plan: TopicPlan) -> None:
    """More replicas than brokers: the error names the topic and carries the brokers' words."""
    wide = TopicPlan(spans=plan.spans, replication_factor=3).specs()[:1]
    assert wide[0].role is Role.SPANS
    with pytest.raises(TopicError, match=rf"{plan.spans} could not be created .* 3 replicas: .*broker"):
        ensure_topics(conf(kafka), wide)


def test_check_makes_nothing(kafka: KafkaCluster, plan: TopicPlan) -> None:
    """`check_topics` reports every missing topic and leaves them missing."""
    assert len(check_topics(conf(kafka), plan.specs())) == 5
    assert len(check_topics(conf(kafka), plan.specs())) == 5
