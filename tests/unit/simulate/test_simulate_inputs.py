"""What simulate reads."""

from __future__ import annotations

import gzip
import json
import os
import threading
from pathlib import Path

import pytest
from google.protobuf import json_format
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from policies.testing import resource, span, trace
from sampler.simulate import InputError, read_inputs


def payload() -> TracesData:
    """A trace of two spans."""
    made = trace(resource({"service.name": "shop"}, span("a", 0, 10, root=True), span("b", 1, 2)))
    return TracesData(resource_spans=made.resource_spans)


def json_line() -> bytes:
    """The trace as a line of OTLP JSON, ids in hexadecimal."""
    data = payload()
    document = json_format.MessageToDict(data)
    spans = data.resource_spans[0].scope_spans[0].spans
    for written, original in zip(document["resourceSpans"][0]["scopeSpans"][0]["spans"], spans, strict=True):
        written["traceId"], written["spanId"] = original.trace_id.hex(), original.span_id.hex()
        if original.parent_span_id:
            written["parentSpanId"] = original.parent_span_id.hex()
    return json.dumps(document).encode() + b"\n"


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("name", ["traces.jsonl", "no_suffix"])
def test_json_lines(tmp_path: Path, name: str, compress: bool) -> None:
    """One request a line, empty lines passed over, compressed or not, whatever the file is called."""
    path = tmp_path / (name + ".gz" * compress)
    content = json_line() + b"\n" + json_line().rstrip()
    path.write_bytes(gzip.compress(content) if compress else content)
    records = list(read_inputs([path]))
    assert [record.line for record in records] == [1, 3]
    assert all(TracesData.FromString(record.value) == payload() for record in records)


@pytest.mark.parametrize("compress", [False, True])
def test_a_pipe(tmp_path: Path, compress: bool) -> None:
    """What cannot be read twice, such as `<(zcat ...)`, is read like a file."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    content = gzip.compress(json_line()) if compress else json_line()
    writer = threading.Thread(target=path.write_bytes, args=(content,))
    writer.start()
    records = list(read_inputs([path]))
    writer.join()
    assert [TracesData.FromString(record.value) for record in records] == [payload()]


@pytest.mark.parametrize("start", [b"\xef\xbb\xbf", b"\n", b"  "])
def test_json_after_a_mark_or_blanks(tmp_path: Path, start: bytes) -> None:
    """A byte order mark, an empty first line or blanks do not hide what a .json file holds."""
    path = tmp_path / "traces.json"
    path.write_bytes(start + json_line())
    assert [TracesData.FromString(record.value) for record in read_inputs([path])] == [payload()]


@pytest.mark.parametrize("compress", [False, True])
def test_protobuf(tmp_path: Path, compress: bool) -> None:
    """A TracesData is one record, compressed or not."""
    path = tmp_path / "traces.pb"
    content = payload().SerializeToString()
    path.write_bytes(gzip.compress(content) if compress else content)
    assert [(record.line, record.value) for record in read_inputs([path])] == [(0, content)]


def test_files_follow_each_other(tmp_path: Path) -> None:
    """Several files are one input, in the order given; an empty file holds nothing."""
    first, second, empty = tmp_path / "b.jsonl", tmp_path / "a.pb", tmp_path / "empty.jsonl"
    first.write_bytes(json_line())
    second.write_bytes(payload().SerializeToString())
    empty.touch()
    assert [record.path for record in read_inputs([first, empty, second])] == [str(first), str(second)]


def test_a_wrong_line_is_named(tmp_path: Path) -> None:
    """A line that is no OTLP JSON is an error with its file and number."""
    path = tmp_path / "traces.jsonl"
    path.write_bytes(json_line() + b'{"resourceSpans": [\n')
    with pytest.raises(InputError, match=r"traces\.jsonl:2: .*not OTLP JSON"):
        list(read_inputs([path]))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A missing file, and a compressed one that is cut off, are errors with the file's name."""
    with pytest.raises(InputError, match=r"gone\.jsonl: cannot be read: No such file"):
        list(read_inputs([tmp_path / "gone.jsonl"]))
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(json_line() * 50)[:-20])
    with pytest.raises(InputError, match=r"cut\.jsonl\.gz: cannot be read"):
        list(read_inputs([cut]))
