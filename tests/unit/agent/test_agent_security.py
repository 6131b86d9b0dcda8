"""OTLP over TLS, with certificates and credentials of senders, before the embedded broker."""

from __future__ import annotations

import asyncio
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from sampler.agent.grpc_server import EXPORT_TRACES
from sampler.agent.guard import GuardSettings
from sampler.config.errors import ConfigError
from sampler.config.receiving import AgentAuth, AgentLimits, AgentTenant
from sampler.config.server_tls import ServerTls
from tests.harness.secured import Certificates

Make = Callable[..., ExportTraceServiceRequest]
PROTOBUF = "application/x-protobuf"


def channel(port: int, ca: str, client: dict[str, str] | None = None) -> Any:
    """A gRPC channel over TLS with a connection of its own."""
    pair = [Path(client[name]).read_bytes() for name in ("key_file", "cert_file")] if client else [None, None]
    credentials = grpc.ssl_channel_credentials(Path(ca).read_bytes(), *pair)
    return grpc.aio.secure_channel(f"localhost:{port}", credentials, options=[("grpc.use_local_subchannel_pool", 1)])


async def export(over: Any, request: bytes, **metadata: str) -> bytes:
    """One export call; keyword arguments are its metadata."""
    async with over:
        sent = tuple((name.replace("_", "-"), value) for name, value in metadata.items())
        answer: bytes = await over.unary_unary(EXPORT_TRACES)(request, timeout=20, metadata=sent)
        return answer


def client_context(ca: str, client: dict[str, str] | None = None) -> ssl.SSLContext:
    """TLS of an HTTP client."""
    context = ssl.create_default_context(cafile=ca)
    if client:
        context.load_cert_chain(client["cert_file"], client["key_file"])
    return context


def post(port: int, body: bytes, context: ssl.SSLContext | None = None, **headers: str) -> tuple[int, bytes, Any]:
    """One POST on a connection of its own: status, body and headers of the answer."""
    scheme = "https" if context else "http"
    sent = {"Content-Type": PROTOBUF, **{name.replace("_", "-"): value for name, value in headers.items()}}
    request = urllib.request.Request(f"{scheme}://localhost:{port}/v1/traces", body, sent)
    try:
        with urllib.request.urlopen(request, timeout=20, context=context) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers


def damage(file: str) -> None:
    """Put something into a file that is no certificate or key."""
    Path(file).write_text("KEY-MATERIAL")


async def test_tls_and_certificates_of_senders(open_agent: Any, make_request: Make, tmp_path: Path) -> None:
    """Both transports take spans over TLS, with client_ca_file only from who has a certificate of that authority."""
    certificates, others = Certificates(tmp_path), Certificates(tmp_path, "others")
    ours, theirs = certificates.issue("sender"), others.issue("stranger")
    tls = ServerTls(**certificates.issue("agent"), client_ca_file=certificates.ca_file)
    request = make_request().SerializeToString()
    async with open_agent(grpc_tls=tls, http_tls=tls) as running:
        grpc_port, http_port = running.agent.grpc_port, running.agent.http_port
        assert await export(channel(grpc_port, certificates.ca_file, ours), request) == b""
        context = client_context(certificates.ca_file, ours)
        assert (await asyncio.to_thread(post, http_port, request, context))[0] == 200
        for stranger in (None, theirs):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await export(channel(grpc_port, certificates.ca_file, stranger), request)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
            with pytest.raises((OSError, urllib.error.URLError)):
                await asyncio.to_thread(post, http_port, request, client_context(certificates.ca_file, stranger))
        assert running.metric("spans_accepted_total") == 2 * 20


