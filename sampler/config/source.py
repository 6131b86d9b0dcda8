"""The `agent.kafka_source:` block: topics with spans that are not keyed by trace, read by the agent and keyed anew."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from sampler.config.base import Section, TopicName
from sampler.config.units import PositiveDuration, Size, parse_duration

MIB = 1024 * 1024

SourceEncoding = Literal["auto", "otlp_proto", "otlp_json"]


def _topics(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class KafkaSource(Section):
    """Spans from Kafka topics in which the spans of a trace lie in several partitions.

    They are split by trace and written to `kafka.topics.spans`; offsets are committed after Kafka has acknowledged
    what came of them.
    """

    topics: Annotated[
        tuple[TopicName, ...], BeforeValidator(_topics, json_schema_input_type=str | list[str]), Field(min_length=1)
    ]
    """The topics to read, as a list or a single name; on the brokers of `kafka`."""
    group_id: str = Field(default="tailsampler-repartition", min_length=1)
    """Consumer group of the agents: those that share it share the work. Not that of the workers."""
    encoding: SourceEncoding = "auto"
    """What the records hold; `auto` looks at each of them."""
    initial_offset: Literal["earliest", "latest"] = "earliest"
    """Where a group that has never committed begins to read."""
    commit_interval: PositiveDuration = parse_duration("1s")
    """How often offsets are committed."""
    max_in_flight: Size = Field(default=16 * MIB, ge=64 * 1024)
    """Bytes read and not acknowledged yet, beyond which nothing more is read."""
    session_timeout: PositiveDuration = parse_duration("45s")
    """The group gives the partitions of an agent away when it has not been heard of for so long."""
    group_instance_id: Annotated[str, Field(min_length=1)] | None = None
    """A name that stays the same over restarts: an agent that is back within `session_timeout` keeps its partitions."""
