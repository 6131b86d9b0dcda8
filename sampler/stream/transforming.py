"""`worker.transform`: kept spans are changed on their way to the producer, after all policies."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from prometheus_client import CollectorRegistry

from sampler.config import Config
from sampler.engine.settlement import Settlement
from sampler.engine.watermark import PendingSettlement
from sampler.metrics.transform import TransformMetrics
from sampler.otlp import ScanError
from sampler.otlp.annotate import divide
from sampler.redaction import transform_of
from sampler.stream.sinks import OutputSink

logger = logging.getLogger(__name__)

HEADROOM_BYTES = 1024
"""For the key, the record's own header and the batch around it."""


class TransformedOutputs:
    """An output sink before another one. Dead letters are records as they came: they are not changed here."""

    def __init__(self, sink: OutputSink, transform: Callable[[bytes], bytes], max_output_bytes: int) -> None:
        self._sink = sink
        self._transform = transform
        self._limit = max_output_bytes

    @property
    def unacknowledged_bytes(self) -> int:
        """Those of the sink behind it."""
        return self._sink.unacknowledged_bytes

    def send(self, settlement: Settlement, pending: PendingSettlement, partition: int) -> None:
        """Hand on what is left of the outputs; `pending` waits for exactly those records."""
        outputs = [(trace_id, new) for trace_id, old in settlement.outputs for new in self._changed(old)]
        routed = [(place, trace_id, new) for place, trace_id, old in settlement.routed for new in self._changed(old)]
        before = len(settlement.outputs) + len(settlement.routed)
        pending.unacknowledged += len(outputs) + len(routed) - before
        self._sink.send(replace(settlement, outputs=outputs, routed=routed), pending, partition)

    def _changed(self, payload: bytes) -> list[bytes]:
        """The records that a payload becomes: none where nothing is left of it, several where it has grown too long."""
        try:
            new = self._transform(payload)
        except ScanError:
            # What we wrote is valid. Were it not, nobody could say what is in it.
            logger.exception("an output cannot be transformed and is left out")
            return []
        if len(new) <= self._limit or len(new) <= len(payload):
            return [new] if new else []
        return divide(new, self._limit)


def transformed(sink: OutputSink, config: Config, registry: CollectorRegistry) -> OutputSink:
    """The sink, behind what `worker.transform` asks for; the sink itself where that is nothing."""
    names = config.worker.annotation.names
    spared = frozenset({names.rate_attribute, names.policy_attribute})
    metrics = TransformMetrics(registry)
    transform = transform_of(config.worker.transform, metrics.count, spared=spared)
    if transform is None:
        return sink
    return TransformedOutputs(sink, transform, config.kafka.max_message_bytes - HEADROOM_BYTES)
