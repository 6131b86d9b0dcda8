"""Makes the parts of a worker from its configuration and connects them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import faust
from rocksdict import Rdict

from sampler.clock import monotonic_s, wall_ms
from sampler.config import Config, PolicyFile
from sampler.config.last_good import LastGood
from sampler.config.security import admin_conf, consumer_conf, faust_credentials, producer_conf
from sampler.engine.chunk_store import ChunkStore
from sampler.engine.overload import OverloadRule
from sampler.engine.retention import Retention
from sampler.engine.settings import AnnotationSettings, EngineSettings
from sampler.engine.spill import RocksSpill
from sampler.metrics import KeyspaceMetrics, WorkerMetrics
from sampler.otlp import get_scanner
from sampler.selftrace import tracer_of
from sampler.selftrace.places import trace_worker
from sampler.stream.app import AppSettings, create_app
from sampler.stream.checkpoints import Checkpoints
from sampler.stream.fatal import RecoveryAlarm, die, fatal
from sampler.stream.lease import Lease
from sampler.stream.node import Node
from sampler.stream.outputs import Outputs
from sampler.stream.pipeline import Pipeline
from sampler.stream.policy_switch import PolicySwitch
from sampler.stream.pressure_parts import make_pressure, watchdog_limits
from sampler.stream.pressure_report import PressureReport
from sampler.stream.relief import PipelineLimits
from sampler.stream.reload import PolicyReloader, PolicyWatch
from sampler.stream.report import Reporter
from sampler.stream.rescue import RescueDesk
from sampler.stream.rescue_http import RescueAction
from sampler.stream.rocksdb_report import RocksDbReport
from sampler.stream.service_report import ServiceReport
from sampler.stream.span_source import SpanSource
from sampler.stream.tier_link import TierLink
from sampler.stream.topic_retention import TopicRetention
from sampler.stream.topics import TopicLoader
from sampler.stream.transforming import transformed
from sampler.stream.watch import AppView, Watch
from sampler.stream.watchdog import Watchdog
from sampler.web.actions import Actions
from sampler.web.health import Health
from sampler.web.status import StatusPage

MIB = 1024 * 1024
RETAINED, SPILLED = "retained", "spans"
"""Folders in the data folder whose contents no other process can use."""


def engine_settings(config: Config, policies: PolicyFile, partitions: int) -> EngineSettings:
    """What the engine takes from both files."""
    block, names = policies.tail_sampling, config.worker.annotation.names
    overload = config.worker.overload
    return EngineSettings(
        decision_wait_ms=block.decision_wait.ms,
        decision_wait_after_root_ms=block.decision_wait_after_root_received.ms,
        maximum_trace_size_bytes=block.maximum_trace_size_bytes,
        maximum_spans_per_trace=block.maximum_spans_per_trace,
        decision_ttl_ms=(policies.decision_ttl or config.worker.decision_cache.ttl).ms,
        retain_dropped_ms=block.retain_dropped.ms,
        drop_pending_at_stop=block.drop_pending_traces_on_shutdown,
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
        overload=OverloadRule(overload.lag_limit.ms, overload.max_share) if overload.lag_limit.ms else None,
    )


def assemble(
    config: Config,
    policies: PolicyFile,
    partitions: Mapping[str, int],
    data_dir: Path,
    metrics: WorkerMetrics,
    health: Health,
    page: StatusPage,
    actions: Actions,
) -> faust.App:
    """The app of a worker with everything behind it, ready to run; `partitions` of the topics read and written.

    What can be asked of it is added to `actions`.
    """
    topics = config.kafka.topics
    source = _source(config)
    outputs = _outputs(config, partitions)
    store, limits, spilled = _trace_table(config, data_dir)
    pressure = make_pressure(config.worker, data_dir, outputs, source, store, health)
    node = Node(topics.spans, source, outputs, _lease(config), health, pressure, monotonic_s)
    app, table, topic = create_app(_app_settings(config, partitions[topics.spans], data_dir), node)
    seen = AppView(app, topics.spans)
    retained = _retention(config, data_dir)
    services = ServiceReport(metrics, most) if (most := config.worker.metrics.services) else None
    tier = _tier_link(config, partitions[topics.spans], source, metrics)
    pipeline = Pipeline(
        engine_settings(config, policies, partitions[topics.spans]),
        policies.policy_set,
        get_scanner(config.worker.scanner),
        store,
        transformed(outputs, config, metrics.registry),
        table,
        limits=limits,
        committed=seen.committed,
        rewind=source.rewind,
        current_epoch=lambda: source.epoch,
        wall_ms=wall_ms,
        read_header=source.read_header,
        checkpoints=Checkpoints(data_dir / "checkpoint"),
        retention=retained,
        services=services,
        exchange_of=tier.exchange_of,
    )
    _attach(config, pipeline, outputs, tier)
    span_retention = _span_retention(app, config)
    databases = {"decisions": table.databases, "spans": spilled, "retained": retained.databases}
    reports = PressureReport(metrics, outputs, pressure), services, span_retention, RocksDbReport(metrics, databases)
    recovered = partial(getattr, table.table, "records_read_ahead")
    reporter = Reporter(
        metrics, pipeline, source, outputs, store, policies.policy_set, page, *reports, recovered,
        config.worker.metrics.keys,
    )  # fmt: skip
    node.attach(pipeline, reporter, _watch(config, pipeline, source, seen), tier)
    _connect(app, topic, table.table, node)
    settings_of = partial(engine_settings, config, partitions=partitions[topics.spans])
    switch = PolicySwitch(policies, pipeline, reporter, page, settings_of, wall_ms, tier.use_policies)
    loader = TopicLoader(config.kafka, policies.given_plugins, outputs)
    _reload(app, config, PolicyWatch(policies, loader, LastGood(data_dir).keep), switch)
    _rescue(app, RescueDesk(pipeline, get_scanner(config.worker.scanner), node.may_fetch), actions)
    return app


def _attach(config: Config, pipeline: Pipeline, outputs: Outputs, tier: TierLink) -> None:
    """Connect the pipeline with those that look at it: the tier, and the worker's traces of itself."""
    trace_worker(tracer_of(config.tracing, "worker"), pipeline, outputs)
    tier.attach(pipeline)


