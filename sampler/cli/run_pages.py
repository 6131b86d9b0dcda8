"""The pages of `tailsampler run`: those of all its processes as one."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from sampler.cli.options import WrongInputError
from sampler.config.base import split_endpoint
from sampler.config.models import Config
from sampler.config.processes import Web
from sampler.metrics.process import process_registry
from sampler.metrics.run import RunMetrics
from sampler.web.gather import Fleet, FleetHealth
from sampler.web.health import Health
from sampler.web.server import WebServer, web_server

if TYPE_CHECKING:
    from sampler.supervisor import Supervisor

ATTEMPTS = 100
_EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # compared with, not listened on


@contextmanager
def gathered_pages(web: Web, endpoints: Mapping[str, str], supervisor: Supervisor) -> Iterator[WebServer]:
    """Serve the pages of all processes as one at `web.endpoint`; `endpoints` are their own, by name."""
    registry = process_registry("run", Health())
    urls = {name: local_url(endpoint, "https" if web.tls else "http") for name, endpoint in endpoints.items()}
    fleet = Fleet(urls, registry, RunMetrics(registry), lambda: supervisor.restarts, web.secret_token())
    server = web_server(web, registry, FleetHealth(fleet), fleet, expose=fleet.metrics)
    try:
        server.start()
    except OSError as error:
        raise WrongInputError(error.strerror or str(error)) from error
    try:
        yield server
    finally:
        server.stop()
        fleet.close()


def local_url(endpoint: str, scheme: str = "http") -> str:
    """Where a process of this machine that listens on `endpoint` can be asked."""
    host, port = split_endpoint(endpoint)
    host = _EVERYWHERE.get(host, host)
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def with_ports(config: Config, count: int) -> Config:
    """The configuration with a real port in `web.endpoint`, so many free ones in a row, where it says port 0."""
    host, port = split_endpoint(config.web.endpoint)
    if port or not config.web.enabled:
        return config
    for _ in range(ATTEMPTS):
        with ExitStack() as held, suppress(OSError, OverflowError):
            first = _held(held, host, 0)
            for number in range(first + 1, first + count):
                _held(held, host, number)
            endpoint = f"{config.web.endpoint.rpartition(':')[0]}:{first}"
            return config.model_copy(update={"web": config.web.model_copy(update={"endpoint": endpoint})})
    raise WrongInputError(f"web.endpoint: no {count} free ports in a row on {host or 'this machine'}")


def _held(stack: ExitStack, host: str, port: int) -> int:
    made = stack.enter_context(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET))
    made.bind((host, port))
    return int(made.getsockname()[1])
