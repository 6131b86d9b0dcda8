"""The pages of several processes as one, over real sockets."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics_of
from prometheus_client.parser import text_string_to_metric_families as metrics_of
from prometheus_client.samples import Exemplar, Sample

from sampler.cli.run_pages import local_url, with_ports
from sampler.config import Config
from sampler.metrics import RunMetrics, WorkerMetrics, observe_many, process_registry
from sampler.web.exposition import merge
from sampler.web.gather import Fleet, FleetHealth
from sampler.web.health import Health
from sampler.web.server import WebServer
from sampler.web.status import StatusPage

OPEN = "application/openmetrics-text; version=1.0.0"


class Process(NamedTuple):
    """What stands for a worker: its pages, and what they tell of."""

    server: WebServer
    metrics: WorkerMetrics
    health: Health
    page: StatusPage


@pytest.fixture
def processes() -> Iterator[dict[str, Process]]:
    """Two workers' pages."""
    with ExitStack() as stack:
        found = {}
        for name in ("worker-1", "worker-2"):
            health, page = Health(), StatusPage()
            registry = process_registry("worker", health)
            server = WebServer("127.0.0.1:0", registry, health, page)
            server.start()
            stack.callback(server.stop)
            found[name] = Process(server, WorkerMetrics(registry), health, page)
        yield found


@pytest.fixture
def gathered(processes: dict[str, Process]) -> Iterator[WebServer]:
    """The page of both, of which the first was started again twice."""
    registry = process_registry("run", Health())
    urls = {name: f"http://{process.server.address}" for name, process in processes.items()}
    fleet = Fleet(urls, registry, RunMetrics(registry), lambda: {"worker-1": 2, "worker-2": 0})
    server = WebServer("127.0.0.1:0", registry, FleetHealth(fleet), fleet, expose=fleet.metrics)
    server.start()
    yield server
    server.stop()
    fleet.close()


def get(server: WebServer, path: str, accept: str = "") -> tuple[int, str]:
    """Status and text of a page."""
    request = urllib.request.Request(f"http://{server.address}{path}", headers={"Accept": accept})
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def samples(page: str, form: str = "") -> list[Sample]:
    """The samples of a page, by prometheus_client's own parsers, which are strict about grouping."""
    families = open_metrics_of(page) if form else metrics_of(page)  # type: ignore[no-untyped-call]  # untyped
    return [sample for family in families for sample in family.samples]


@pytest.mark.parametrize("form", ["", OPEN])
def test_metrics_of_all_processes(gathered: WebServer, processes: dict[str, Process], form: str) -> None:
    """In either form: every sample with its process, and what the supervisor knows of them."""
    processes["worker-1"].metrics.spans_received_total.inc(3)
    processes["worker-2"].metrics.spans_received_total.inc(4)
    code, page = get(gathered, "/metrics", form)
    assert code == 200
    found = samples(page, form)
    assert all(sample.labels["process"] in {"run", "worker-1", "worker-2"} for sample in found)
    received = {s.labels["process"]: s.value for s in found if s.name == "tailsampler_spans_received_total"}
    assert received == {"worker-1": 3, "worker-2": 4}
    restarts = {s.labels["part"]: s.value for s in found if s.name == "tailsampler_process_restarts_total"}
    assert restarts == {"worker-1": 2, "worker-2": 0}
    assert get(gathered, "/metrics", form)[1].count("tailsampler_process_restarts_total{") == 2


def test_exemplars_come_through(gathered: WebServer, processes: dict[str, Process]) -> None:
    """Where the scraper asks for OpenMetrics."""
    histogram = processes["worker-2"].metrics.decision_latency_seconds
    observe_many(histogram, 1.0, 5, Exemplar({"trace_id": "ab"}, 1.0, 7.0))
    found = [sample for sample in samples(get(gathered, "/metrics", OPEN)[1], OPEN) if sample.exemplar]
    assert [(s.labels["process"], s.labels["le"], s.exemplar.labels) for s in found if s.exemplar] == [
        ("worker-2", "1.0", {"trace_id": "ab"})
    ]


