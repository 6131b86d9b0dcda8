"""From the configuration to a tracer."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from sampler.config.errors import ConfigError
from sampler.config.tracing import Tracing
from sampler.redaction.build import OWN_ATTRIBUTE

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

__all__ = ["OWN_ATTRIBUTE", "close_tracer", "tracer_of"]

SEND_EVERY_MS = 1000
MISSING = "needs the OpenTelemetry SDK, which is not installed: pip install 'tailsampler[sdk]'"


def tracer_of(config: Tracing, process: str) -> Tracer | None:
    """A tracer for a process (`agent`, `worker`, `exporter`), None where tracing is off.

    What it has not sent when the process ends in good order is sent then. ConfigError where the SDK is missing or a
    certificate's file cannot be read.
    """
    if config.endpoint is None:
        return None
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

        from sampler.selftrace.otlp import OwnSpanExporter
    except ImportError:
        raise ConfigError.single("configuration", None, "tracing.endpoint", MISSING) from None
    resource = Resource(
        {
            "service.name": f"tailsampler-{process}",
            "service.instance.id": f"{socket.gethostname()}-{os.getpid()}",
            OWN_ATTRIBUTE: True,
        }
    )
    provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(config.ratio)), resource=resource)
    try:
        provider.add_span_processor(BatchSpanProcessor(OwnSpanExporter(config), schedule_delay_millis=SEND_EVERY_MS))
    except OSError as error:
        raise ConfigError.single("configuration", None, "tracing.tls", str(error)) from None
    return provider.get_tracer("tailsampler")


def close_tracer(tracer: Tracer | None) -> None:
    """Send what is left and send nothing more; waits as long as the backend takes, at most for its timeout a batch."""
    processor = getattr(tracer, "span_processor", None)
    if processor is not None:
        processor.shutdown()
