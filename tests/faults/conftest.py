"""What fault scenarios share: the clusters, the stage, and the page that a full run writes."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import pytest

from tests.faults.report import PAGE, page
from tests.faults.stage import Row, Stage
from tests.harness.distribution import MissingToolError
from tests.harness.kafka import KafkaCluster
from tests.harness.secured import Certificates, SecuredKafka

Cluster = TypeVar("Cluster", bound=KafkaCluster)
HERE = Path(__file__).parent
ROWS = pytest.StashKey[list[Row]]()
LEFT_OUT = pytest.StashKey[int]()
FILES = pytest.StashKey[set[Path]]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin without rows."""
    config.stash[ROWS] = []
    config.stash[LEFT_OUT] = 0
    config.stash[FILES] = set()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every scenario, so that `-m faults` runs them all and `-m "not kafka"` none."""
    for item in items:
        if HERE in item.path.parents and {"stage", "stage3", "secured_stage"} & set(getattr(item, "fixturenames", ())):
            item.config.stash[FILES].add(item.path)
            item.add_marker(pytest.mark.faults)
            item.add_marker(pytest.mark.kafka)


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Count the scenarios that are left out."""
    for item in items:
        if item.get_closest_marker("faults"):
            item.config.stash[LEFT_OUT] += 1


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the page after a run of all scenarios in which all went well."""
    rows = session.config.stash[ROWS]
    whole = session.config.stash[FILES] == set(HERE.glob("test_*.py")) and not session.config.stash[LEFT_OUT]
    if rows and whole and exitstatus == 0:
        PAGE.write_text(page([asdict(row) for row in rows]), encoding="utf-8")


@contextmanager
def _running(cluster: Cluster) -> Iterator[Cluster]:
    try:
        cluster.start()
    except MissingToolError as error:
        pytest.fail(str(error), pytrace=False)
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaCluster]:
    """One broker for all scenarios that leave it alone."""
    with _running(KafkaCluster()) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def kafka3() -> Iterator[KafkaCluster]:
    """Three brokers for the scenarios in which one of them fails."""
    with _running(KafkaCluster(3, java_heap="384m")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def secured_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """One broker that lets nobody do what no ACL allows."""
    folder = tmp_path_factory.mktemp("secured")
    with _running(SecuredKafka(Certificates(folder), folder, {})) as cluster:
        yield cluster


@pytest.fixture
def make_stage(pytestconfig: pytest.Config, tmp_path: Path) -> Callable[[KafkaCluster], Stage]:
    """Makes the stage of a scenario, whose topics are its alone."""
    return lambda cluster: Stage(cluster, tmp_path, f"f{uuid.uuid4().hex[:8]}", pytestconfig.stash[ROWS])


@pytest.fixture
def stage(kafka: KafkaCluster, make_stage: Callable[[KafkaCluster], Stage]) -> Stage:
    """A stage on one broker."""
    return make_stage(kafka)


@pytest.fixture
def stage3(kafka3: KafkaCluster, make_stage: Callable[[KafkaCluster], Stage]) -> Stage:
    """A stage on three brokers."""
    return make_stage(kafka3)


@pytest.fixture
def secured_stage(secured_kafka: SecuredKafka, make_stage: Callable[[KafkaCluster], Stage]) -> Stage:
    """A stage on a broker that asks who one is; its workers log in as `secured_kafka.client` says."""
    return make_stage(secured_kafka)