def test_a_process_that_is_away_takes_nothing_with_it(gathered: WebServer, processes: dict[str, Process]) -> None:
    """The others' metrics are there, it is said to be down, and the whole is not ready, with the reason."""
    processes["worker-1"].server.stop()
    code, page = get(gathered, "/metrics")
    up = {s.labels["part"]: s.value for s in samples(page) if s.name == "tailsampler_process_up"}
    assert (code, up) == (200, {"worker-1": 0, "worker-2": 1})
    assert 'process="worker-2"' in page
    assert 'process="worker-1"' not in page
    code, text = get(gathered, "/readyz")
    assert code == 503
    assert "[-]worker-1 failed: no answer" in text
    assert get(gathered, "/livez")[0] == 200


def test_readiness_and_status_of_all(gathered: WebServer, processes: dict[str, Process]) -> None:
    """Ready when all are; /status has what each says, under its name."""
    processes["worker-1"].page.set("policies", {"name": "shop"})
    assert get(gathered, "/readyz")[0] == 200
    processes["worker-2"].health.set_ready("table", False, "recovering")
    code, text = get(gathered, "/readyz")
    assert code == 503
    assert "worker-2 failed: [-]table failed: recovering" in text
    assert json.loads(get(gathered, "/status")[1]) == {"worker-1": {"policies": {"name": "shop"}}, "worker-2": {}}


def test_labels_are_added_wherever_they_may_stand() -> None:
    """With labels, without, with empty braces, with braces in values, and with an exemplar behind."""
    page = '# HELP a A.\n# TYPE a counter\na 1\na{} 2\na{x="{y} z"} 3 # {trace_id="q"} 1.0\n'
    assert merge([('p"1', page)]).splitlines()[2:] == [
        'a{process="p\\"1"} 1', 'a{process="p\\"1"} 2', 'a{process="p\\"1",x="{y} z"} 3 # {trace_id="q"} 1.0',
    ]  # fmt: skip


def test_lines_of_one_metric_stand_together() -> None:
    """Under one description, whatever the order in which processes tell of it."""
    first = "# HELP a A.\n# TYPE a gauge\na 1\n# HELP b B.\n# TYPE b gauge\nb 1\n# EOF\n"
    second = "# HELP b B.\n# TYPE b gauge\nb 2\n# HELP c C.\n# TYPE c gauge\nc 2\n# EOF\n"
    assert merge([("x", first), ("y", second)]) == (
        '# HELP a A.\n# TYPE a gauge\na{process="x"} 1\n'
        '# HELP b B.\n# TYPE b gauge\nb{process="x"} 1\nb{process="y"} 2\n'
        '# HELP c C.\n# TYPE c gauge\nc{process="y"} 2\n# EOF\n'
    )


def test_where_processes_are_asked() -> None:
    """On this machine, also where they listen on all its addresses."""
    assert local_url("0.0.0.0:8484") == "http://127.0.0.1:8484"
    assert local_url(":8484") == "http://127.0.0.1:8484"
    assert local_url("[::]:8484", "https") == "https://[::1]:8484"
    assert local_url("localhost:8484") == "http://localhost:8484"


def test_free_ports_in_a_row_where_none_is_named() -> None:
    """Port 0 becomes a real one with room behind it; a port that is named stays, and so does one that is off."""
    config = Config.model_validate({"web": {"endpoint": "127.0.0.1:0"}})
    host, _, port = with_ports(config, 4).web.endpoint.rpartition(":")
    assert host == "127.0.0.1"
    assert 0 < int(port) <= 65535 - 3
    for kept in ({"endpoint": "localhost:8484"}, {"endpoint": "localhost:0", "enabled": False}):
        config = Config.model_validate({"web": kept})
        assert with_ports(config, 4) is config


def test_an_empty_page_is_no_trouble() -> None:
    """Nor is one that is none."""
    assert merge([("x", ""), ("y", "not found\n")]) == ""