async def test_certificates_are_exchanged_while_it_runs(
    open_agent: Any,
    make_request: Make,
    tmp_path: Path,
    eventually: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """New connections see the new certificate; a damaged file leaves the one before."""
    monkeypatch.setattr("sampler.agent.http_listener.LOOK_EVERY_S", 0.02)
    first, second = Certificates(tmp_path, "first"), Certificates(tmp_path, "second")
    paths = first.issue("agent")
    request = make_request().SerializeToString()
    async with open_agent(grpc_tls=ServerTls(**paths), http_tls=ServerTls(**paths)) as running:
        grpc_port, http_port = running.agent.grpc_port, running.agent.http_port

        async def answers(ca_file: str) -> bool:
            try:
                await export(channel(grpc_port, ca_file), request)
                await asyncio.to_thread(post, http_port, request, client_context(ca_file))
            except (grpc.aio.AioRpcError, OSError):
                return False
            return True

        assert await answers(first.ca_file)
        second.issue("agent")  # into the same files
        while not await answers(second.ca_file):
            pass  # asked again
        assert not await answers(first.ca_file)
        damage(paths["cert_file"])
        await eventually(lambda: "the certificate before goes on" in caplog.text)
        assert await answers(second.ca_file)


@pytest.mark.parametrize("transport", ["grpc", "http"])
async def test_a_certificate_that_cannot_be_used_stops_the_start(
    open_agent: Any, tmp_path: Path, transport: str
) -> None:
    """The error names the key and the file, not its content."""
    paths = Certificates(tmp_path).issue("agent")
    damage(paths["key_file"])
    with pytest.raises(ConfigError, match=rf"agent\.{transport}\.tls\.cert_file") as refused:
        async with open_agent(**{f"{transport}_tls": ServerTls(**paths)}):
            pass
    assert "MATERIAL" not in str(refused.value)


async def test_tokens_let_in_and_mark_the_tenant(
    open_agent: Any, make_request: Make, read_records: Any, tmp_path: Path
) -> None:
    """Without a token both transports say so; with one, the spans carry its tenant, whatever their sender wrote."""
    file = tmp_path / "tokens"
    file.write_text("secret-of-acme acme\nsecret-of-all *\n")
    guard = GuardSettings(AgentAuth(tokens_file=str(file)), AgentTenant(header="X-Tenant"))
    message = make_request(traces=4)
    message.resource_spans[0].resource.attributes.add(key="tenant.id").value.string_value = "forged"
    request = message.SerializeToString()
    async with open_agent(guard=guard) as running:
        http_port = running.agent.http_port
        insecure = lambda: grpc.aio.insecure_channel(running.grpc)  # noqa: E731
        for metadata in ({}, {"authorization": "Bearer wrong"}):
            with pytest.raises(grpc.aio.AioRpcError, match="Authorization") as refused:
                await export(insecure(), request, **metadata)
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        status, body, headers = await asyncio.to_thread(post, http_port, request)
        assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
        assert "Authorization" in Status.FromString(body).message
        await export(insecure(), request, authorization="Bearer secret-of-acme", x_tenant="globex")
        http = {"Authorization": "Bearer secret-of-all", "X_Tenant": "globex"}
        assert (await asyncio.to_thread(post, http_port, request, None, **http))[0] == 200
        assert running.metric("requests_total", transport="grpc", outcome="unauthenticated") == 2
        assert running.metric("requests_total", transport="http", outcome="unauthenticated") == 1
    found = [
        [each.value.string_value for each in resource_spans.resource.attributes if each.key == "tenant.id"]
        for record in await asyncio.to_thread(read_records)
        for resource_spans in TracesData.FromString(record.value).resource_spans
    ]
    assert sorted(found) == [["acme"]] * 4 + [["globex"]] * 4


async def test_beyond_a_rate_senders_are_told_when_to_come_again(open_agent: Any, make_request: Make) -> None:
    """RESOURCE_EXHAUSTED with RetryInfo, which SDKs wait for, and 429 with Retry-After."""
    guard = GuardSettings(limits=AgentLimits(requests_per_second=0.001))
    request = make_request().SerializeToString()
    async with open_agent(guard=guard) as running:
        await export(grpc.aio.insecure_channel(running.grpc), request)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await export(grpc.aio.insecure_channel(running.grpc), request)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        trailers = dict(refused.value.trailing_metadata())
        detail = RetryInfo()
        assert Status.FromString(trailers["grpc-status-details-bin"]).details[0].Unpack(detail)
        assert 0 < detail.retry_delay.seconds <= 1000
        status, _, headers = await asyncio.to_thread(post, running.agent.http_port, request)
        assert status == 429
        assert 0 < int(headers["Retry-After"]) <= 1000
        assert running.metric("requests_total", transport="http", outcome="limited") == 1


async def test_connections_are_bounded(open_agent: Any, make_request: Make) -> None:
    """Beyond the bound of a transport nobody new gets in, until somebody leaves."""
    guard = GuardSettings(limits=AgentLimits(max_connections=1))
    request = make_request().SerializeToString()
    async with open_agent(guard=guard) as running:
        url = f"{running.http}/v1/traces"
        async with aiohttp.ClientSession(headers={"Content-Type": PROTOBUF}) as first:
            async with first.post(url, data=request) as answer:
                assert answer.status == 200
            status, body, headers = await asyncio.to_thread(post, running.agent.http_port, request)
            assert (status, headers["Retry-After"]) == (503, "1")
            assert b"agent.limits.max_connections" in body
        while (await asyncio.to_thread(post, running.agent.http_port, request))[0] != 200:
            pass  # the agent has not seen the first one leave yet
        option = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(running.grpc, options=option) as one:
            assert await one.unary_unary(EXPORT_TRACES)(request, timeout=20) == b""
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await export(grpc.aio.insecure_channel(running.grpc, options=option), request)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
