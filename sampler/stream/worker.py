"""`tailsampler worker`: runs until told to stop."""

from __future__ import annotations

import fcntl
import gc
import logging
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import faust

from sampler.config import Config, PolicyFile
from sampler.config.last_good import LastGood
from sampler.config.processes import Web
from sampler.config.security import admin_conf
from sampler.metrics import WorkerMetrics, process_registry
from sampler.stream.assembly import RETAINED, SPILLED, assemble, node_of
from sampler.stream.pressure import DISK_PART
from sampler.stream.pressure_parts import free_bytes
from sampler.stream.topics import topic_partitions
from sampler.topic_specs import tenant_topics
from sampler.topics import TopicError
from sampler.web.actions import Actions
from sampler.web.health import Health
from sampler.web.server import web_server
from sampler.web.status import StatusPage

logger = logging.getLogger(__name__)

LOCK_FILE = "lock"
LEAST_DISK_BYTES = 8 * 1024 * 1024
"""RocksDB writes some MiB for every decision table it opens."""
DISK_WAIT_S = 1.0


class WorkerError(RuntimeError):
    """The worker cannot start; the message says why and what to do."""


def run_worker(config: Config, policies: PolicyFile) -> int:
    """Work until SIGTERM or SIGINT; the exit code is 0 after a clean stop.

    WorkerError where the topics, the brokers or the data folder do not allow it.
    """
    topics = config.kafka.topics
    with locked(Path(config.worker.data_dir).resolve()) as data_dir:
        written = (topics.sampled, *tenant_topics(config.kafka, policies))
        try:
            partitions = topic_partitions(admin_conf(config.kafka), [topics.spans, *written])
        except TopicError as error:
            raise WorkerError(str(error)) from error
        LastGood(data_dir).keep(policies)
        health = Health()
        registry = process_registry("worker", health)
        page = StatusPage()
        for leftover in (RETAINED, SPILLED):
            # They may be what fills the disk.
            shutil.rmtree(data_dir / leftover, ignore_errors=True)
        wait_for_room(data_dir, config.web)
        actions = Actions(config.web.secret_token())
        app = assemble(config, policies, partitions, data_dir, WorkerMetrics(registry), health, page, actions)
        web = web_server(config.web, registry, health, page, actions) if config.web.enabled else None
        if web is not None:
            web.start()
            logger.info("metrics and health on %s://%s", web.scheme, web.address)
        spare_the_garbage_collector()
        try:
            code = _run(app)
            if code == 0:
                node_of(app).stopped()
            return code
        finally:
            if web is not None:
                web.stop()


def wait_for_room(folder: Path, pages: Web) -> None:
    """Return when the disk has room for the decision tables: without it the worker could only begin again and again.

    Meanwhile it answers at its pages that it lives and is not ready.
    """
    free = free_bytes(folder)
    if free >= LEAST_DISK_BYTES:
        return
    logger.warning("waiting: the disk of %s has only %d bytes free: make room", folder, free)
    health = Health()
    health.set_ready(DISK_PART, False, "the disk of the data folder is full")
    web = web_server(pages, process_registry("worker", health), health) if pages.enabled else None
    if web is not None:
        web.start()
    while free_bytes(folder) < LEAST_DISK_BYTES:
        threading.Event().wait(DISK_WAIT_S)
    if web is not None:
        web.stop()
    logger.warning("the disk of %s has room again", folder)


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
    # It would write control sequences of a terminal into the log.
    worker.spinner = None
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
