"""/metrics, /livez and /readyz over real sockets."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from sampler.clock import monotonic_s
from sampler.metrics import WorkerMetrics
from sampler.web.health import Health
from sampler.web.server import WebServer
from sampler.web.status import StatusPage


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def page() -> StatusPage:
    return StatusPage()


@pytest.fixture
def server(health: Health, page: StatusPage) -> Iterator[WebServer]:
    registry = CollectorRegistry()
    WorkerMetrics(registry).spans_received_total.inc(7)
    server = WebServer("localhost:0", registry, health, page)
    server.start()
    yield server
    server.stop()


def get(server: WebServer, path: str, accept: str = "", method: str = "GET") -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("localhost", server.port, timeout=10)
    try:
        connection.request(method, path, headers={"Accept": accept} if accept else {})
        response = connection.getresponse()
        return response.status, response.headers["Content-Type"], response.read().decode()
    finally:
        connection.close()


def test_metrics_in_both_forms(server: WebServer) -> None:
    """Prometheus text by default, OpenMetrics where the scraper asks for it."""
    code, kind, body = get(server, "/metrics")
    assert (code, kind.split(";")[0]) == (200, "text/plain")
    assert "tailsampler_spans_received_total 7.0\n" in body
    assert "_created" not in body
    _, kind, body = get(server, "/metrics", "application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert "tailsampler_spans_received" in {family.name for family in text_string_to_metric_families(body)}


def test_health_tells_the_truth(server: WebServer, health: Health) -> None:
    """200 and 503 follow the parts; /healthz is /livez."""
    health.register("loop", 60.0, monotonic_s())
    assert [get(server, path)[0] for path in ("/livez", "/readyz", "/healthz")] == [200, 200, 200]
    health.set_ready("loop", False, "recovering")
    assert [get(server, path)[0] for path in ("/livez", "/readyz", "/healthz")] == [200, 503, 200]
    assert "recovering" in get(server, "/readyz")[2]
    health.register("loop", 1.0, monotonic_s() - 5)
    assert [get(server, path)[0] for path in ("/livez", "/readyz", "/healthz")] == [503, 503, 503]


def test_verbose_lists_parts(server: WebServer, health: Health) -> None:
    """?verbose names those that are well too."""
    health.register("loop", 60.0, monotonic_s())
    assert "[+]loop ok" in get(server, "/livez?verbose")[2]
    assert "loop" not in get(server, "/livez")[2]


def test_it_answers_while_the_main_thread_stands_still(server: WebServer, health: Health) -> None:
    """A part that has not beaten gives 503, and the server needs nothing of the thread that started it."""
    health.register("loop", 0.0, monotonic_s() - 1)
    answers: list[int] = []
    prober = threading.Thread(target=lambda: answers.append(get(server, "/livez")[0]))
    prober.start()
    prober.join(10)
    assert answers == [503]


def test_the_status_is_json_by_section(server: WebServer, page: StatusPage) -> None:
    """A section is replaced as a whole."""
    page.set("policies", {"name": "shop", "error": "old"})
    page.set("policies", {"name": "market"})
    code, kind, body = get(server, "/status")
    assert (code, kind, json.loads(body)) == (200, "application/json", {"policies": {"name": "market"}})


def test_other_paths(server: WebServer) -> None:
    """The index names the paths; anything else is 404; HEAD has no body."""
    assert "/metrics" in get(server, "/")[2]
    assert get(server, "/secret")[0] == 404
    assert get(server, "/livez", method="HEAD")[::2] == (200, "")


def test_a_taken_port_is_one_sentence(server: WebServer) -> None:
    """Which address, and for what."""
    other = WebServer(f"localhost:{server.port}", CollectorRegistry(), Health())
    with pytest.raises(OSError, match=f"cannot listen on localhost:{server.port} for metrics and health"):
        other.start()
    other.stop()


def test_a_silent_client_does_not_hold_up_others(server: WebServer) -> None:
    """A connection that never asks anything leaves the rest served, and the stop quick."""
    silent = http.client.HTTPConnection("localhost", server.port, timeout=10)
    silent.connect()
    assert get(server, "/livez")[0] == 200
    silent.close()