def node_of(app: faust.App) -> Node:
    """The worker's own parts behind an app that `assemble` made."""
    return cast(Node, app.tail)  # type: ignore[attr-defined]  # put there by `create_app`


def _span_retention(app: Any, config: Config) -> TopicRetention:
    """Have the app ask for the span topic's retention now and then."""
    retention = TopicRetention(admin_conf(config.kafka), config.kafka.topics.spans)

    @app.task  # type: ignore[untyped-decorator]  # Faust is untyped here
    async def asking() -> None:
        await retention.run()

    return retention


def _watch(config: Config, pipeline: Pipeline, source: SpanSource, seen: AppView) -> Watch:
    """What notices stalls, also those of the recovery, which Faust only logs."""
    logging.getLogger("faust.tables.recovery").addHandler(RecoveryAlarm())
    return Watch(Watchdog(watchdog_limits(config.worker)), pipeline, source, seen, wall_ms)


def _lease(config: Config) -> Lease:
    return Lease(config.worker.session_timeout.ms / 1000)


def _source(config: Config) -> SpanSource:
    return SpanSource(
        consumer_conf(config.kafka),
        config.kafka.topics.spans,
        initial=config.worker.initial_offset,
        monotonic_s=monotonic_s,
    )


def _tier_link(config: Config, partitions: int, source: SpanSource, metrics: WorkerMetrics) -> TierLink:
    kafka = config.kafka
    return TierLink(
        kafka.topics.keyspace, partitions, source, consumer_conf(kafka), producer_conf(kafka),
        KeyspaceMetrics(metrics.registry), monotonic_s, wall_ms,
    )  # fmt: skip


def _reload(app: Any, config: Config, watch: PolicyWatch, switch: PolicySwitch) -> None:
    """Have the app look at the policy file for as long as it runs."""
    reloader = PolicyReloader(watch, config.worker.policies_reload_interval.seconds, switch.tell)

    @app.task  # type: ignore[untyped-decorator]  # Faust is untyped here
    async def reloading() -> None:
        with fatal("policies could not be exchanged"):
            await reloader.run()


