"""Encryption to a backend, with certificates made here."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from sampler.config.exporter import Backend
from sampler.exporter.answers import Answer, Fate
from sampler.exporter.sender import make_sender
from tests.harness.otlp_backend import OtlpBackend
from tests.unit.exporter.exporter_lab import span_ids, trace

PROTOCOLS = pytest.mark.parametrize("protocol", ["grpc", "http"])
VALUE = trace(1)


class Files:
    """A certificate authority, certificates of the backend and of a client, and a stranger's."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.server = self.authority.issue_cert("localhost", "127.0.0.1")
        client = self.authority.issue_cert("exporter@example.com")
        self.ca, self.stranger = str(folder / "ca.pem"), str(folder / "stranger.pem")
        self.cert, self.key = str(folder / "cert.pem"), str(folder / "key.pem")
        self.authority.cert_pem.write_to_path(self.ca)
        self.strangers = trustme.CA()
        self.strangers.cert_pem.write_to_path(self.stranger)
        client.cert_chain_pems[0].write_to_path(self.cert)
        client.private_key_pem.write_to_path(self.key)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Certificates for all tests."""
    return Files(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def secure(files: Files, request: pytest.FixtureRequest) -> AsyncIterator[OtlpBackend]:
    """A backend that speaks encrypted; with the parameter True it demands a certificate of the client."""
    demands = bool(getattr(request, "param", False))
    key, chain = files.server.private_key_pem.bytes(), files.server.cert_chain_pems[0].bytes()
    root = files.authority.cert_pem.bytes()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    files.server.configure_cert(context)
    if demands:
        context.verify_mode = ssl.CERT_REQUIRED
        files.authority.configure_trust(context)
    credentials = grpc.ssl_server_credentials([(key, chain)], root, demands)
    running = OtlpBackend(credentials=credentials, ssl_context=context)
    await running.start()
    try:
        yield running
    finally:
        await running.stop()


async def send(backend: OtlpBackend, protocol: str, tls: dict[str, Any], host: str = "localhost") -> Answer:
    """The answer to one request with these settings."""
    grpc_endpoint, http_endpoint = f"{host}:{backend.grpc_port}", f"https://{host}:{backend.http_port}"
    sender = make_sender(
        Backend.model_validate(
            {
                "name": "secure",
                "endpoint": http_endpoint if protocol == "http" else grpc_endpoint,
                "protocol": protocol,
                "tls": tls,
                "timeout": "5s",
            }
        )
    )
    try:
        return await sender.send(VALUE)
    finally:
        await sender.close()


@PROTOCOLS
async def test_a_trusted_backend(secure: OtlpBackend, files: Files, protocol: str) -> None:
    """With the authority's certificate requests are accepted, by name and by address."""
    assert (await send(secure, protocol, {"ca_file": files.ca})).fate is Fate.ACCEPTED
    assert (await send(secure, protocol, {"ca_file": files.ca}, "127.0.0.1")).fate is Fate.ACCEPTED
    assert secure.spans == span_ids([VALUE, VALUE])


@PROTOCOLS
async def test_a_backend_nobody_vouches_for(secure: OtlpBackend, files: Files, protocol: str) -> None:
    """A certificate of another authority, or for another name, lets nothing through and is no final refusal."""
    answer = await send(secure, protocol, {"ca_file": files.stranger})
    assert answer.fate is Fate.LATER
    assert "certificate" in answer.text.lower()
    wrong = await send(secure, protocol, {"ca_file": files.ca, "server_name_override": "other.example.com"})
    assert wrong.fate is Fate.LATER
    assert not secure.received


@PROTOCOLS
async def test_a_name_of_its_own(secure: OtlpBackend, files: Files, protocol: str) -> None:
    """`server_name_override` is the name that the certificate must be for."""
    tls = {"ca_file": files.ca, "server_name_override": "localhost"}
    assert (await send(secure, protocol, tls, "127.0.0.1")).fate is Fate.ACCEPTED


@PROTOCOLS
async def test_any_certificate_where_asked_for(secure: OtlpBackend, protocol: str) -> None:
    """`insecure_skip_verify` takes what the backend shows."""
    assert (await send(secure, protocol, {"insecure_skip_verify": True})).fate is Fate.ACCEPTED


@PROTOCOLS
@pytest.mark.parametrize("secure", [True], indirect=True)
async def test_a_certificate_of_ours(secure: OtlpBackend, files: Files, protocol: str) -> None:
    """A backend that demands a certificate gets ours; without one it takes nothing."""
    assert (await send(secure, protocol, {"ca_file": files.ca})).fate is Fate.LATER
    tls = {"ca_file": files.ca, "cert_file": files.cert, "key_file": files.key}
    assert (await send(secure, protocol, tls)).fate is Fate.ACCEPTED
    assert (await send(secure, protocol, {**tls, "insecure_skip_verify": True})).fate is Fate.ACCEPTED


@PROTOCOLS
async def test_files_that_are_not_there(protocol: str) -> None:
    """A file that cannot be read is an error at the start, not a failure for ever."""
    endpoint = "https://localhost:1" if protocol == "http" else "localhost:1"
    block = {"name": "x", "endpoint": endpoint, "protocol": protocol, "tls": {"ca_file": "/nonexistent.pem"}}
    with pytest.raises(OSError, match="No such file"):
        make_sender(Backend.model_validate(block))


@PROTOCOLS
async def test_certificates_are_read_anew(files: Files, secure: OtlpBackend, tmp_path: Path, protocol: str) -> None:
    """After `renew` new files count: a certificate can be replaced under a running exporter."""
    trusted = tmp_path / "trusted.pem"
    files.strangers.cert_pem.write_to_path(str(trusted))
    endpoint = f"https://localhost:{secure.http_port}" if protocol == "http" else f"localhost:{secure.grpc_port}"
    block = {"name": "x", "endpoint": endpoint, "protocol": protocol, "tls": {"ca_file": str(trusted)}, "timeout": "5s"}
    sender = make_sender(Backend.model_validate(block))
    try:
        assert (await sender.send(VALUE)).fate is Fate.LATER
        files.authority.cert_pem.write_to_path(str(trusted))
        await sender.renew()
        assert (await sender.send(VALUE)).fate is Fate.ACCEPTED
    finally:
        await sender.close()
