"""How the exporter is told what to do: by arguments, then by variables of the environment, then by defaults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sampler.agent.settings import PublisherSettings
from sampler.config.errors import ConfigError
from sampler.config.load import COMMAND_LINE, load_config
from sampler.config.security import Properties, producer_conf
from sampler.config.transform import Transform
from sampler.sdk.quiet import quiet_logger

CONFIG_VARIABLE = "TAILSAMPLER_CONFIG"
WHERE = "settings of KafkaSpanExporter"

# Variable of the environment -> key of config.yaml.
_KAFKA_VARIABLES = {
    "TAILSAMPLER_KAFKA_BROKERS": "kafka.brokers",
    "TAILSAMPLER_KAFKA_TOPIC": "kafka.topics.spans",
    "TAILSAMPLER_KAFKA_PARTITIONER": "kafka.partitioner",
    "TAILSAMPLER_KAFKA_SASL_MECHANISM": "kafka.auth.sasl.mechanism",
    "TAILSAMPLER_KAFKA_SASL_USERNAME": "kafka.auth.sasl.username",
    "TAILSAMPLER_KAFKA_SASL_PASSWORD": "kafka.auth.sasl.password",
    "TAILSAMPLER_KAFKA_SASL_PASSWORD_FILE": "kafka.auth.sasl.password_file",
    "TAILSAMPLER_KAFKA_TLS_INSECURE": "kafka.tls.insecure",
    "TAILSAMPLER_KAFKA_TLS_CA_FILE": "kafka.tls.ca_file",
    "TAILSAMPLER_KAFKA_TLS_CERT_FILE": "kafka.tls.cert_file",
    "TAILSAMPLER_KAFKA_TLS_KEY_FILE": "kafka.tls.key_file",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Spans that may wait, spans of a request, and times in milliseconds."""

    max_queue_size: int = 16_384
    max_batch_size: int = 512
    schedule_delay_ms: float = 200.0
    shutdown_timeout_ms: float = 10_000.0

    def __post_init__(self) -> None:
        for name in ("max_queue_size", "max_batch_size", "schedule_delay_ms"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")
        if self.max_batch_size > self.max_queue_size:
            raise ValueError(f"max_batch_size ({self.max_batch_size}) is above max_queue_size ({self.max_queue_size})")


@dataclass(frozen=True, slots=True)
class Options:
    """What the exporter works with."""

    publisher: PublisherSettings
    transform: Transform


def read_options(
    brokers: str | list[str] | None,
    topic: str | None,
    kafka: Mapping[str, Any] | None,
    transform: Mapping[str, Any] | None,
    max_buffer_bytes: int,
    environment: Mapping[str, str],
) -> Options:
    """The options; ConfigError where the arguments, a variable or the file of TAILSAMPLER_CONFIG cannot be used.

    `kafka` and `transform` are the blocks `kafka:` and `agent.transform:` of config.yaml.
    """
    values: dict[str, Any] = {}
    for variable, key in _KAFKA_VARIABLES.items():
        if environment.get(variable):
            values[key] = environment[variable]
    values.update(_dotted("kafka", kafka or {}))
    arguments = {"kafka.brokers": brokers, "kafka.topics.spans": topic, "agent.transform": transform}
    values.update({key: value for key, value in arguments.items() if value is not None})
    path = environment.get(CONFIG_VARIABLE) or None
    try:
        config = load_config(None if path is None else Path(path), values, environment)
    except ConfigError as error:
        problems = [replace(each, path=WHERE) if each.path == COMMAND_LINE else each for each in error.problems]
        raise ConfigError(problems) from None
    block, rules = config.kafka, config.agent.transform
    conf: Properties = {"client.id": "tailsampler-sdk", **producer_conf(block), "logger": quiet_logger()}
    publisher = PublisherSettings(
        topic=block.topics.spans,
        librdkafka=conf,
        hasher=block.partitioner,
        max_buffer_bytes=max_buffer_bytes,
        max_message_bytes=block.max_message_bytes,
    )
    return Options(publisher, rules)


def _dotted(key: str, block: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The values of a block by dotted key; the properties of librdkafka, which have dots of their own, in one."""
    for name, value in block.items():
        if isinstance(value, Mapping) and value and name != "librdkafka":
            yield from _dotted(f"{key}.{name}", value)
        else:
            yield f"{key}.{name}", value
