"""`tailsampler topics`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sampler.cli.options import brokers_option, config_option, read_config

if TYPE_CHECKING:
    from sampler.config.kafka import Kafka
    from sampler.topics import Finding, TopicSpec


@click.group()
def topics() -> None:
    """Make the Kafka topics, or check that existing ones fit."""


@topics.command(short_help="Make missing topics.")
@config_option
@brokers_option
@click.option("--partitions", type=int, help="Partitions of new topics: the most workers that can share the work.")
@click.option("--replication-factor", type=int, help="Copies of each partition; without, the brokers' default.")
@click.option("--min-insync-replicas", type=int, help="Copies that must have a record before it counts as stored.")
@click.option("--retention", metavar="DURATION", help="How long records are kept, such as 24h.")
@click.option("--max-message-bytes", metavar="SIZE", help="Largest record, such as 1MiB.")
def create(config_path: Path | None, brokers: str | None, **measures: Any) -> int:
    """Make the topics that are missing, and warn where an existing one differs in a way that matters.

    Existing topics are never altered. Values not given come from the configuration.
    """
    kafka = read_config(config_path, brokers, **{f"kafka__{name}": value for name, value in measures.items()}).kafka
    from sampler.config.security import admin_conf
    from sampler.topics import TopicError, ensure_topics

    specs = topic_specs(kafka)
    try:
        outcome = ensure_topics(admin_conf(kafka), specs)
    except TopicError as error:
        raise unusable(kafka, error) from error
    for spec in specs:
        click.echo(f"{spec.name}: {'created' if spec.name in outcome.created else 'exists'}")
    return _report(outcome.findings)


@topics.command(short_help="Check existing topics; change nothing.")
@config_option
@brokers_option
def check(config_path: Path | None, brokers: str | None) -> int:
    """Say where existing topics differ in a way that matters. Exit code 1 where tailsampler cannot work with them."""
    kafka = read_config(config_path, brokers).kafka
    from sampler.config.security import admin_conf
    from sampler.topics import TopicError, check_topics

    try:
        findings = check_topics(admin_conf(kafka), topic_specs(kafka))
    except TopicError as error:
        raise unusable(kafka, error) from error
    if not findings:
        click.echo("all topics are as they should be")
    return _report(findings)


def topic_specs(kafka: Kafka) -> tuple[TopicSpec, ...]:
    """What the topics of a configuration must be like."""
    from sampler.topics import BROKER_DEFAULT, TopicPlan

    names = kafka.topics
    return TopicPlan(
        spans=names.spans,
        sampled=names.sampled,
        decisions=names.decisions,
        keyspace=names.keyspace,
        dead_letter=names.dead_letter,
        partitions=kafka.partitions,
        replication_factor=kafka.replication_factor or BROKER_DEFAULT,
        min_insync_replicas=kafka.min_insync_replicas,
        max_message_bytes=kafka.max_message_bytes,
        retention_ms=kafka.retention.ms,
    ).specs()


def unusable(kafka: Kafka, error: Exception) -> click.ClickException:
    """What to tell of brokers that do not do what was asked."""
    return click.ClickException(f"{error} (brokers: {kafka.bootstrap}; are they up, and are address and login right?)")


def _report(findings: Sequence[Finding]) -> int:
    from sampler.topics import Severity

    for finding in findings:
        click.echo(str(finding), err=True)
    return int(any(finding.severity is Severity.ERROR for finding in findings))
