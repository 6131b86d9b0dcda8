"""Where the pipeline makes spans of itself, and what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sampler.selftrace.hooks import hook

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer


def trace_agent(tracer: Tracer | None, publisher: object, source: object | None) -> None:
    """Requests of any transport until Kafka has them, and what the Kafka source reads."""
    hook(
        tracer, publisher, "publish", "agent.publish",
        lambda request, *_: {"tailsampler.request.size": len(request)},
        lambda receipt: {"tailsampler.spans": receipt.spans, "tailsampler.spans.rejected": receipt.rejected},
    )  # fmt: skip
    if source is not None:
        hook(
            tracer, source, "store", "agent.repartition",
            lambda request: {"tailsampler.records": len(request.pieces), "tailsampler.request.size": request.size},
        )  # fmt: skip


def trace_worker(tracer: Tracer | None, pipeline: object, outputs: object) -> None:
    """Fetched batches, and in them the settlements that leave."""
    hook(
        tracer, pipeline, "process", "worker.batch",
        lambda batch: {"messaging.kafka.partition": batch.partition, "tailsampler.records": len(batch.records or ())},
    )  # fmt: skip
    hook(tracer, outputs, "send", "worker.settlement", _settlement)


def _settlement(settlement: Any, _pending: Any, partition: int) -> dict[str, int]:
    return {
        "messaging.kafka.partition": partition,
        "tailsampler.records": len(settlement.outputs) + len(settlement.routed),
        "tailsampler.dead_letters": len(settlement.dead_letters),
        "tailsampler.watermark": settlement.watermark,
    }


def trace_sender(tracer: Tracer | None, sender: object, backend: str) -> None:
    """Requests of the exporter to one backend, with what became of them."""
    hook(
        tracer, sender, "send", "exporter.send",
        lambda body: {"tailsampler.backend": backend, "tailsampler.request.size": len(body)},
        lambda answer: {"tailsampler.answer": answer.fate.name},
    )  # fmt: skip
