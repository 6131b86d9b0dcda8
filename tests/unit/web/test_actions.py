"""Who may change something by POST, over real sockets."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from sampler.web.actions import MOST_BYTES, Actions
from sampler.web.health import Health
from sampler.web.server import WebServer

JSON = {"Content-Type": "application/json"}


def serve(endpoint: str, token: str | None) -> WebServer:
    actions = Actions(token)
    actions.offer("/rescue", lambda body: (200, {"got": body.decode()}))
    server = WebServer(endpoint, CollectorRegistry(), Health(), actions=actions)
    server.start()
    return server


@pytest.fixture
def local() -> Iterator[WebServer]:
    server = serve("localhost:0", None)
    yield server
    server.stop()


@pytest.fixture
def guarded() -> Iterator[WebServer]:
    server = serve("0.0.0.0:0", "correct horse")
    yield server
    server.stop()


@pytest.fixture
def open_to_all() -> Iterator[WebServer]:
    server = serve("0.0.0.0:0", None)
    yield server
    server.stop()


def post(
    server: WebServer, headers: Mapping[str, str] = JSON, body: bytes = b"{}", path: str = "/rescue"
) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("POST", path, body, dict(headers))
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_on_localhost_no_token_is_needed(local: WebServer) -> None:
    """Whoever is on the machine may."""
    assert post(local, body=b'{"a": 1}') == (200, {"got": '{"a": 1}'})


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({}, 415),
        ({**JSON, "Host": "evil.example"}, 403),
        ({**JSON, "Host": "127.0.0.1.evil.example:80"}, 403),
        ({**JSON, "Host": "[::1]:80"}, 200),
    ],
)
def test_no_page_in_a_browser_may(local: WebServer, headers: dict[str, str], code: int) -> None:
    """What a page of another origin can make a browser send is refused."""
    assert post(local, headers)[0] == code


def test_elsewhere_a_token_is_needed(open_to_all: WebServer) -> None:
    """A server that others can reach takes nothing without one, not even from the machine itself."""
    code, answer = post(open_to_all)
    assert code == 403
    assert "web.token" in answer["error"]


@pytest.mark.parametrize(
    ("given", "code"), [("Bearer correct horse", 200), ("Bearer correct", 401), ("correct horse", 401), ("", 401)]
)
def test_the_token_decides(guarded: WebServer, given: str, code: int) -> None:
    """Where there is one, it is asked for, wherever the request comes from."""
    assert post(guarded, {**JSON, "Authorization": given})[0] == code


def test_what_nobody_offers_is_not_there(local: WebServer) -> None:
    """With a hint, in JSON like every answer."""
    code, answer = post(local, path="/metrics")
    assert (code, "error" in answer) == (404, True)


def test_a_request_is_small(local: WebServer) -> None:
    """One that says to be larger is refused before it is read."""
    assert post(local, {**JSON, "Content-Length": str(MOST_BYTES + 1)})[0] == 413
