"""What every process tells of itself: what was built, and what the system knows of the process."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector

from sampler.clock import monotonic_s
from sampler.metrics.specs import GaugeSpec, MetricSet
from sampler.otlp import native
from sampler.web.health import Health

STANDARD_METRICS: Final = {
    "process_cpu_seconds_total": "User and system CPU time of the process.",
    "process_resident_memory_bytes": "Resident memory of the process.",
    "process_virtual_memory_bytes": "Virtual memory of the process.",
    "process_start_time_seconds": "When the process was started, as Unix time.",
    "process_open_fds": "Open file descriptors.",
    "process_max_fds": "Most file descriptors that may be open.",
}
"""Names that Prometheus' own libraries give to what is the same for every program, with their meaning; Linux only."""


class ProcessMetrics(MetricSet):
    """The same in every process."""

    title = "Every process"

    build_info = GaugeSpec(
        "1 for what runs here: the program (agent, worker, exporter, run), its version, that of Python, and the "
        "scanner that is installed (compiled or upb).",
        ("program", "version", "python", "scanner"),
    )
    ready = GaugeSpec("1 while /readyz answers that the process can do its work.")


def process_registry(program: str, health: Health) -> CollectorRegistry:
    """A registry for the metrics of one process, with those that every process has."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    metrics = ProcessMetrics(registry)
    metrics.ready.set_function(lambda: float(health.ready(monotonic_s()).ok))
    metrics.build_info.labels(
        program=program,
        version=_version(),
        python=platform.python_version(),
        scanner="compiled" if native.COMPILED else "upb",
    ).set(1)
    return registry


def _version() -> str:
    try:
        return metadata.version("tailsampler")
    except metadata.PackageNotFoundError:
        return "unknown"
