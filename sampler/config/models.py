"""`config.yaml` as a whole."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from sampler.config.base import Section
from sampler.config.crossing import check_source, check_tracing
from sampler.config.exporter import Exporter
from sampler.config.kafka import Kafka
from sampler.config.processes import Agent, Log, Web, Worker
from sampler.config.tracing import Tracing


class Config(Section):
    """Configuration of tailsampler: everything but the policies. Every key may be left out."""

    version: Literal[1] = 1
    """Version of this format."""
    kafka: Kafka = Kafka()
    agent: Agent = Agent()
    worker: Worker = Worker()
    exporter: Exporter = Exporter()
    web: Web = Web()
    log: Log = Log()
    tracing: Tracing = Tracing()

    @model_validator(mode="after")
    def _crossing(self) -> Self:
        check_source(self.kafka, self.agent.kafka_source)
        check_tracing(self.agent, self.tracing)
        return self
