"""What is fuzzed: each parser of bytes from outside, with inputs to begin from, and what must hold for any bytes.

A target takes bytes and returns; an exception that the parser does not promise, or an assertion, is a finding.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from policies.ottl import OttlError, compile_list
from policies.randomness import RandomnessSource
from policies.registry import installed
from sampler.agent.body import WINDOWS, BodyDamagedError, BodyTooLargeError, read_compressed
from sampler.config import parse_policies
from sampler.config.document import parse_document
from sampler.config.errors import ConfigError
from sampler.config.load import config_of
from sampler.config.policies import policies_of
from sampler.engine.checkpoint import CheckpointError, CheckpointReader
from sampler.engine.decision_record import RecordError, decode
from sampler.otlp import Annotation, PlanError, ScanError, compile_plan, get_scanner, is_compiled
from sampler.otlp.json_reader import JsonError, request_from_json
from sampler.otlp.tracestate import MAX_VALUE, parse, render
from sampler.stream.rescue import RescueAnswer, RescueRequest
from sampler.stream.rescue_http import parsed
from sampler.web.actions import Actions
from tests.fuzz import seeds

ROOT = Path(__file__).resolve().parents[2]
BODY_LIMIT = 4096
PLAN = compile_plan(
    parse_policies((ROOT / "docs/examples/policies.yaml").read_text(encoding="utf-8")).policy_set.span_conditions
)
KEEP = Annotation(((0, 1 << 56),), RandomnessSource.HASH)


@dataclass(frozen=True, slots=True)
class Target:
    """`runs` inputs take about a second."""

    run: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]
    runs: int
    max_length: int = 600


def scan(data: bytes) -> None:
    """Both scanners take and refuse the same, and what was cut out of a record is valid itself."""
    answers = [_scanned(name, data) for name in ("compiled", "upb") if name == "upb" or is_compiled]
    assert all(answer == answers[0] for answer in answers)


def _scanned(name: Any, data: bytes) -> Any:
    scanner = get_scanner(name)
    try:
        traces = scanner.scan(PLAN, data).traces
    except ScanError as error:
        if not 0 <= error.offset <= len(data):
            raise AssertionError(f"an offset of {error.offset} in {len(data)} bytes") from error
        return error.offset
    for _, chunk, summary in traces:
        again = scanner.scan(PLAN, chunk).traces
        assert [each.span_count for _, _, each in again] == [summary.span_count]
        # A header may grow by being repeated; what is refused for that is refused as a whole.
        with suppress(ScanError):
            scanner.annotate([chunk], KEEP, 1 << 20)
    with suppress(ScanError):
        scanner.split(data, 3, "sarama")
    return [(trace_id, summary.bits, summary.span_count, summary.size_bytes) for trace_id, _, summary in traces]


def otlp_json(data: bytes) -> None:
    """A request that protobuf can read, or JsonError with a text that can be encoded."""
    try:
        request = request_from_json(data)
    except JsonError as error:
        str(error).encode()
        return
    ExportTraceServiceRequest.FromString(request)


def tracestate(data: bytes) -> None:
    """Never an error; what is written back says the same, and what is written after that is the same for ever."""
    entry = parse(data)
    again = parse(render(entry))
    assert (again.th, again.rv) == (entry.th, entry.rv)
    # Blanks that end up at the end of a member are gone by now.
    assert render(parse(render(again))) == render(again)
    ot = next((part for part in render(entry).split(b",") if part.startswith(b"ot=")), b"")
    assert len(ot) <= MAX_VALUE + 3


def decision_record(data: bytes) -> None:
    """A record that can be written again, or RecordError."""
    with suppress(RecordError):
        record = decode(data[:18], data[18:])
        assert len(list(record)) == len(record)
        decode(record.key, record.encode())


def checkpoint(data: bytes) -> None:
    """All traces, or CheckpointError: also where the sum is right, as of a file that another version wrote."""
    for file in (data, seeds.summed(data)):
        with suppress(CheckpointError):
            for trace in CheckpointReader(io.BytesIO(file)).traces():
                assert len(trace.trace_id) == 16


def ottl(data: bytes) -> None:
    """Conditions that can be asked, or OttlError."""
    text = data.decode("utf-8", "replace")
    for context in ("span", "spanevent"):
        with suppress(OttlError, PlanError):
            compile_plan((compile_list((text,), context, strict=False).holds,))


def policy_file(data: bytes) -> None:
    """A policy set, or ConfigError with a place for every mistake."""
    text = data.decode("utf-8", "replace")
    try:
        policies_of(parse_document(text, "policies.yaml", {}, lenient=True))
    except ConfigError as error:
        if not error.problems:
            raise AssertionError("an error that names no mistake") from error


def config_file(data: bytes) -> None:
    """A configuration, or ConfigError."""
    try:
        config_of(parse_document(data.decode("utf-8", "replace"), "config.yaml", {}))
    except ConfigError as error:
        if not error.problems:
            raise AssertionError("an error that names no mistake") from error


def body(data: bytes) -> None:
    """At most the limit, or the one of the two errors that fits."""
    names = sorted(WINDOWS)
    encoding, step = names[data[0] % len(names)] if data else names[0], 1 + (data[0] >> 2) if data else 1

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(1, len(data), step):
            yield data[start : start + step]

    with suppress(BodyTooLargeError, BodyDamagedError):
        assert len(asyncio.run(read_compressed(chunks(), BODY_LIMIT, encoding))) <= BODY_LIMIT


def rescue(data: bytes) -> None:
    """A request, or ValueError; over HTTP an answer that is JSON, whatever headers and body are."""
    with suppress(ValueError):
        assert isinstance(parsed(data), RescueRequest)
    head, _, content = data.partition(b"\n")
    headers = Message()
    for name, value in zip(("Content-Type", "Content-Length", "Host", "Authorization"), head.split(b"|"), strict=False):
        headers[name] = value.decode("latin-1").replace("\r", " ")
    actions = Actions("secret" if data[:1] == b"B" else None)
    actions.offer("/rescue", _answered)
    status, answer = actions.carry_out("/rescue", "127.0.0.1", headers, io.BytesIO(content))
    assert status in {200, 400, 401, 403, 413, 415}
    json.dumps(answer)


def _answered(content: bytes) -> tuple[int, dict[str, Any]]:
    try:
        parsed(content)
    except ValueError as error:
        return 400, {"error": str(error)}
    return 200, {"rescued": RescueAnswer.__name__}


TARGETS: dict[str, Target] = {
    "scan": Target(scan, seeds.requests, 4000, 1200),
    "otlp_json": Target(otlp_json, seeds.otlp_json, 6000, 2500),
    "tracestate": Target(tracestate, seeds.tracestates, 30_000, 300),
    "decision_record": Target(decision_record, seeds.decision_records, 10_000),
    "checkpoint": Target(checkpoint, seeds.checkpoints, 10_000, 2400),
    "ottl": Target(ottl, seeds.conditions, 2000, 200),
    "policy_file": Target(policy_file, seeds.policy_files, 600, 1500),
    "config_file": Target(config_file, seeds.config_files, 600, 1500),
    "body": Target(body, seeds.bodies, 4000, 300),
    "rescue": Target(rescue, seeds.rescues, 3000, 300),
}


def prepare() -> None:
    """Load what is loaded once only, so that no input is charged for it."""
    installed()
    gzip.compress(b"")
