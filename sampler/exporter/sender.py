"""What sends requests to one backend."""

from __future__ import annotations

from typing import Protocol

from sampler.config.backend_address import parse_address
from sampler.config.exporter import Backend
from sampler.exporter.answers import Answer


class Sender(Protocol):
    """Sends to one backend; lives on one event loop. No failure raises: every one is an answer."""

    async def send(self, body: bytes) -> Answer:
        """Send a serialized ExportTraceServiceRequest, and wait for the answer as long as the backend may take."""

    async def renew(self) -> None:
        """Use new connections, and read certificates anew. Requests under way may fail as if the network had."""

    async def close(self) -> None:
        """Close all connections."""


def make_sender(backend: Backend) -> Sender:
    """The sender for a backend's protocol. OSError or ValueError where its certificates cannot be used."""
    address = parse_address(backend.endpoint, backend.protocol, insecure=backend.tls.insecure)
    if backend.protocol == "grpc":
        from sampler.exporter.grpc_sender import GrpcSender

        return GrpcSender(backend, address)
    from sampler.exporter.http_sender import HttpSender

    return HttpSender(backend, address)
