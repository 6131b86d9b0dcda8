"""The small HTTP server of a process: /metrics, /livez, /readyz, /status.

It runs in threads of its own, so that it answers, and tells the truth, when the main loop stands still.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from sampler.clock import monotonic_s
from sampler.config.base import split_endpoint
from sampler.web.actions import Actions
from sampler.web.health import Health
from sampler.web.status import StatusPage

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
        page: StatusPage | None = None,
        actions: Actions | None = None,
    ) -> None:
        host, self._asked_port = split_endpoint(endpoint)
        self._host = host or "0.0.0.0"  # noqa: S104  # ":8484" means all addresses, as in the Collector
        self._registry = registry
        self._health = health
        self._page = page or StatusPage()
        self._actions = actions or Actions()
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

    def start(self) -> None:
        """Listen; OSError with a sentence where the address cannot be had."""
        try:
            self._server = _Server(
                self._host, self._asked_port, self._registry, self._health, self._page, self._actions
            )
        except OSError as error:
            reason = error.strerror or str(error)
            raise OSError(error.errno, f"cannot listen on {self.address} for metrics and health: {reason}") from error
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


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Requests under way must not hold up the end of the process.
    block_on_close = False

    def __init__(
        self, host: str, port: int, registry: CollectorRegistry, health: Health, page: StatusPage, actions: Actions
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.registry = registry
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
                self._metrics()
            case "/livez" | "/healthz":
                status = self.server.health.live(now)
                self._answer(200 if status.ok else 503, TEXT, status.text("livez", verbose).encode())
            case "/readyz":
                status = self.server.health.ready(now)
                self._answer(200 if status.ok else 503, TEXT, status.text("readyz", verbose).encode())
            case "/status":
                self._answer(200, JSON, self.server.page.text().encode())
            case "/":
                self._answer(200, TEXT, INDEX.encode())
            case _:
                self._answer(404, TEXT, b"nothing here: see / for what there is\n")

    def do_POST(self) -> None:
        """Carry out an action, if the request may."""
        host = str(self.server.server_address[0])
        code, answer = self.server.actions.carry_out(urlsplit(self.path).path, host, self.headers, self.rfile)
        # Whatever of the request was not read must not be taken for the next one.
        self.close_connection = True
        self._answer(code, JSON, json.dumps(answer).encode() + b"\n")

    do_HEAD = do_GET  # noqa: N815  # the name http.server looks for

    def _metrics(self) -> None:
        encode, content_type = choose_encoder(self.headers.get("Accept") or "")
        self._answer(200, content_type, encode(self.server.registry))

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
