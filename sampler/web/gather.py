"""One /metrics, /livez, /readyz and /status for the processes that `tailsampler run` has started."""

from __future__ import annotations

import json
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from prometheus_client import CollectorRegistry

from sampler.metrics.run import RunMetrics
from sampler.web.exposition import merge, of_registry
from sampler.web.health import Health, PartStatus, Status

TIMEOUT_S = 4.0
"""For the answer of one process; all are asked at once, and scrapers wait for ten seconds by default."""
SELF = "run"


class Answer(NamedTuple):
    """What a process answered; code 0 where it did not."""

    code: int
    text: str
    content_type: str = ""


class Fleet:
    """The processes by name, each with the address of its own pages. Asks them anew for every page."""

    def __init__(
        self,
        urls: Mapping[str, str],
        registry: CollectorRegistry,
        metrics: RunMetrics,
        restarts: Callable[[], Mapping[str, int]],
        token: str | None = None,
    ) -> None:
        """`registry` has the supervisor's own metrics, `metrics` among them; `token` is that of the pages."""
        self._urls = dict(urls)
        self._own = of_registry(registry)
        self._metrics = metrics
        self._restarts = restarts
        self._seen: dict[str, int] = {}
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._counting = threading.Lock()
        self._pool = ThreadPoolExecutor(max_workers=max(1, len(self._urls)), thread_name_prefix="gather")

    def close(self) -> None:
        """No page is asked for any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def metrics(self, accept: str) -> tuple[bytes, str]:
        """The metrics of all processes, each with its name as the label `process`, in the form that is asked for."""
        answers = self._ask("/metrics", accept)
        for process, answer in answers.items():
            self._metrics.process_up.labels(part=process).set(answer.code == 200)
        with self._counting:
            for process, restarts in self._restarts().items():
                self._metrics.process_restarts_total.labels(part=process).inc(restarts - self._seen.get(process, 0))
                self._seen[process] = restarts
        own, content_type = self._own(accept)
        pages = [(SELF, own.decode())]
        # One that starts right now may not know the form yet, or answer with an error: its next page will be there.
        pages += [(name, page.text) for name, page in answers.items() if page.code == 200]
        return merge(pages).encode(), content_type

    def ready(self) -> Status:
        """Ready when every process is."""
        parts = []
        for process, answer in self._ask("/readyz").items():
            detail = "" if answer.code == 200 else _first_line(answer.text) or "no answer"
            parts.append(PartStatus(process, answer.code == 200, detail))
        return Status(all(part.ok for part in parts), tuple(sorted(parts, key=lambda part: part.name)))

    def text(self) -> str:
        """What every process says of itself, by its name, as JSON: the page of their statuses."""
        return json.dumps({name: _json(answer) for name, answer in self._ask("/status").items()}, indent=2) + "\n"

    def _ask(self, path: str, accept: str = "") -> dict[str, Answer]:
        headers = {**self._headers, **({"Accept": accept} if accept else {})}
        asked = {name: self._pool.submit(ask, f"{url}{path}", headers) for name, url in self._urls.items()}
        return {name: answer.result() for name, answer in asked.items()}


class FleetHealth(Health):
    """Live while the supervisor turns, ready when every process is."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__()
        self._fleet = fleet

    def ready(self, now: float) -> Status:
        """Asks every process."""
        own, others = super().ready(now), self._fleet.ready()
        return Status(own.ok and others.ok, (*own.parts, *others.parts))


def ask(url: str, headers: Mapping[str, str]) -> Answer:
    """GET a page of a process on this machine; never raises for want of an answer."""
    request = urllib.request.Request(url, headers=dict(headers))  # noqa: S310  # our own children's addresses
    # Pages of this machine are never behind the proxy that the environment may name.
    # Their certificate is for the name that others call this machine by.
    handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=_own_certificate()))
    opener = urllib.request.build_opener(*handlers)
    try:
        with opener.open(request, timeout=TIMEOUT_S) as reply:
            return Answer(reply.status, reply.read().decode(), reply.headers.get("Content-Type", ""))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read().decode(errors="replace"))
    except (OSError, ValueError) as error:
        return Answer(0, f"no answer: {error}")


def _own_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def _json(answer: Answer) -> object:
    try:
        return json.loads(answer.text)
    except ValueError:
        return {"error": _first_line(answer.text) or "no answer"}
