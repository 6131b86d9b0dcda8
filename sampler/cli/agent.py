"""`tailsampler agent`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sampler.cli.access import check_kafka
from sampler.cli.options import WrongInputError, prepare_topics, process_options, read_config

if TYPE_CHECKING:
    from sampler.agent.repartition_settings import SourceSettings
    from sampler.agent.settings import AgentSettings
    from sampler.config.models import Config


@click.command(short_help="Receive OTLP and write it to Kafka.")
@process_options
@click.option("--grpc-endpoint", metavar="HOST:PORT", help="Where OTLP/gRPC is taken; goes before the file's.")
@click.option("--http-endpoint", metavar="HOST:PORT", help="Where OTLP/HTTP is taken; goes before the file's.")
@click.option("--create-topics/--no-create-topics", default=None, help="Make missing topics at start.")
def agent(
    config_path: Path | None,
    brokers: str | None,
    web_endpoint: str | None,
    log_level: str | None,
    grpc_endpoint: str | None,
    http_endpoint: str | None,
    create_topics: bool | None,
) -> int:
    """Receive spans over OTLP/gRPC and OTLP/HTTP and write them to Kafka, partitioned by trace.

    A sender is told success only after Kafka has the spans; when Kafka is slow or away, it is told to try again.
    """
    config = read_config(
        config_path, brokers, web_endpoint, log_level,
        agent__grpc__endpoint=grpc_endpoint, agent__http__endpoint=http_endpoint, kafka__create_topics=create_topics,
    )  # fmt: skip
    return serve(config)


def serve(config: Config) -> int:
    """Run the agent of a configuration until SIGTERM or SIGINT; the exit code."""
    from sampler.agent.service import run_agent
    from sampler.cli.logs import set_up_logging
    from sampler.metrics import process_registry
    from sampler.web.health import Health
    from sampler.web.server import web_server

    set_up_logging(config.log.level, config.log.format, "agent")
    settings = agent_settings(config)
    check_kafka(config, "agent")
    prepare_topics(config.kafka)
    health = Health()
    registry = process_registry("agent", health)
    web = web_server(config.web, registry, health) if config.web.enabled else None
    try:
        if web:
            web.start()
        return run_agent(settings, registry, health)
    except OSError as error:
        raise WrongInputError(error.strerror or str(error)) from error
    finally:
        if web:
            web.stop()


def agent_settings(config: Config) -> AgentSettings:
    """What the agent takes from the configuration."""
    from sampler.agent.guard import GuardSettings
    from sampler.agent.settings import AgentSettings, PublisherSettings
    from sampler.config.security import producer_conf

    kafka, block = config.kafka, config.agent
    return AgentSettings(
        publisher=PublisherSettings(
            topic=kafka.topics.spans,
            librdkafka=producer_conf(kafka),
            hasher=kafka.partitioner,
            record_size_bytes=block.record_size,
            flush_interval_ms=block.flush_interval.ms,
            max_buffer_bytes=block.max_buffer,
            max_message_bytes=kafka.max_message_bytes,
            delivery_timeout_ms=block.delivery_timeout.ms,
            trace_context=block.trace_context_headers,
        ),
        grpc_listen=block.grpc.endpoint if block.grpc.enabled else None,
        http_listen=block.http.endpoint if block.http.enabled else None,
        max_request_bytes=block.max_request_bytes,
        max_connection_age_ms=block.grpc.max_connection_age.ms,
        source=source_settings(config),
        transform=block.transform,
        tracing=config.tracing,
        guard=GuardSettings(block.auth, block.tenant, block.limits),
        grpc_tls=block.grpc.tls,
        http_tls=block.http.tls,
    )


def source_settings(config: Config) -> SourceSettings | None:
    """The topics that the agent reads, None where it reads none."""
    from sampler.agent.repartition_settings import SourceSettings
    from sampler.config.security import consumer_conf, producer_conf

    kafka, block = config.kafka, config.agent.kafka_source
    if block is None:
        return None
    return SourceSettings(
        topics=block.topics,
        group_id=block.group_id,
        dead_letter_topic=kafka.topics.dead_letter,
        consumer=consumer_conf(kafka),
        producer=producer_conf(kafka),
        encoding=block.encoding,
        initial_offset=block.initial_offset,
        commit_interval_s=block.commit_interval.seconds,
        max_in_flight_bytes=block.max_in_flight,
        max_message_bytes=kafka.max_message_bytes,
        session_timeout_ms=block.session_timeout.ms,
        group_instance_id=block.group_instance_id,
        leave_out=config.agent.transform.active,
    )
