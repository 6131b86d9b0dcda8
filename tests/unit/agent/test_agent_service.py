"""Starting, health and stopping of the agent as a process."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sampler.agent.grpc_server import EXPORT_TRACES
from sampler.embedded.broker import EmbeddedBroker

Make = Callable[..., ExportTraceServiceRequest]

SCRIPT = """
import logging, sys
from sampler.agent.service import run_agent
from sampler.agent.settings import AgentSettings, PublisherSettings
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
kafka, grpc_listen = sys.argv[1:]
publisher = PublisherSettings(topic="otlp_spans", librdkafka={"bootstrap.servers": kafka}, flush_interval_ms=1000)
sys.exit(run_agent(AgentSettings(publisher, grpc_listen, None)))
"""


def free_port() -> int:
    """A loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_sigterm_finishes_what_is_in_flight(
    broker: EmbeddedBroker, read_records: Any, make_request: Make
) -> None:
    """On SIGTERM a request in flight gets its success, its spans are stored, and the process ends with 0."""
    listen = f"127.0.0.1:{free_port()}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SCRIPT, broker.bootstrap, listen, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        async with grpc.aio.insecure_channel(listen) as channel:
            export = channel.unary_unary(EXPORT_TRACES)
            assert await export(make_request().SerializeToString(), wait_for_ready=True, timeout=30) == b""
            broker.set_rtt_ms(1000)
            in_flight = asyncio.ensure_future(export(make_request(seed=2).SerializeToString(), timeout=30))
            # The second call is answered at once, so the first, sent before it on the same connection, has arrived.
            assert await export(b"", timeout=30) == b""
            assert not in_flight.done()
            process.send_signal(signal.SIGTERM)
            assert await in_flight == b""
        output, _ = await process.communicate()
        assert process.returncode == 0, output
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    broker.set_rtt_ms(0)
    assert sum(len(record.spans()) for record in await asyncio.to_thread(read_records)) == 40


async def test_a_taken_address_ends_the_process(broker: EmbeddedBroker) -> None:
    """Where the address is taken the process says which and ends with 2."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", SCRIPT, broker.bootstrap, listen],
            capture_output=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    assert f"cannot listen for OTLP/gRPC on {listen}".encode() in done.stdout


async def test_readiness_follows_kafka(open_agent: Any, broker: EmbeddedBroker, eventually: Any) -> None:
    """Not ready until Kafka answers, ready then, not ready with the reason in an outage and when stopping."""
    async with open_agent() as running:
        said = running.health.ready
        assert said == [(False, "waiting for Kafka"), (True, "")]
        assert running.health.names == {"agent"}
        await eventually(lambda: running.health.beats)
        broker.broker_down()
        await eventually(lambda: not said[-1][0])
        assert "does not answer" in said[-1][1]
        broker.broker_up()
        await eventually(lambda: said[-1][0])
    assert said[-1] == (False, "stopping")
    assert not running.health.names


async def test_one_transport_may_be_off(open_agent: Any) -> None:
    """An address of None switches a transport off."""
    async with open_agent(wait=False, grpc_listen=None) as running:
        assert running.agent.grpc_port == 0
        assert running.agent.http_port > 0
