"""One backend with all that belongs to it: reader, delivery, and what is known of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sampler.config.exporter import Backend
from sampler.config.models import Config
from sampler.config.policies import PolicyFile
from sampler.config.security import consumer_conf
from sampler.exporter.assembler import Assembler
from sampler.exporter.batch import Batch
from sampler.exporter.dead_letters import DeadLetters
from sampler.exporter.delivery import Delivery
from sampler.exporter.reader import Reader
from sampler.exporter.selection import Selection, asks_for_something, sources_of
from sampler.exporter.sender import make_sender
from sampler.exporter.state import BackendState
from sampler.metrics.exporter import BackendMetrics, ExporterMetrics
from sampler.selftrace.places import trace_sender

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

PATTERN_REFRESH_MS = 30_000
"""How soon a new topic that a pattern fits is read."""
CLOSE_S = 2.0
"""The part of the time for stopping that is left for the last commit and for leaving the group."""


class Lane:
    """Takes records from the topics of a backend to it. Start and stop once, on one event loop."""

    def __init__(
        self,
        config: Config,
        backend: Backend,
        policies: PolicyFile | None,
        metrics: ExporterMetrics,
        letters: DeadLetters,
        *,
        on_turn: Callable[[], None],
        on_failure: Callable[[BaseException], None],
        tracer: Tracer | None = None,
    ) -> None:
        """RouteError or PlanError where the route cannot be followed, OSError or ValueError where files or settings
        cannot be used.
        """
        own = BackendMetrics(metrics, backend.name)
        self.name = backend.name
        self.state = BackendState(backend.name, own)
        sources, tenants = sources_of(backend.topics, backend.route, config.kafka.topics.sampled, policies)
        self.topics = sources.topics
        filter_all = asks_for_something(backend.route)
        selection = None
        if filter_all or tenants is not None:
            selection = Selection(backend.route, config.worker.annotation.names.policy_attribute, tenants)
        self._loop = asyncio.get_running_loop()
        sender = make_sender(backend)
        trace_sender(tracer, sender, backend.name)
        self._delivery = Delivery(backend, sender, letters, own, self.state, self._settled, on_failure)
        sending = backend.sending
        assembler = Assembler(
            own,
            lambda: self._delivery.batch_limit_bytes,
            sending.batch_spans,
            sending.flush_interval.seconds,
            selection,
            sources.filtered,
            filter_all=filter_all,
        )
        self._reader = Reader(
            reader_conf(config, backend),
            self.topics,
            assembler,
            own,
            self.state,
            self._submit,
            max_in_flight_bytes=sending.max_in_flight,
            commit_interval_s=config.exporter.commit_interval.seconds,
            from_latest=backend.initial_offset == "latest",
            on_turn=on_turn,
            on_failure=on_failure,
        )

    def start(self) -> None:
        """Read and send."""
        self._delivery.start()
        self._reader.start()

    async def stop(self, timeout_s: float) -> bool:
        """Finish what is under way, commit and leave, all within `timeout_s`; False where that took longer."""
        self._reader.stop()
        await self._delivery.stop(max(0.0, timeout_s - CLOSE_S))
        return await asyncio.to_thread(self._reader.leave, CLOSE_S)

    def _submit(self, batch: Batch) -> None:
        self._loop.call_soon_threadsafe(self._delivery.submit, batch)

    def _settled(self, batch: Batch) -> None:
        self._reader.settled(batch)


def group_of(config: Config, backend: Backend) -> str:
    """The consumer group of a backend."""
    return backend.group_id or f"{config.kafka.group_id}-exporter-{backend.name}"


def reader_conf(config: Config, backend: Backend) -> dict[str, Any]:
    """Properties of librdkafka for the consumer of a backend. Holds secrets."""
    session_ms = config.exporter.session_timeout.ms
    patterns = any(topic.startswith("^") for topic in backend.topics)
    return {
        "client.id": "tailsampler-exporter",
        "partition.assignment.strategy": "cooperative-sticky",
        "queued.max.messages.kbytes": max(1024, backend.sending.max_in_flight // 1024),
        "queued.min.messages": 10_000,
        "fetch.queue.backoff.ms": 20,
        "reconnect.backoff.max.ms": 1000,
        **({"topic.metadata.refresh.interval.ms": PATTERN_REFRESH_MS} if patterns else {}),
        **consumer_conf(config.kafka),
        "group.id": group_of(config, backend),
        "session.timeout.ms": session_ms,
        "heartbeat.interval.ms": max(1, min(3000, session_ms // 3)),
        # Also what happens where the topic no longer holds the offset: what is left is read, not left out.
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "allow.auto.create.topics": False,
    }
