"""The recording of the Online Boutique through the worker's engine, for `benchmarks.sampling_quality`.

Its 4,462 traces are played over a minute, eight times, with other trace ids each time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.key_spaces import INTERVAL_MS, TICKS
from benchmarks.quality_run import Judge, Outcome, policy_set
from policies.partition_exchange import MemoryExchange
from sampler.engine.chunk_store import ChunkStore
from sampler.engine.decision_memory import DecisionMemory
from sampler.engine.decision_record import Owner
from sampler.engine.partition import PartitionEngine, PartitionStart
from sampler.engine.settings import EngineSettings
from sampler.engine.settlement import EngineCounts
from sampler.generate.encode import requests_of
from sampler.generate.model import Trace
from sampler.generate.recording import find_recording, read_recording
from sampler.otlp import compile_plan, get_scanner

RECORDING = "recording"
PARTITIONS = 2
ROUNDS = 8
ROUND_INTERVALS = 4
WAIT_MS = 1_000
STEADY_FROM = 3
ONE_IN = 5
TRACES_PER_SECOND = 12


@dataclass(frozen=True, slots=True)
class Played:
    """A trace of the recording on the wire, with the operation of its root."""

    trace_id: bytes
    payload: bytes
    key: str

    def again(self, number: int) -> tuple[bytes, bytes]:
        """(another id, the same spans under it)."""
        trace_id = hashlib.blake2b(self.trace_id, digest_size=16, key=bytes([number])).digest()
        return trace_id, self.payload.replace(self.trace_id, trace_id)


def recorded() -> Iterator[tuple[str, Outcome, list[float]]]:
    """(load, outcome, goal of each interval), for a mean rate and for an amount; nothing without the recording."""
    path = find_recording()
    if path is None:
        return
    played = [_encoded(trace) for trace in read_recording(path)]
    for name, goal in ((f"1 in {ONE_IN}", {"mean_rate": ONE_IN, "mean_rate_of": "traces"}),
                       (f"{TRACES_PER_SECOND} traces/s", {"traces_per_second": TRACES_PER_SECOND})):  # fmt: skip
        outcome = _run(played, {"key": ["operation"], "goal": goal, "interval_ms": INTERVAL_MS})
        came = [each.came for each in outcome.intervals]
        amount = TRACES_PER_SECOND * INTERVAL_MS / 1000
        yield f"{RECORDING}, {name}", outcome, [each / ONE_IN if "mean_rate" in goal else amount for each in came]


def _encoded(trace: Trace) -> Played:
    payload = b"".join(request.SerializeToString() for request in requests_of(trace, 1_700_000_000_000_000_000))
    roots = sorted({f"{span.service} {span.name}" for span in trace.spans if not any(span.parent_id)})
    return Played(trace.trace_id, payload, "|".join(roots))


def _run(played: list[Played], settings: Mapping[str, Any]) -> Outcome:
    exchange = MemoryExchange(PARTITIONS)
    policies, scanner = policy_set(settings), get_scanner()
    plan = compile_plan(policies.span_conditions)
    engines = [
        PartitionEngine(
            PartitionStart(partition, Owner(0, 0), 0, exchange=exchange.of(partition)),
            EngineSettings(decision_wait_ms=WAIT_MS, partitions=PARTITIONS),
            policies, scanner, plan, ChunkStore(), DecisionMemory(), EngineCounts(),
        )
        for partition in range(PARTITIONS)
    ]  # fmt: skip
    judge, key_of = Judge(STEADY_FROM), dict[bytes, str]()
    ticks, offset = ROUND_INTERVALS * TICKS, 0
    for tick in range(ROUNDS * ticks):
        ms = tick * 250
        at, number = tick % ticks, tick // ticks
        due = played[len(played) * at // ticks : len(played) * (at + 1) // ticks]
        records: list[list[tuple[int, int, bytes]]] = [[] for _ in engines]
        for each in due:
            trace_id, payload = each.again(number)
            key_of[trace_id] = each.key
            records[trace_id[0] % PARTITIONS].append((offset, ms, payload))
            offset += 1
        for engine, mine in zip(engines, records, strict=True):
            engine.append(mine, ms)
            engine.advance(ms, ms)
            settlement = engine.settle()
            for record in settlement.records if settlement is not None else ():
                for trace_id, verdict in record:
                    judge.take(key_of.pop(trace_id), 1, verdict)
        exchange.advance(ms)
        if tick % TICKS == TICKS - 1:
            judge.close()
    if policies.errors:
        raise SystemExit(f"the policy failed: {policies.last_errors}")
    return judge.outcome
