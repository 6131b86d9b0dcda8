"""The small HTTP server of a process: /metrics, /livez, /readyz, /status.

It runs in threads of its own, so that it answers, and tells the truth, when the main loop stands still.
"""

from __future__ import annotations

import io
import json
import logging
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from prometheus_client import CollectorRegistry

from sampler.certificates import LOOK_EVERY_S, ReloadedContext
from sampler.clock import monotonic_s
from sampler.config.base import split_endpoint
from sampler.config.processes import Web
from sampler.config.server_tls import Certificate
from sampler.web.actions import MOST_BYTES, Actions
from sampler.web.exposition import Exposition, of_registry
from sampler.web.health import Health
from sampler.web.status import Page, StatusPage

log = logging.getLogger(__name__)

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
INDEX = """tailsampler

/metrics   Prometheus metrics
/livez     200 while the process turns, 503 when a part stands still
/readyz    200 while the process can do its work, 503 with the reason when not
           (?verbose lists every part)
/status    what runs here, as JSON
/rescue    POST: write traces that were dropped after all; see `tailsampler rescue`. Workers only
"""


class WebServer:
    """Serves from `start()` to `stop()`. Port 0 takes a free one; `port` and `address` then name it."""

    def __init__(
        self,
        endpoint: str,
        registry: CollectorRegistry,
        health: Health,
        page: Page | None = None,
        actions: Actions | None = None,
        expose: Exposition | None = None,
        tls: Certificate | None = None,
        protect_metrics: bool = False,
    ) -> None:
        """`expose` makes the page of metrics, where that is not simply the registry's; `page` has a `text()`.

        `actions` knows who may do and see what; with `protect_metrics` that holds for metrics too. ConfigError where
        the certificate of `tls` cannot be used.
        """
        host, self._asked_port = split_endpoint(endpoint)
        self._host = host or "0.0.0.0"  # noqa: S104  # ":8484" means all addresses, as in the Collector
        self._expose = expose or of_registry(registry)
        self._health = health
        self._page = page or StatusPage()
        self._actions = actions or Actions()
        self._certificate = ReloadedContext(tls, "web.tls") if tls else None
        self._protect_metrics = protect_metrics
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port listened on; the one asked for before the start."""
        return int(self._server.server_address[1]) if self._server else self._asked_port

    @property
    def address(self) -> str:
        """host:port as it goes into a URL."""
        return f"[{self._host}]:{self.port}" if ":" in self._host else f"{self._host}:{self.port}"

    @property
    def scheme(self) -> str:
        """What its URLs begin with: http or https."""
        return "https" if self._certificate else "http"

    def start(self) -> None:
        """Listen; OSError with a sentence where the address cannot be had."""
        try:
            self._server = _Server(self._host, self._asked_port, self._expose, self._health, self._page, self._actions)
        except OSError as error:
            reason = error.strerror or str(error)
            raise OSError(error.errno, f"cannot listen on {self.address} for metrics and health: {reason}") from error
        self._server.certificate = self._certificate
        self._server.protect_metrics = self._protect_metrics
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="web", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Close the port; safe to call twice."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


def web_server(
    web: Web,
    registry: CollectorRegistry,
    health: Health,
    page: Page | None = None,
    actions: Actions | None = None,
    expose: Exposition | None = None,
) -> WebServer:
    """The server of a process as its configuration says; without `actions` nothing can be asked of it."""
    actions = actions or Actions(web.secret_token())
    return WebServer(web.endpoint, registry, health, page, actions, expose, web.tls, web.protect_metrics)


class _Server(ThreadingHTTPServer):
    certificate: ReloadedContext | None = None
    protect_metrics = False
    looked_s = 0.0
    daemon_threads = True
    # Requests under way must not hold up the end of the process.
    block_on_close = False

    def __init__(self, host: str, port: int, expose: Exposition, health: Health, page: Page, actions: Actions) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.expose = expose
        self.health = health
        self.page = page
        self.actions = actions
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind without asking DNS for our own name, which the base class does and nothing here needs."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection, in a thread of its own; that is where TLS begins, so that nobody holds up the others."""
        if self.certificate is None:
            super().finish_request(request, client_address)
            return
        now_s = monotonic_s()
        if now_s - self.looked_s >= LOOK_EVERY_S:
            self.looked_s = now_s
            self.certificate.look()
        request.settimeout(_Handler.timeout)
        with self.certificate.context.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""
        log.debug("a request from %s failed", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10.0
    protocol_version = "HTTP/1.1"
    server_version = "tailsampler"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer one of the paths of the index."""
        url = urlsplit(self.path)
        verbose = "verbose" in parse_qs(url.query, keep_blank_values=True)
        now = monotonic_s()
        match url.path:
            case "/metrics":
                if not self.server.protect_metrics or self._may_see():
                    self._metrics()
            case "/livez" | "/healthz":
                status = self.server.health.live(now)
                self._answer(200 if status.ok else 503, TEXT, status.text("livez", verbose).encode())
            case "/readyz":
                status = self.server.health.ready(now)
                self._answer(200 if status.ok else 503, TEXT, status.text("readyz", verbose).encode())
            case "/status":
                if self._may_see():
                    self._answer(200, JSON, self.server.page.text().encode())
            case "/":
                self._answer(200, TEXT, INDEX.encode())
            case _:
                self._answer(404, TEXT, b"nothing here: see / for what there is\n")

    def do_POST(self) -> None:
        """Carry out an action, if the request may."""
        host = str(self.server.server_address[0])
        length = self.headers.get("Content-Length", "")
        # Read also where it is refused: closing a connection with unread bytes takes the answer away from the sender.
        body = io.BytesIO(self.rfile.read(int(length)) if length.isdigit() and int(length) <= MOST_BYTES else b"")
        code, answer = self.server.actions.carry_out(urlsplit(self.path).path, host, self.headers, body)
        # Whatever of the request was not read must not be taken for the next one.
        self.close_connection = True
        self._answer(code, JSON, json.dumps(answer).encode() + b"\n")

    def _may_see(self) -> bool:
        """Whether the request may see what is not for everyone; else it is answered."""
        refusal = self.server.actions.refusal(str(self.server.server_address[0]), self.headers)
        if refusal is None:
            return True
        code, answer = refusal
        self._answer(code, JSON, json.dumps(answer).encode() + b"\n")
        return False

    do_HEAD = do_GET  # noqa: N815  # the name http.server looks for

    def _metrics(self) -> None:
        body, content_type = self.server.expose(self.headers.get("Accept") or "")
        self._answer(200, content_type, body)

    def _answer(self, code: int, content_type: str, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Probes come every few seconds; they are not written to the log."""
