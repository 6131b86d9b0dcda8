"""`tailsampler worker`: runs until told to stop."""

from __future__ import annotations

import fcntl
import gc
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import faust
from confluent_kafka.admin import AdminClient
from prometheus_client import CollectorRegistry

from sampler.config import Config, PolicyFile
from sampler.config.security import admin_conf
from sampler.metrics import WorkerMetrics
from sampler.stream.assembly import assemble
from sampler.web.health import Health
from sampler.web.server import WebServer

logger = logging.getLogger(__name__)

METADATA_TIMEOUT_S = 30.0
LOCK_FILE = "lock"


class WorkerError(RuntimeError):
    """The worker cannot start; the message says why and what to do."""


def run_worker(config: Config, policies: PolicyFile) -> int:
    """Work until SIGTERM or SIGINT; the exit code is 0 after a clean stop.

    WorkerError where the topics, the brokers or the data folder do not allow it.
    """
    topics = config.kafka.topics
    with locked(Path(config.worker.data_dir).resolve()) as data_dir:
        partitions = topic_partitions(admin_conf(config.kafka), [topics.spans, topics.sampled])
        registry, health = CollectorRegistry(), Health()
        metrics = WorkerMetrics(registry)
        metrics.set_policy_set(policies.policy_set.content_hash)
        app = assemble(config, policies, partitions, data_dir, metrics, health)
        web = WebServer(config.web.endpoint, registry, health) if config.web.enabled else None
        if web is not None:
            web.start()
            logger.info("metrics and health on http://%s", web.address)
        spare_the_garbage_collector()
        try:
            return _run(app)
        finally:
            if web is not None:
                web.stop()


def spare_the_garbage_collector() -> None:
    """Have cyclic garbage collected rarely: a fetch makes thousands of objects, none of them in a cycle.

    With CPython's defaults every full collection walks all buffered traces: about a seventh of the worker's time was
    measured with one span a record.
    What is alive now stays alive and need not be looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)


def _run(app: faust.App) -> int:
    level = logging.getLevelName(logging.getLogger().level)
    worker = faust.Worker(app, loglevel=level, override_logging=False, redirect_stdouts=False, quiet=True)
    try:
        worker.execute_from_commandline()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return 0


@contextmanager
def locked(folder: Path) -> Iterator[Path]:
    """Keep a data folder to this process; WorkerError where another one has it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK_FILE).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WorkerError(f"another worker uses the data folder {folder}: give each one its own") from None
        yield folder


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
