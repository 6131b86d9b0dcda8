"""An engine that keeps dropped traces for a second look, and what it has handed out; time is the test's."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from policies.policy_set import build_policy_set
from sampler.engine.chunk_store import ChunkStore
from sampler.engine.decision_memory import DecisionMemory
from sampler.engine.decision_record import Owner
from sampler.engine.partition import PartitionEngine, PartitionStart
from sampler.engine.retention import Retention
from sampler.engine.settings import EngineSettings
from sampler.engine.settlement import EngineCounts, Settlement
from sampler.otlp import compile_plan, get_scanner

WALL_MS = 10**15
WAIT_MS, KEEP_MS = 1000, 5000
SETTINGS = EngineSettings(decision_wait_ms=WAIT_MS, retain_dropped_ms=KEEP_MS)
ERRORS = {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}


def ident(number: int) -> bytes:
    """An id whose hash is as good as random, with the number at its end."""
    tail = number.to_bytes(4, "big")
    return hashlib.blake2b(tail, digest_size=12).digest() + tail


def number_of(trace_id: bytes) -> int:
    return int.from_bytes(trace_id[-4:], "big")


def span(trace: int, number: int, *, error: bool = False, pad: int = 0, service: str = "shop") -> bytes:
    data = TracesData()
    resource = data.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = service
    out = resource.scope_spans.add().spans.add(
        trace_id=ident(trace), span_id=(number + 1).to_bytes(8, "big"), name="op" + "x" * pad
    )
    if error:
        out.status.code = 2
    return data.SerializeToString()


@dataclass
class Lab:
    """An engine that keeps dropped traces, and what it has handed out."""

    retention: Retention
    policies: Any
    settings: EngineSettings = SETTINGS
    scanner: str = "compiled"
    start: PartitionStart = PartitionStart(0, Owner(1, 1), 0)  # noqa: RUF009  # never changed
    memory: DecisionMemory = field(default_factory=DecisionMemory)
    settlements: list[Settlement] = field(default_factory=list)
    offset: int = 0

    def __post_init__(self) -> None:
        self.counts = EngineCounts()
        self.engine = PartitionEngine(
            self.start, self.settings, self.policies, get_scanner(self.scanner),  # type: ignore[arg-type]
            compile_plan(self.policies.span_conditions), ChunkStore(), self.memory, self.counts, self.retention,
        )  # fmt: skip

    def append(self, *records: tuple[int, bytes]) -> None:
        numbered = [(self.offset + at, time_ms, value) for at, (time_ms, value) in enumerate(records)]
        self.offset += len(records)
        self.engine.append(numbered, WALL_MS)
        self.settle()

    def advance(self, stream_ms: int) -> None:
        self.engine.advance(stream_ms, WALL_MS)
        self.settle()

    def settle(self) -> None:
        settlement = self.engine.settle()
        if settlement is not None:
            self.settlements.append(settlement)

    def reload(self, policies: Any, engine_settings: EngineSettings | None = None) -> None:
        self.policies = policies
        plan = compile_plan(policies.span_conditions)
        self.engine.use_policies(policies, plan, engine_settings or self.settings)

    def rescue(self, trace: int) -> bool:
        look = self.engine.second_look
        assert look is not None
        found = look.rescue(ident(trace), self.engine.time.now_ms)
        self.settle()
        return found

    @property
    def kept(self) -> list[int]:
        """Traces that a rescue would find."""
        look, now_ms = self.engine.second_look, self.engine.time.now_ms
        assert look is not None
        return sorted({number_of(trace_id) for trace_id, _ in look.since(0, now_ms)})

    @property
    def spans(self) -> dict[int, Counter[int]]:
        """Numbers of the spans that left, by trace."""
        left: dict[int, Counter[int]] = {}
        for out in self._written():
            number = int.from_bytes(out.span_id, "big") - 1
            left.setdefault(number_of(out.trace_id), Counter())[number] += 1
        return left

    @property
    def marks(self) -> dict[int, set[tuple[float, str, str]]]:
        """(rate, policy, tracestate) of what left, by trace; the tracestate without rv."""
        found: dict[int, set[tuple[float, str, str]]] = {}
        for out in self._written():
            values = {each.key: each.value for each in out.attributes}
            state = ";".join(part for part in out.trace_state.split(";") if "rv:" not in part)
            mark = round(values["sampling.rate"].double_value, 6), values["sampling.policy"].string_value, state
            found.setdefault(number_of(out.trace_id), set()).add(mark)
        return found

    def _written(self) -> Iterator[Any]:
        for settlement in self.settlements:
            for payload in [p for _, p in settlement.outputs] + [p for _, _, p in settlement.routed]:
                for resource_spans in TracesData.FromString(payload).resource_spans:
                    for scope_spans in resource_spans.scope_spans:
                        yield from scope_spans.spans


def lab(path: Path, *specs: Mapping[str, Any], limit_bytes: int = 1 << 30, **more: Any) -> Lab:
    return Lab(Retention(path / "retained", limit_bytes), build_policy_set(specs), **more)


def dropped(it: Lab, *traces: int, at_ms: int = 1000) -> None:
    """Traces of one span without an error, whose wait is over."""
    it.append(*((at_ms, span(trace, 0)) for trace in traces))
    it.advance(at_ms + WAIT_MS + 250)
