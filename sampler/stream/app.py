"""The Faust app of a worker: one agent over batches, one table, settings for batches instead of events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faust
from faust.serializers.schemas import Schema

from sampler.stream import assignor, decision_table, transport
from sampler.stream.decision_table import DecisionTable
from sampler.stream.fatal import die

STREAM_BUFFER_BATCHES = 16
"""One event is a whole fetch of a partition: Faust's default of 4096 events would admit gigabytes."""


class BatchSchema(Schema[Any, Any]):
    """Hands a batch to the stream as it is; there is nothing to decode."""

    def compile(self, app: Any, **_: Any) -> Callable[..., Any]:
        """The decoder Faust calls for each event."""
        create_event = app.create_event

        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return create_event(message.key, message.value, None, message)

        return decode


@dataclass(frozen=True, slots=True)
class AppSettings:
    """What the Faust app needs to know of the configuration."""

    brokers: str
    group_id: str
    span_topic: str
    decisions_topic: str
    partitions: int
    data_dir: Path
    session_timeout_s: float = 45.0
    heartbeat_interval_s: float = 3.0
    commit_interval_s: float = 1.0
    initial_offset: str = "earliest"
    standby_replicas: int = 1
    changelog_conf: Mapping[str, Any] | None = None
    group_instance_id: str | None = None
    broker_credentials: Any = None
    ssl_context: Any = None


def create_app(settings: AppSettings, hooks: transport.TailHooks) -> tuple[faust.App, DecisionTable, Any]:
    """The app, its decision table and the channel of the span topic; the caller adds the agent."""
    transport.register()
    assignor.register()
    urls = ";".join(f"{transport.SCHEME}://{broker}" for broker in settings.brokers.split(","))
    app = faust.App(
        settings.group_id,
        broker_consumer=urls,
        broker_producer=urls,
        broker=urls,
        broker_credentials=settings.broker_credentials,
        ssl_context=settings.ssl_context,
        store=decision_table.register(),
        datadir=str(settings.data_dir),
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=settings.standby_replicas,
        web_enabled=False,
        broker_commit_interval=settings.commit_interval_s,
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.heartbeat_interval_s,
        broker_request_timeout=max(90.0, settings.session_timeout_s),
        consumer_group_instance_id=settings.group_instance_id,
        consumer_auto_offset_reset=settings.initial_offset,
        stream_buffer_maxsize=STREAM_BUFFER_BATCHES,
        stream_recovery_delay=0.0,
        producer_linger=0.02,
        producer_max_batch_size=262_144,
    )
    app.tail = hooks  # type: ignore[attr-defined]  # where the transport looks for it
    app.changelog_conf = settings.changelog_conf  # type: ignore[attr-defined]  # where the table's store looks for it
    table = DecisionTable(
        app,
        span_topic=settings.span_topic,
        changelog_topic=settings.decisions_topic,
        partitions=settings.partitions,
        on_failure=die,
    )
    topic = app.topic(
        settings.span_topic, schema=BatchSchema(key_type=bytes, value_type=bytes), acks=False,
        partitions=settings.partitions,
    )  # fmt: skip
    return app, table, topic
