"""The exporter as a service: its backends put together, started and stopped in order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import Callable
from typing import Protocol

from prometheus_client import CollectorRegistry

from sampler.clock import monotonic_s
from sampler.config.models import Config
from sampler.config.policies import PolicyFile
from sampler.config.security import producer_conf
from sampler.exporter.dead_letters import DeadLetters
from sampler.exporter.lane import Lane
from sampler.exporter.selection import RouteError
from sampler.metrics.exporter import ExporterMetrics
from sampler.otlp import PlanError
from sampler.selftrace import tracer_of
from sampler.web.status import StatusPage

log = logging.getLogger(__name__)

PART = "exporter"
BEAT_S = 0.5
BEAT_LIMIT_S = 15.0
READER_LIMIT_S = 120.0
"""A reader stands still while its partitions change hands or Kafka does not answer, but not for so long."""


class Health(Protocol):
    """Where the exporter says that it turns and whether its backends take what they are sent; monotonic seconds."""

    def register(self, name: str, timeout_s: float, now: float) -> None: ...
    def unregister(self, name: str) -> None: ...
    def beat(self, name: str, now: float) -> None: ...
    def set_ready(self, name: str, ready: bool, reason: str = "") -> None: ...


class BackendSetupError(Exception):
    """A backend that cannot be used as configured; the text says which, why and what to do."""


class Exporter:
    """Takes kept traces to every backend of the configuration. Start once, stop once, on one event loop."""

    def __init__(
        self,
        config: Config,
        policies: PolicyFile | None = None,
        registry: CollectorRegistry | None = None,
        health: Health | None = None,
        page: StatusPage | None = None,
    ) -> None:
        """BackendSetupError where a backend cannot be used."""
        self._config = config
        self._health = health
        self._page = page or StatusPage()
        self._metrics = ExporterMetrics(registry or CollectorRegistry())
        self._loop = asyncio.get_running_loop()
        self.failed: asyncio.Future[BaseException] = self._loop.create_future()
        """Done when something happened that must not, and the process is to end."""
        kafka = config.kafka
        self._letters = DeadLetters(
            producer_conf(kafka), kafka.topics.dead_letter, self._metrics, lambda text: self._fail(RuntimeError(text))
        )
        self._tracer = tracer_of(config.tracing, "exporter")
        self.lanes = [self._lane(index, policies) for index in range(len(config.exporter.backends))]
        self._beating: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect; waits neither for Kafka nor for a backend."""
        now_s = monotonic_s()
        if self._health:
            self._health.register(PART, BEAT_LIMIT_S, now_s)
            for lane in self.lanes:
                self._health.register(f"reader of {lane.name}", READER_LIMIT_S, now_s)
        for lane in self.lanes:
            lane.start()
            log.info("backend %s: reading %s", lane.name, ", ".join(lane.topics))
        self._beating = asyncio.create_task(self._beat())

    async def stop(self) -> None:
        """Finish what is under way, commit and leave, all within exporter.stop_timeout."""
        timeout_s = self._config.exporter.stop_timeout.seconds
        if self._health:
            self._health.set_ready(PART, False, "stopping")
        done = await asyncio.gather(*(lane.stop(timeout_s) for lane in self.lanes))
        for lane, left in zip(self.lanes, done, strict=True):
            if not left:
                log.warning("backend %s: Kafka did not let its reader leave in time", lane.name)
        self._letters.close()
        if self._beating:
            self._beating.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._beating
        if self._health:
            for name in (PART, *(f"reader of {lane.name}" for lane in self.lanes)):
                self._health.unregister(name)

    def _lane(self, index: int, policies: PolicyFile | None) -> Lane:
        backend = self._config.exporter.backends[index]
        try:
            return Lane(
                self._config, backend, policies, self._metrics, self._letters,
                on_turn=self._turning(f"reader of {backend.name}"), on_failure=self._fail, tracer=self._tracer,
            )  # fmt: skip
        except (RouteError, PlanError, OSError, ValueError) as error:
            raise BackendSetupError(f"exporter.backends[{index}] ({backend.name}): {error}") from error

    def _turning(self, part: str) -> Callable[[], None]:
        def turn() -> None:
            if self._health:
                self._health.beat(part, monotonic_s())

        return turn

    def _fail(self, error: BaseException) -> None:
        """From any thread."""

        def fail() -> None:
            if not self.failed.done():
                self.failed.set_result(error)

        with contextlib.suppress(RuntimeError):  # the loop has ended, and so has the process
            self._loop.call_soon_threadsafe(fail)

    async def _beat(self) -> None:
        while True:
            now_s = monotonic_s()
            if self._health:
                self._health.beat(PART, now_s)
                for lane in self.lanes:
                    problem, kafka = lane.state.problem(now_s), lane.state.kafka_problem
                    self._health.set_ready(f"backend {lane.name}", not problem, problem)
                    self._health.set_ready(f"kafka of {lane.name}", not kafka, kafka)
            self._page.set("exporter", {lane.name: lane.state.report() for lane in self.lanes})
            await asyncio.sleep(BEAT_S)


def _spare_the_collector() -> None:
    """Let the cyclic garbage collector run seldom: records come by the thousands, and none is in a cycle."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)


def run_exporter(
    config: Config,
    policies: PolicyFile | None,
    registry: CollectorRegistry | None = None,
    health: Health | None = None,
    page: StatusPage | None = None,
) -> int:
    """Run until SIGTERM or SIGINT; 0 after a clean stop, 2 where a backend cannot be used, 70 after an error inside."""
    return asyncio.run(_run(config, policies, registry, health, page))


async def _run(
    config: Config,
    policies: PolicyFile | None,
    registry: CollectorRegistry | None,
    health: Health | None,
    page: StatusPage | None,
) -> int:
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    try:
        exporter = Exporter(config, policies, registry, health, page)
    except BackendSetupError as error:
        log.error("%s", error)
        return 2
    _spare_the_collector()
    exporter.start()
    exporter.failed.add_done_callback(lambda _: asked.set())
    await asked.wait()
    if exporter.failed.done():
        log.error("the exporter ends itself, to be started again: %s", exporter.failed.result())
    await exporter.stop()
    return 70 if exporter.failed.done() else 0
