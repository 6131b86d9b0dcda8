"""`tailsampler topics`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sampler.cli.access import check_login
from sampler.cli.options import FILE, brokers_option, config_option, read_config

if TYPE_CHECKING:
    from sampler.acls import Process
    from sampler.config.kafka import Kafka
    from sampler.topics import Finding


tenants_option = click.option(
    "--policies", "policies_path", type=FILE, metavar="FILE",
    help="Policies, where tenants have topics of their own.",
)  # fmt: skip


@click.group(short_help="Make and check the Kafka topics; print ACLs.")
def topics() -> None:
    """Make the Kafka topics, check that existing ones fit, print the ACLs that the processes need."""


@topics.command(short_help="Make missing topics.")
@config_option
@brokers_option
@tenants_option
@click.option("--partitions", type=int, help="Partitions of new topics: the most workers that can share the work.")
@click.option("--replication-factor", type=int, help="Copies of each partition; without, the brokers' default.")
@click.option("--min-insync-replicas", type=int, help="Copies that must have a record before it counts as stored.")
@click.option("--retention", metavar="DURATION", help="How long records are kept, such as 24h.")
@click.option("--max-message-bytes", metavar="SIZE", help="Largest record, such as 1MiB.")
def create(config_path: Path | None, brokers: str | None, policies_path: Path | None, **measures: Any) -> int:
    """Make the topics that are missing, and warn where an existing one differs in a way that matters.

    Existing topics are never altered. Values not given come from the configuration.
    """
    kafka = read_config(config_path, brokers, **{f"kafka__{name}": value for name, value in measures.items()}).kafka
    from sampler.config.security import admin_conf
    from sampler.topic_specs import topic_specs
    from sampler.topics import TopicError, ensure_topics

    specs = topic_specs(kafka, _tenants(kafka, policies_path))
    check_login(kafka)
    try:
        outcome = ensure_topics(admin_conf(kafka), specs)
    except TopicError as error:
        raise unusable(kafka, error, "none can be made") from error
    for spec in specs:
        click.echo(f"{spec.name}: {'created' if spec.name in outcome.created else 'exists'}")
    return _report(outcome.findings)


@topics.command(short_help="Check existing topics; change nothing.")
@config_option
@brokers_option
@tenants_option
def check(config_path: Path | None, brokers: str | None, policies_path: Path | None) -> int:
    """Say where existing topics differ in a way that matters. Exit code 1 where tailsampler cannot work with them."""
    kafka = read_config(config_path, brokers).kafka
    from sampler.config.security import admin_conf
    from sampler.topic_specs import topic_specs
    from sampler.topics import TopicError, check_topics

    check_login(kafka)
    try:
        findings = check_topics(admin_conf(kafka), topic_specs(kafka, _tenants(kafka, policies_path)))
    except TopicError as error:
        raise unusable(kafka, error, "nothing can be checked") from error
    if not findings:
        click.echo("all topics are as they should be")
    return _report(findings)


@topics.command(short_help="Print the ACLs that the processes need.")
@config_option
@brokers_option
@tenants_option
@click.option("--principal", required=True, metavar="User:NAME", help="Whom to allow it.")
@click.option(
    "--process", "processes", type=click.Choice(["agent", "worker", "exporter", "create"]), multiple=True,
    help="Only for these; several times. `create` is tailsampler topics create. Without, for all.",
)  # fmt: skip
def acls(
    config_path: Path | None,
    brokers: str | None,
    policies_path: Path | None,
    principal: str,
    processes: tuple[Process, ...],
) -> None:
    """Print the commands of Kafka's kafka-acls.sh that allow what the processes do and nothing else.

    Kafka is not asked. With kafka.create_topics off the processes need less.
    """
    from sampler.acls import PROCESSES, commands, needs_of

    if not principal.startswith("User:"):
        raise click.BadParameter("must begin with User:, such as User:tailsampler", param_hint="--principal")
    settings = read_config(config_path, brokers)
    tenants = _tenants(settings.kafka, policies_path)
    needs = [need for process in processes or PROCESSES for need in needs_of(process, settings, tenants)]
    for line in commands(tuple(dict.fromkeys(needs)), principal, settings.kafka.bootstrap):
        click.echo(line)


def unusable(kafka: Kafka, error: Exception, undescribed: str) -> click.ClickException:
    """What to tell of brokers that do not do what was asked; `undescribed` where they cannot describe topics."""
    from sampler.topics import NotDescribedError

    if isinstance(error, NotDescribedError):
        return click.ClickException(f"{error}: {undescribed} (brokers: {kafka.bootstrap})")
    return click.ClickException(f"{error} (brokers: {kafka.bootstrap}; are they up, and are address and login right?)")


def _tenants(kafka: Kafka, policies: Path | None) -> tuple[str, ...]:
    """The topics that tenants have for themselves."""
    if policies is None:
        return ()
    from sampler.config.policies import load_policies
    from sampler.topic_specs import tenant_topics

    return tenant_topics(kafka, load_policies(policies))


def _report(findings: Sequence[Finding]) -> int:
    from sampler.topics import Severity

    for finding in findings:
        click.echo(str(finding), err=True)
    return int(any(finding.severity is Severity.ERROR for finding in findings))
