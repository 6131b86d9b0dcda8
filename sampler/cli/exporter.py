"""`tailsampler exporter`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sampler.cli.access import check_kafka
from sampler.cli.options import (
    FILE,
    WrongInputError,
    plugins_option,
    prepare_topics,
    process_options,
    read_config,
    read_policies,
)

if TYPE_CHECKING:
    from sampler.config.models import Config
    from sampler.config.policies import PolicyFile

NO_BACKEND = (
    "no backend to send to: name at least one below exporter.backends of the configuration, such as\n"
    "  exporter: {backends: [{name: tempo, endpoint: 'tempo:4317', tls: {insecure: true}}]}"
)


@click.command(short_help="Send kept traces from Kafka to OTLP backends.")
@process_options
@click.option(
    "--policies", "policies_path", type=FILE, metavar="FILE", envvar="TAILSAMPLER_POLICIES",
    help="Policies, where tenants have topics of their own or routes name tenants.",
)  # fmt: skip
@plugins_option
@click.option(
    "--session-timeout",
    metavar="DURATION",
    help="When a silent exporter's partitions are given away, such as 45s.",
)
@click.option("--create-topics/--no-create-topics", default=None, help="Make missing topics at start.")
def exporter(
    config_path: Path | None,
    brokers: str | None,
    web_endpoint: str | None,
    log_level: str | None,
    policies_path: Path | None,
    plugins: tuple[str, ...],
    session_timeout: str | None,
    create_topics: bool | None,
) -> int:
    """Read the kept traces from Kafka and send them over OTLP to the backends of the configuration.

    Every backend has a consumer group of its own, and is sent everything until it has accepted it. Start as many
    exporters as needed; they share the partitions.
    """
    config = read_config(
        config_path, brokers, web_endpoint, log_level, kafka__create_topics=create_topics,
        exporter__session_timeout=session_timeout,
    )  # fmt: skip
    if not config.exporter.backends:
        raise WrongInputError(NO_BACKEND)
    from sampler.cli.logs import set_up_logging

    set_up_logging(config.log.level, config.log.format, "exporter")
    # The notes are about deciding: the workers tell them.
    policies = read_policies(policies_path, plugins, notes=False) if policies_path else None
    return serve(config, policies)


def serve(config: Config, policies: PolicyFile | None) -> int:
    """Run the exporter of a configuration until SIGTERM or SIGINT; the exit code."""
    from sampler.exporter.service import run_exporter
    from sampler.metrics import process_registry
    from sampler.topic_specs import tenant_topics
    from sampler.web.health import Health
    from sampler.web.server import web_server
    from sampler.web.status import StatusPage

    topics = tenant_topics(config.kafka, policies) if policies else ()
    check_kafka(config, "exporter", topics)
    prepare_topics(config.kafka, tenants=topics)
    health, page = Health(), StatusPage()
    registry = process_registry("exporter", health)
    web = web_server(config.web, registry, health, page) if config.web.enabled else None
    try:
        if web:
            web.start()
        return run_exporter(config, policies, registry, health, page)
    except OSError as error:
        raise WrongInputError(error.strerror or str(error)) from error
    finally:
        if web:
            web.stop()
