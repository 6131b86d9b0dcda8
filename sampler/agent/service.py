"""The agent as a service: its parts put together, started and stopped in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from typing import Protocol

from prometheus_client import CollectorRegistry

from sampler.agent.grpc_server import GrpcServer
from sampler.agent.guard import Guard
from sampler.agent.http_server import HttpServer
from sampler.agent.metrics import AgentMetrics
from sampler.agent.publisher import Publisher
from sampler.agent.repartition import KafkaSource
from sampler.agent.settings import AgentSettings
from sampler.clock import monotonic_s
from sampler.config.errors import ConfigError
from sampler.metrics.source import SourceMetrics
from sampler.metrics.transform import TransformMetrics
from sampler.otlp import get_scanner
from sampler.redaction import transform_of
from sampler.selftrace import close_tracer, tracer_of
from sampler.selftrace.places import trace_agent

log = logging.getLogger(__name__)

PART = "agent"
BEAT_S = 1.0
BEAT_LIMIT_S = 15.0
SOURCE_PART = "kafka_source"
SOURCE_LIMIT_S = 60.0
EXIT_FAILED = 70


class Health(Protocol):
    """Where the agent says that it turns and whether it can take spans; times are monotonic seconds."""

    def register(self, name: str, timeout_s: float, now: float) -> None: ...
    def unregister(self, name: str) -> None: ...
    def beat(self, name: str, now: float) -> None: ...
    def set_ready(self, name: str, ready: bool, reason: str = "") -> None: ...


class Agent:
    """Receives OTLP and publishes it to Kafka. Start once, stop once, on one event loop.

    Ready while Kafka answers and the topic can be written; without, requests are refused with a retryable error.
    """

    def __init__(
        self, settings: AgentSettings, registry: CollectorRegistry | None = None, health: Health | None = None
    ) -> None:
        self._settings = settings
        self._health = health
        registry = registry or CollectorRegistry()
        metrics = AgentMetrics(registry)
        own_spans = settings.tracing.endpoint is not None
        transform = transform_of(settings.transform, TransformMetrics(registry).count, own_spans=own_spans)
        self.publisher = Publisher(settings.publisher, get_scanner(), metrics, self._say_ready, transform)
        limit = settings.max_request_bytes
        age_ms = settings.max_connection_age_ms
        guard = Guard(settings.guard, monotonic_s) if settings.guard.wanted else None
        connections = settings.guard.limits.max_connections
        self._grpc = settings.grpc_listen and GrpcServer(
            settings.grpc_listen, limit, self.publisher, metrics, age_ms, guard, settings.grpc_tls, connections
        )
        self._http = settings.http_listen and HttpServer(
            settings.http_listen, limit, self.publisher, metrics, guard, settings.http_tls, connections
        )
        self._beating: asyncio.Task[None] | None = None
        self.failed = asyncio.Event()
        """Set when a part has ended that should not: the process must be started again."""
        self._source = settings.source and KafkaSource(
            settings.source,
            self.publisher,
            SourceMetrics(registry),
            on_turn=self._source_turns,
            on_assigned=self._source_assigned,
            on_failure=self._source_failed,
        )
        self._tracer = tracer_of(settings.tracing, "agent")
        trace_agent(self._tracer, self.publisher, self._source)

    @property
    def grpc_port(self) -> int:
        """The port of OTLP/gRPC once started, 0 where it is off."""
        return self._grpc.port if self._grpc else 0

    @property
    def http_port(self) -> int:
        """The port of OTLP/HTTP once started, 0 where it is off."""
        return self._http.port if self._http else 0

    async def start(self) -> None:
        """Listen and connect; does not wait for Kafka.

        OSError with a sentence where an address cannot be had, ValueError where librdkafka refuses its settings.
        """
        if self._health:
            self._health.register(PART, BEAT_LIMIT_S, monotonic_s())
        self._say_ready("waiting for Kafka")
        await self.publisher.start()
        started: list[GrpcServer | HttpServer] = []
        try:
            for server in self._servers():
                await server.start()
                started.append(server)
            self._start_source()
        except (OSError, ValueError, ConfigError):
            await asyncio.gather(*(server.stop(0) for server in started))
            await self.publisher.close(0)
            raise
        self._beating = asyncio.create_task(self._beat())
        log.info("agent: OTLP/gRPC on port %s, OTLP/HTTP on port %s", self.grpc_port or "-", self.http_port or "-")

    async def stop(self) -> None:
        """Stop accepting, finish requests in flight, flush the producer; all within `stop_timeout_s` seconds."""
        deadline = monotonic_s() + self._settings.stop_timeout_s
        self._say_ready("stopping")
        # A request in flight waits for Kafka at most this long; the rest is for its records to be given up.
        grace = self._settings.stop_timeout_s * 0.8
        parts = (*self._servers(), *([self._source] if self._source else []))
        await asyncio.gather(*(part.stop(grace) for part in parts))
        left = await self.publisher.close(max(0.1, deadline - monotonic_s()))
        if left:
            log.warning("agent: %d records were not acknowledged; their senders were not told success", left)
        if self._tracer:
            await asyncio.to_thread(close_tracer, self._tracer)
        if self._beating:
            self._beating.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._beating
        if self._health:
            self._health.unregister(PART)
            if self._source:
                self._health.unregister(SOURCE_PART)

    def _servers(self) -> list[GrpcServer | HttpServer]:
        return [server for server in (self._grpc, self._http) if server]

    def _start_source(self) -> None:
        if not self._source:
            return
        if self._health:
            self._health.register(SOURCE_PART, SOURCE_LIMIT_S, monotonic_s())
            # Beside receivers the source may wait for its topic: they can do their work meanwhile.
            self._health.set_ready(SOURCE_PART, bool(self._servers()), "waiting for the group to share out partitions")
        self._loop = asyncio.get_running_loop()
        self._source.start()

    def _source_turns(self) -> None:
        if self._health:
            self._health.beat(SOURCE_PART, monotonic_s())

    def _source_assigned(self) -> None:
        if self._health:
            self._health.set_ready(SOURCE_PART, True)

    def _source_failed(self, _error: BaseException) -> None:
        self._loop.call_soon_threadsafe(self.failed.set)

    def _say_ready(self, problem: str | None) -> None:
        if self._health:
            self._health.set_ready(PART, problem is None, problem or "")

    async def _beat(self) -> None:
        while True:
            if self._health:
                self._health.beat(PART, monotonic_s())
            await asyncio.sleep(BEAT_S)


def run_agent(settings: AgentSettings, registry: CollectorRegistry | None = None, health: Health | None = None) -> int:
    """Run an agent until SIGTERM or SIGINT; 0 after a clean stop, 2 for bad settings or an address that is taken."""
    return asyncio.run(_run(settings, registry, health))


async def _run(settings: AgentSettings, registry: CollectorRegistry | None, health: Health | None) -> int:
    agent = Agent(settings, registry, health)
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    try:
        await agent.start()
    except (OSError, ValueError) as error:
        log.error("%s", error)
        return 2
    failed = asyncio.ensure_future(agent.failed.wait())
    await asyncio.wait([failed, asyncio.ensure_future(asked.wait())], return_when=asyncio.FIRST_COMPLETED)
    await agent.stop()
    return EXIT_FAILED if failed.done() else 0
