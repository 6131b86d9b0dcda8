"""The agent's publisher inside a Python service: a span exporter of the OpenTelemetry SDK that writes to Kafka."""

try:
    import opentelemetry.sdk.trace as _sdk  # noqa: F401  is it there
except ImportError as missing:
    raise ImportError(
        "sampler.sdk needs the OpenTelemetry SDK, which is not installed: pip install 'tailsampler[sdk]'"
    ) from missing

from sampler.sdk.exporter import KafkaSpanExporter

__all__ = ["KafkaSpanExporter"]
