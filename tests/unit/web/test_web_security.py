"""Who sees the pages of a process: token, TLS, and where nobody was asked for one."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from sampler.cli.root import invoke
from sampler.config.base import split_endpoint
from sampler.config.errors import ConfigError
from sampler.config.models import Config
from sampler.config.processes import Web
from sampler.web.gather import ask
from sampler.web.health import Health
from sampler.web.server import WebServer, web_server
from sampler.web.status import StatusPage
from tests.harness.secured import Certificates

TOKEN = "correct horse"
BEARER = f"Bearer {TOKEN}"


@contextmanager
def serving(**settings: Any) -> Iterator[WebServer]:
    """The pages of a process with these settings of `web:`."""
    page = StatusPage()
    page.set("policies", {"hash": "c0ffee"})
    web = Web.model_validate({"endpoint": "localhost:0", **settings})
    server = web_server(web, CollectorRegistry(), Health(), page)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def get(
    server: WebServer,
    path: str,
    token: str | None = None,
    host: str | None = None,
    context: ssl.SSLContext | None = None,
) -> tuple[int, str]:
    """Status and text of a page."""
    sent = {"Authorization": token} if token else {}
    request = urllib.request.Request(
        f"{server.scheme}://localhost:{server.port}{path}", headers={**sent, **({"Host": host} if host else {})}
    )
    try:
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_with_a_token_the_status_needs_it_and_probes_do_not() -> None:
    """Metrics need it only where that is asked for."""
    with serving(token=TOKEN) as server:
        assert get(server, "/status")[0] == get(server, "/status", "Bearer wrong")[0] == 401
        assert "c0ffee" not in get(server, "/status")[1]
        assert get(server, "/status", BEARER)[0] == 200
        assert "c0ffee" in get(server, "/status", BEARER)[1]
        assert [get(server, path)[0] for path in ("/livez", "/readyz", "/metrics", "/")] == [200] * 4
    with serving(token=TOKEN, protect_metrics=True) as server:
        assert get(server, "/metrics")[0] == 401
        assert get(server, "/metrics", BEARER)[0] == 200
        assert [get(server, path)[0] for path in ("/livez", "/readyz")] == [200] * 2


def test_without_a_token_only_the_machine_itself_sees_the_status() -> None:
    """Not over an address that others reach, nor under a name that a foreign page may have made up."""
    with serving() as server:
        assert get(server, "/status")[0] == 200
        assert get(server, "/status", host="evil.example")[0] == 403
    with serving(endpoint="0.0.0.0:0") as server:
        status, text = get(server, "/status")
        assert (status, "web.token" in text) == (403, True)
        assert get(server, "/metrics")[0] == 200


def test_the_token_may_lie_in_a_file(tmp_path: Path) -> None:
    """Line ends behind it do not count; one that is not there is named, and both at once are refused."""
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    with serving(token_file=str(file)) as server:
        assert get(server, "/status", BEARER)[0] == 200
    with pytest.raises(ConfigError, match=r"web\.token: the file cannot be read"):
        Web(token_file=str(tmp_path / "nowhere")).secret_token()
    for wrong in ({"token": TOKEN, "token_file": str(file)}, {"protect_metrics": True}):
        with pytest.raises(ValidationError, match="token_file"):
            Web.model_validate(wrong)


def test_pages_over_tls(tmp_path: Path) -> None:
    """Plain http gets nothing, and the next certificate is taken without a restart."""
    first, second = Certificates(tmp_path, "first"), Certificates(tmp_path, "second")
    paths = first.issue("web")
    trusting = {each.ca_file: ssl.create_default_context(cafile=each.ca_file) for each in (first, second)}
    with serving(tls=paths, token=TOKEN) as server:
        assert get(server, "/status", BEARER, context=trusting[first.ca_file])[0] == 200
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            get(server, "/livez", context=trusting[second.ca_file])
        with pytest.raises((OSError, urllib.error.URLError)):
            urllib.request.urlopen(f"http://localhost:{server.port}/livez", timeout=10)
        second.issue("web")  # into the same files
        assert server._server is not None
        server._server.looked_s = float("-inf")
        assert get(server, "/livez", context=trusting[second.ca_file])[0] == 200


def test_rescue_over_tls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command trusts the authority that it is told."""
    certificates = Certificates(tmp_path)
    with serving(tls=certificates.issue("web")) as server:
        command = ["rescue", "--where", "true", "--worker", f"https://localhost:{server.port}"]
        assert invoke([*command, "--ca-file", certificates.ca_file]) == 1
        assert "nothing to be asked for here" in capsys.readouterr().err
        assert invoke(command) == 1
        assert "CERTIFICATE_VERIFY_FAILED" in capsys.readouterr().err


def test_every_port_is_local_unless_told_otherwise() -> None:
    """No default listens where other machines reach it."""

    def endpoints(tree: Any) -> Iterator[str]:
        for key, value in tree.items():
            if isinstance(value, dict):
                yield from endpoints(value)
            elif key == "endpoint" and value is not None:
                yield value

    found = list(endpoints(Config().model_dump(mode="json")))
    assert len(found) >= 3
    assert {split_endpoint(each)[0] for each in found} == {"localhost"}


def test_the_gathered_pages_ask_over_tls(tmp_path: Path) -> None:
    """`tailsampler run` reads the pages of its own processes, whatever name their certificate is for."""
    with serving(tls=Certificates(tmp_path).issue("web", "tailsampler.example"), token=TOKEN) as server:
        answer = ask(f"https://127.0.0.1:{server.port}/status", {"Authorization": BEARER})
        assert (answer.code, "c0ffee" in answer.text) == (200, True)
