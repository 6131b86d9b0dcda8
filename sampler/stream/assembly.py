"""Makes the parts of a worker from its configuration and connects them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import faust
from faust.types import TP

from sampler.clock import monotonic_s, wall_ms
from sampler.config import Config, PolicyFile
from sampler.config.security import consumer_conf, faust_credentials, producer_conf
from sampler.engine.chunk_store import ChunkStore
from sampler.engine.settings import AnnotationSettings, EngineSettings
from sampler.engine.spill import RocksSpill
from sampler.metrics import WorkerMetrics
from sampler.otlp import get_scanner
from sampler.stream.app import AppSettings, create_app
from sampler.stream.fatal import RecoveryAlarm, die, fatal
from sampler.stream.lease import Lease
from sampler.stream.node import Node
from sampler.stream.outputs import Outputs
from sampler.stream.pipeline import Pipeline, PipelineLimits
from sampler.stream.report import Reporter
from sampler.stream.span_source import SpanSource
from sampler.stream.transport import TailConsumer
from sampler.web.health import Health

MIB = 1024 * 1024


def engine_settings(config: Config, policies: PolicyFile, partitions: int) -> EngineSettings:
    """What the engine takes from both files."""
    block, names = policies.tail_sampling, config.worker.annotation.names
    return EngineSettings(
        decision_wait_ms=block.decision_wait.ms,
        decision_wait_after_root_ms=block.decision_wait_after_root_received.ms,
        maximum_trace_size_bytes=block.maximum_trace_size_bytes,
        maximum_spans_per_trace=block.maximum_spans_per_trace,
        decision_ttl_ms=(policies.decision_ttl or config.worker.decision_cache.ttl).ms,
        # Headroom for the key, the record's own header and the batch around it.
        max_output_bytes=config.kafka.max_message_bytes - 1024,
        partitions=partitions,
        partitioner=config.kafka.partitioner,
        annotation=AnnotationSettings(
            rate_attribute=names.rate_attribute,
            policy_attribute=names.policy_attribute,
            rate_as_int=names.rate_as_int,
            incoming_probability=policies.incoming_probability,
            incoming_probability_default=policies.incoming_probability_default,
        ),
    )


def assemble(
    config: Config,
    policies: PolicyFile,
    partitions: Mapping[str, int],
    data_dir: Path,
    metrics: WorkerMetrics,
    health: Health,
) -> faust.App:
    """The app of a worker with everything behind it, ready to run; `partitions` of the span and the sampled topic."""
    topics = config.kafka.topics
    source = SpanSource(
        consumer_conf(config.kafka), topics.spans, initial=config.worker.initial_offset, monotonic_s=monotonic_s
    )
    outputs = _outputs(config, partitions[topics.sampled])
    lease = Lease(config.worker.session_timeout.ms / 1000)
    node = Node(topics.spans, source, outputs, lease, health, config.worker.max_unacknowledged, monotonic_s)
    app, table, topic = create_app(_app_settings(config, partitions[topics.spans], data_dir), node)
    store, limits = _trace_table(config, data_dir)
    pipeline = Pipeline(
        engine_settings(config, policies, partitions[topics.spans]),
        policies.policy_set,
        get_scanner(config.worker.scanner),
        store,
        outputs,
        table,
        limits=limits,
        committed=lambda partition: cast(TailConsumer, app.consumer).committed_offset(TP(topics.spans, partition)),
        rewind=source.rewind,
        current_epoch=lambda: source.epoch,
        wall_ms=wall_ms,
    )
    node.attach(pipeline, Reporter(metrics, pipeline, source, outputs, store, policies.policy_set))
    _connect(app, topic, table.table, node)
    logging.getLogger("faust.tables.recovery").addHandler(RecoveryAlarm())
    return app


def _outputs(config: Config, sampled_partitions: int) -> Outputs:
    topics = config.kafka.topics
    return Outputs(
        {
            **producer_conf(config.kafka),
            # With the lease, which ends after half a session: no output is delivered after another worker can decide.
            "delivery.timeout.ms": max(1000, config.worker.session_timeout.ms // 2),
        },
        span_topic=topics.spans,
        sampled_topic=topics.sampled,
        sampled_partitions=sampled_partitions,
        dead_letter_topic=topics.dead_letter,
        partitioner=config.kafka.partitioner,
        on_fatal=die,
    )


def _app_settings(config: Config, span_partitions: int, data_dir: Path) -> AppSettings:
    kafka, worker = config.kafka, config.worker
    return AppSettings(
        brokers=kafka.bootstrap,
        group_id=kafka.group_id,
        span_topic=kafka.topics.spans,
        decisions_topic=kafka.topics.decisions,
        partitions=span_partitions,
        data_dir=data_dir / "tables",
        session_timeout_s=worker.session_timeout.ms / 1000,
        heartbeat_interval_s=worker.heartbeat_interval.ms / 1000,
        commit_interval_s=worker.commit_interval.ms / 1000,
        initial_offset=worker.initial_offset,
        broker_credentials=faust_credentials(kafka),
    )


def _trace_table(config: Config, data_dir: Path) -> tuple[ChunkStore, PipelineLimits]:
    table = config.worker.trace_table
    memory_bytes, disk_bytes = table.memory_limit_mib * MIB, table.disk_limit_mib * MIB
    if not disk_bytes:
        return ChunkStore(), PipelineLimits(table.max_traces, memory_limit_bytes=memory_bytes)
    return ChunkStore(memory_bytes, RocksSpill(data_dir / "spans")), PipelineLimits(table.max_traces, disk_bytes)


def _connect(app: Any, topic: Any, table: Any, node: Node) -> None:
    """Tell the node what the app does; anything that goes wrong there ends the process, because Faust would go on."""

    @app.agent(topic, name="tail-sampler")  # type: ignore[untyped-decorator]  # Faust is untyped here
    async def sample(stream: Any) -> None:
        async for batch in stream:
            with fatal("a batch could not be processed"):
                node.take(batch)

    @app.on_partitions_revoked.connect  # type: ignore[untyped-decorator]
    async def revoked(_app: Any, revoked: Any, **_: Any) -> None:
        node.partitions_revoked()

    @app.on_partitions_assigned.connect  # type: ignore[untyped-decorator]
    async def assigned(_app: Any, assigned: Any, **_: Any) -> None:
        node.partitions_assigned(sum(tp.topic == node.span_topic for tp in assigned))

    @table.on_recover  # type: ignore[untyped-decorator]
    async def recovered() -> None:
        with fatal("the decision table could not be recovered"):
            node.recovered()

    @app.task  # type: ignore[untyped-decorator]
    async def housekeeping() -> None:
        with fatal("housekeeping failed"):
            await node.housekeeping()
