"""`tailsampler worker`: the parts put together and run until told to stop."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import faust
from confluent_kafka.admin import AdminClient
from faust.types import TP
from prometheus_client import CollectorRegistry

from sampler.clock import monotonic_s, wall_ms
from sampler.config import Config, PolicyFile
from sampler.config.security import admin_conf, consumer_conf, faust_credentials, producer_conf
from sampler.engine.chunk_store import ChunkStore
from sampler.engine.settings import AnnotationSettings, EngineSettings
from sampler.engine.spill import RocksSpill
from sampler.metrics import WorkerMetrics
from sampler.otlp import get_scanner
from sampler.stream.app import AppSettings, create_app
from sampler.stream.lease import Lease
from sampler.stream.node import Node
from sampler.stream.outputs import Outputs
from sampler.stream.pipeline import Pipeline, PipelineLimits
from sampler.stream.report import Reporter
from sampler.stream.span_source import SpanSource
from sampler.stream.transport import TailConsumer
from sampler.web.health import Health
from sampler.web.server import WebServer

logger = logging.getLogger(__name__)

EXIT_FATAL = 70
"""The process cannot go on and must be started again."""
MIB = 1024 * 1024
INITIAL_OFFSET = "earliest"
"""A new group begins with what the topic holds: spans that came while it was being set up are not lost."""
METADATA_TIMEOUT_S = 30.0


class WorkerError(RuntimeError):
    """The worker cannot start; the message says why and what to do."""


def run_worker(config: Config, policies: PolicyFile) -> int:
    """Work until SIGTERM or SIGINT; the exit code is 0 after a clean stop."""
    kafka = config.kafka
    partitions = topic_partitions(admin_conf(kafka), [kafka.topics.spans, kafka.topics.sampled])
    registry, health = CollectorRegistry(), Health()
    metrics = WorkerMetrics(registry)
    metrics.set_policy_set(policies.policy_set.content_hash)
    app = _assemble(config, policies, partitions, metrics, health)
    web = WebServer(config.web.endpoint, registry, health) if config.web.enabled else None
    if web is not None:
        web.start()
        logger.info("metrics and health on http://%s", web.address)
    # Everything alive now stays alive: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    worker = faust.Worker(
        app, loglevel=logging.getLevelName(logging.getLogger().level), override_logging=False, redirect_stdouts=False,
        quiet=True,
    )  # fmt: skip
    try:
        worker.execute_from_commandline()
    except SystemExit as exit_:
        code = exit_.code
        return code if isinstance(code, int) else 0 if code is None else 1
    finally:
        if web is not None:
            web.stop()
    return 0


def topic_partitions(conf: Mapping[str, Any], topics: Sequence[str]) -> dict[str, int]:
    """Partition counts of topics that must exist; WorkerError where one does not or no broker answers."""
    admin = AdminClient(dict(conf))
    try:
        known = admin.list_topics(timeout=METADATA_TIMEOUT_S).topics
    except Exception as error:
        raise WorkerError(f"no broker at {conf['bootstrap.servers']} answered: {error}") from error
    missing = [topic for topic in topics if topic not in known or not known[topic].partitions]
    if missing:
        raise WorkerError(f"topic {missing[0]} does not exist: create it with 'tailsampler topics create'")
    return {topic: len(known[topic].partitions) for topic in topics}


def engine_settings(config: Config, policies: PolicyFile, partitions: int) -> EngineSettings:
    """What the engine takes from both files."""
    block, names = policies.tail_sampling, config.worker.annotation.names
    return EngineSettings(
        decision_wait_ms=block.decision_wait.ms,
        decision_wait_after_root_ms=block.decision_wait_after_root_received.ms,
        maximum_trace_size_bytes=block.maximum_trace_size_bytes,
        maximum_spans_per_trace=block.maximum_spans_per_trace,
        decision_ttl_ms=(block.decision_cache.ttl or config.worker.decision_cache.ttl).ms,
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


def _assemble(
    config: Config,
    policies: PolicyFile,
    partitions: dict[str, int],
    metrics: WorkerMetrics,
    health: Health,
) -> faust.App:
    kafka, worker = config.kafka, config.worker
    topics = kafka.topics
    source = SpanSource(consumer_conf(kafka), topics.spans, initial=INITIAL_OFFSET, monotonic_s=monotonic_s)
    outputs = Outputs(
        {
            **producer_conf(kafka),
            # An output that may still be delivered after the lease has ended could contradict the next owner.
            "delivery.timeout.ms": max(1000, worker.session_timeout.ms * 2 // 3),
        },
        span_topic=topics.spans,
        sampled_topic=topics.sampled,
        sampled_partitions=partitions[topics.sampled],
        dead_letter_topic=topics.dead_letter,
        partitioner=kafka.partitioner,
        on_fatal=die,
    )
    node = Node(
        topics.spans, source, outputs, Lease(worker.session_timeout.ms / 1000), health, worker.max_unacknowledged,
        monotonic_s,
    )  # fmt: skip
    data_dir = Path(worker.data_dir).resolve()
    app, table, topic = create_app(
        AppSettings(
            brokers=kafka.bootstrap,
            group_id=kafka.group_id,
            span_topic=topics.spans,
            decisions_topic=topics.decisions,
            partitions=partitions[topics.spans],
            data_dir=data_dir / "tables",
            session_timeout_s=worker.session_timeout.ms / 1000,
            heartbeat_interval_s=worker.heartbeat_interval.ms / 1000,
            commit_interval_s=worker.commit_interval.ms / 1000,
            initial_offset=INITIAL_OFFSET,
            broker_credentials=faust_credentials(kafka),
        ),
        node,
    )
    store, limits = _trace_table(config, data_dir)
    pipeline = Pipeline(
        engine_settings(config, policies, partitions[topics.spans]),
        policies.policy_set,
        get_scanner(worker.scanner),
        store,
        outputs,
        table,
        limits=limits,
        committed=lambda partition: cast(TailConsumer, app.consumer).committed_offset(TP(topics.spans, partition)),
        rewind=source.rewind,
        wall_ms=wall_ms,
    )
    node.attach(pipeline, Reporter(metrics, pipeline, source, outputs, store, policies.policy_set))
    _connect(app, topic, table.table, node)
    logging.getLogger("faust.tables.recovery").addHandler(RecoveryAlarm())
    return app


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


class RecoveryAlarm(logging.Handler):
    """Ends the process when Faust fails to apply a changelog record: it would log a warning and go on without it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Look at one message of Faust's recovery."""
        if record.levelno >= logging.WARNING and str(record.msg).startswith("Error in recovery"):
            die(f"the decision table could not be recovered: {record.getMessage()}")


class fatal:  # noqa: N801  # a context manager reads as a word of the sentence
    """Ends the process on any exception but cancellation: Faust would log it and go on without the part."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception):
            logger.critical("%s", self._what, exc_info=error)
            die(self._what)


def die(reason: str) -> None:
    """End the process at once; what was not finished is read again from the watermark."""
    logger.critical("exiting with code %d: %s", EXIT_FATAL, reason)
    logging.shutdown()
    os._exit(EXIT_FATAL)
