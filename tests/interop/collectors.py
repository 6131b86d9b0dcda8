"""Collectors of the interop test: their files, and the variables that these ask for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tests.harness.process import TestProcess

HERE = Path(__file__).parent
BINARY_VARIABLE = "TAILSAMPLER_OTELCOL"
READY = "Everything is ready"
START_S = 60.0

FRONT = ("FRONT_PORT", "KAFKA_BROKERS", "SPAN_TOPIC")
BEHIND = (
    "KAFKA_BROKERS", "SAMPLED_TOPIC", "RECEIVER_GROUP", "BEHIND_PORT", "KAFKA_BACKEND_PORT", "OTLP_BACKEND_PORT",
)  # fmt: skip
"""Variables of the two files."""


def start_collector(name: str, folder: Path, variables: Mapping[str, object]) -> TestProcess:
    """The Collector of `NAME.yaml`, running and ready."""
    command = [os.environ[BINARY_VARIABLE], "--config", str(HERE / f"{name}.yaml")]
    process = TestProcess(command, folder / f"{name}.log", {key: str(value) for key, value in variables.items()})
    process.start()
    process.wait_for_log(READY, START_S)
    return process