def _retention(config: Config, data_dir: Path) -> Retention:
    """Where dropped traces may lie. They go before the disk is so full that the worker pauses."""
    worker = config.worker
    reserve_bytes = 2 * worker.trace_table.disk_reserve_mib * MIB
    return Retention(data_dir / RETAINED, worker.retain_dropped_limit_mib * MIB, reserve_bytes=reserve_bytes)


def _rescue(app: Any, desk: RescueDesk, actions: Actions) -> None:
    """Have the app work off what operators ask for."""
    actions.offer("/rescue", RescueAction(desk))

    @app.task  # type: ignore[untyped-decorator]  # Faust is untyped here
    async def rescuing() -> None:
        with fatal("a rescue failed"):
            await desk.run(monotonic_s)


def _outputs(config: Config, partitions: Mapping[str, int]) -> Outputs:
    topics = config.kafka.topics
    return Outputs(
        {
            **producer_conf(config.kafka),
            # With the lease, which ends after half a session: no output is delivered after another worker can decide.
            "delivery.timeout.ms": max(1000, config.worker.session_timeout.ms // 2),
        },
        span_topic=topics.spans,
        sampled_topic=topics.sampled,
        topics={topic: count for topic, count in partitions.items() if topic != topics.spans},
        dead_letter_topic=topics.dead_letter,
        partitioner=config.kafka.partitioner,
        on_fatal=die,
        trace_context=config.worker.trace_context_headers,
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
        standby_replicas=worker.decision_cache.standby_replicas,
        changelog_conf=consumer_conf(kafka),
        group_instance_id=worker.group_instance_id,
        broker_credentials=faust_credentials(kafka),
    )


def _trace_table(config: Config, data_dir: Path) -> tuple[ChunkStore, PipelineLimits, Callable[[], list[Rdict]]]:
    """The table, its hard limits, and how to find the databases it spills to."""
    table = config.worker.trace_table
    memory_bytes, disk_bytes, reserve_bytes = (
        size * MIB for size in (table.memory_limit_mib, table.disk_limit_mib, table.disk_reserve_mib)
    )
    if not disk_bytes:
        return ChunkStore(), PipelineLimits(table.max_traces, memory_limit_bytes=memory_bytes), list
    spill = RocksSpill(data_dir / SPILLED, reserve_bytes=reserve_bytes)
    limits = PipelineLimits(table.max_traces, disk_bytes, max(memory_bytes, 1))
    return ChunkStore(memory_bytes, spill), limits, spill.databases


def _connect(app: Any, topic: Any, table: Any, node: Node) -> None:
    """Tell the node what the app does; anything that goes wrong there ends the process, because Faust would go on."""
    watching: list[asyncio.Task[None]] = []

    async def watch() -> None:
        with fatal("the watchdog failed"):
            await node.watching()

    def begin_to_watch() -> None:
        if not watching:
            watching.append(asyncio.create_task(watch()))

    @app.agent(topic, name="tail-sampler")  # type: ignore[untyped-decorator]  # Faust is untyped here
    async def sample(stream: Any) -> None:
        async for batch in stream:
            with fatal("a batch could not be processed"):
                node.take(batch)

    @app.on_partitions_revoked.connect  # type: ignore[untyped-decorator]
    async def revoked(_app: Any, revoked: Any, **_: Any) -> None:
        begin_to_watch()  # this comes before the first assignment too, which may be long in coming
        node.partitions_revoked()

    @app.on_partitions_assigned.connect  # type: ignore[untyped-decorator]
    async def assigned(_app: Any, assigned: Any, **_: Any) -> None:
        begin_to_watch()
        node.partitions_assigned({tp.partition for tp in assigned if tp.topic == node.span_topic})

    @table.on_recover  # type: ignore[untyped-decorator]
    async def recovered() -> None:
        with fatal("the decision table could not be recovered"):
            node.recovered()

    @app.task  # type: ignore[untyped-decorator]
    async def housekeeping() -> None:
        with fatal("housekeeping failed"):
            await node.housekeeping()
