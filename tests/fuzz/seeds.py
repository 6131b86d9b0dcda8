"""Inputs to begin from: valid ones of each kind, small, for a fuzzer to spoil."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zlib
from array import array
from collections.abc import Sequence
from pathlib import Path

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from policies.randomness import RandomnessSource
from policies.rset import ALWAYS, NEVER
from policies.verdict import Verdict
from sampler.engine.checkpoint import CheckpointHead, write_checkpoint
from sampler.engine.chunk_store import ChunkStore
from sampler.engine.decision_record import DecisionRecord, Owner
from sampler.engine.trace_table import TraceTable
from sampler.otlp import compile_plan, get_scanner

ROOT = Path(__file__).resolve().parents[2]


def _request(traces: int, attributes: int) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "checkout"
    for number in range(traces):
        span = resource.scope_spans.add().spans.add(
            trace_id=bytes([number + 1]) * 16, span_id=bytes([number + 1]) * 8, name="GET /", kind=2,
            start_time_unix_nano=1_700_000_000_000_000_000, end_time_unix_nano=1_700_000_001_000_000_000,
            trace_state="ot=th:8;rv:0123456789abcd,dd=s:1",
        )  # fmt: skip
        span.status.code = 2
        for n in range(attributes):
            span.attributes.add(key=f"key.{n}").value.int_value = n
        span.attributes.add(key="list").value.array_value.values.add().string_value = "x"
        span.events.add(name="exception").attributes.add(key="exception.type").value.string_value = "E"
        span.links.add(trace_id=bytes([9]) * 16, span_id=bytes([9]) * 8)
    return request


def requests() -> Sequence[bytes]:
    """OTLP protobuf."""
    return [_request(traces, attributes).SerializeToString() for traces, attributes in ((1, 0), (1, 3), (3, 1))]


def otlp_json() -> Sequence[bytes]:
    """OTLP JSON."""
    documents = []
    for traces in (1, 2):
        document = json_format.MessageToDict(_request(traces, 1))
        for resource in document["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                for number, span in enumerate(scope["spans"]):
                    span.update(traceId=f"{number + 1:032x}", spanId=f"{number + 1:016x}", links=[])
        documents.append(json.dumps(document).encode())
    return documents


def tracestates() -> Sequence[bytes]:
    """W3C tracestate headers."""
    return [b"ot=th:8;rv:0123456789abcd", b"dd=s:1;o:rum,ot=rv:00000000000000;p:8,x=y", b"ot=;;th:,rv:,=,ot=th:0"]


def decision_records() -> Sequence[bytes]:
    """Key and value of records of the decision table."""
    verdicts = (
        Verdict("sampled", ALWAYS, "errors", RandomnessSource.HASH),
        Verdict("sampled", ((1, 5), (7, 1 << 56)), "x", RandomnessSource.RV, "", "salt", "tenant", "topic"),
        Verdict("not_sampled", NEVER, None, RandomnessSource.TRACE_ID),
    )
    record = DecisionRecord(
        Owner(3, 7), 12, 100, 130, 1_700_000_000_000, verdicts, bytes(range(48)), array("L", [0, 1, 2]),
        {"limit@abc": {"tokens": 3.5}},
    )  # fmt: skip
    return [each.key + each.encode() for each in record.split()]


def checkpoints() -> Sequence[bytes]:
    """Checkpoint files."""
    table, file = TraceTable(ChunkStore()), io.BytesIO()
    for trace_id, chunk, summary in get_scanner().scan(compile_plan(()), requests()[2]).traces:
        table.begin(trace_id, chunk, summary, 5, 1_700_000_000_000)
    head = CheckpointHead(0, 5, 9, 1_700_000_000_000, "abc", 6, (1, 2, 3), len(table))
    for _ in write_checkpoint(file, head, table):
        pass
    return [file.getvalue()]


def summed(data: bytes) -> bytes:
    """A file with the right check sum behind all but its last four bytes."""
    return data[:-4] + struct.pack("<I", zlib.crc32(data[:-4]))


def conditions() -> Sequence[bytes]:
    """OTTL."""
    return [
        b'attributes["http.route"] == "/pay" and not (status.code == STATUS_CODE_OK or kind == SPAN_KIND_SERVER)',
        b'IsMatch(resource.attributes["service.name"], "^check.*") and Len(attributes["a"]) >= 3',
        b'Split(attributes["x"], ",")[0] != nil or Int(attributes["n"]) * 2 - 1 < 10.5',
        b"end_time - start_time > Duration(\"1s\") and trace_state[\"ot\"] != nil",
    ]  # fmt: skip


def policy_files() -> Sequence[bytes]:
    """Policy files."""
    small = b"tail_sampling:\n  decision_wait: 5s\n  policies:\n    - {name: a, type: always_sample}\n"
    every = b"policies:\n- name: p\n  type: and\n  and:\n    and_sub_policy:\n    - {name: x, type: latency, latency: {"
    every += b"threshold_ms: 5}}\n    - {name: y, type: rate_limiting, rate_limiting: {spans_per_second: 35}}\n"
    whole = (ROOT / "docs/examples/policies.yaml").read_bytes()
    return [small, every, whole[:1500]]


def config_files() -> Sequence[bytes]:
    """Configuration files."""
    whole = (ROOT / "docs/examples/config.yaml").read_bytes()
    return [b"kafka:\n  brokers: [a:1, b:2]\nworker: {data_dir: /tmp, trace_table: {max_traces: 5}}\n", whole[:1500]]


def bodies() -> Sequence[bytes]:
    """Compressed bodies behind a byte that says how, and in what pieces they come."""
    data = b"spans" * 30
    bomb = gzip.compress(b"\0" * 100_000)
    once = gzip.compress(data)
    return [b"\xff" + zlib.compress(data), b"\x41" + once * 2, b"\x05" + once, b"\xfd" + bomb]


def rescues() -> Sequence[bytes]:
    """Requests to rescue behind a line of headers."""
    asked = b'{"where": "service.name == \\"checkout\\"", "since": "3m", "dry_run": true}'
    return [
        asked,
        b"application/json|" + str(len(asked)).encode() + b"|localhost:8484|\n" + asked,
        b"Bearer|application/json|10|[::1]:8484|Bearer secret\n" + asked,
    ]
