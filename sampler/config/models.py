"""`config.yaml` as a whole."""

from __future__ import annotations

from typing import Literal

from sampler.config.base import Section
from sampler.config.kafka import Kafka
from sampler.config.processes import Agent, Log, Web, Worker


class Config(Section):
    """Configuration of tailsampler: everything but the policies. Every key may be left out."""

    version: Literal[1] = 1
    """Version of this format."""
    kafka: Kafka = Kafka()
    agent: Agent = Agent()
    worker: Worker = Worker()
    web: Web = Web()
    log: Log = Log()
