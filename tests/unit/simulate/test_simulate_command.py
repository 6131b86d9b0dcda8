"""What simulate decides and prints."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from policies.testing import Trace, resource, span, trace
from sampler.simulate import run_simulate

A, B, C = "0a" * 16, "0b" * 16, "0c" * 16

ERRORS = """
tail_sampling:
  policies:
    - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
"""
MIXED = """
tail_sampling:
  policies:
    - name: no-tests
      type: drop
      drop: {drop_sub_policy: [{name: t, type: boolean_attribute, boolean_attribute: {key: test, value: true}}]}
    - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
    - {name: few, type: probabilistic, probabilistic: {sampling_percentage: 25}}
"""
UNUSUAL = """
tail_sampling:
  policies:
    - name: rest
      type: not
      not: {not_sub_policy: {name: some, type: probabilistic, probabilistic: {sampling_percentage: 50}}}
"""


def shop(trace_id: str, *, error: bool = False, start_ms: int = 0, test: bool = False) -> Trace:
    """A trace of two spans."""
    root = span("GET /", start_ms, start_ms + 50, root=True, attributes={"test": test})
    inner = span("SELECT", start_ms + 10, start_ms + 20, status="ERROR" if error else "UNSET")
    return trace(resource({"service.name": "shop"}, root, inner), trace_id=trace_id)


def write(path: Path, *traces: Trace) -> Path:
    """The traces as one TracesData."""
    path.write_bytes(
        TracesData(resource_spans=[rs for each in traces for rs in each.resource_spans]).SerializeToString()
    )
    return path


def policy_file(folder: Path, name: str, text: str) -> Path:
    """A policy file."""
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return path


def run(capsys: pytest.CaptureFixture[str], policies: list[Path], inputs: list[Path]) -> list[dict[str, Any]]:
    """What the JSON output says."""
    assert run_simulate(policies, inputs, "json") == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_one_object_a_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Trace, spans, and each policy file's decision, threshold, probability and policy, in order of appearance."""
    source = write(tmp_path / "in.pb", shop(B), shop(A, error=True), shop(C, test=True))
    policies = [policy_file(tmp_path, "errors", ERRORS), policy_file(tmp_path, "mixed", MIXED)]
    found = run(capsys, policies, [source])
    assert [(each["trace_id"], each["spans"]) for each in found] == [(B, 2), (A, 2), (C, 2)]
    never = {"sampled": False, "threshold": None, "probability": 0.0, "policy": None}
    always = {"sampled": True, "threshold": "0", "probability": 1.0, "policy": "errors"}
    assert [each["decisions"]["errors"] for each in found] == [never, always, never]
    assert found[0]["decisions"]["mixed"]["threshold"] == "c"
    assert found[0]["decisions"]["mixed"]["probability"] == 0.25
    assert found[1]["decisions"]["mixed"] == always
    assert found[2]["decisions"]["mixed"] == never


def test_a_set_that_is_no_upper_interval_has_no_threshold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The complement of a probabilistic policy keeps low R: probability a half, threshold null, kept or not."""
    source = write(tmp_path / "in.pb", *(shop(random.Random(number).randbytes(16).hex()) for number in range(40)))
    found = run(capsys, [policy_file(tmp_path, "unusual", UNUSUAL)], [source])
    decisions = [each["decisions"]["unusual"] for each in found]
    assert {each["threshold"] for each in decisions} == {None}
    assert {each["probability"] for each in decisions} == {0.5}
    assert {(each["sampled"], each["policy"] is None) for each in decisions} == {(True, False), (False, True)}


def test_all_spans_of_the_input_belong_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A trace whose spans lie a day apart and in two files is one trace."""
    first = write(tmp_path / "first.pb", shop(A))
    second = write(tmp_path / "second.pb", shop(A, error=True, start_ms=86_400_000))
    (found,) = run(capsys, [policy_file(tmp_path, "errors", ERRORS)], [first, second])
    assert found["spans"] == 4
    assert found["decisions"]["errors"]["sampled"]


def test_the_span_limit_decides_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`maximum_spans_per_trace` holds as in the worker, and all spans are counted all the same."""
    limited = ERRORS.replace("policies:", "maximum_spans_per_trace: 2\n  policies:")
    files = [write(tmp_path / "first.pb", shop(A)), write(tmp_path / "second.pb", shop(A, error=True))]
    (found,) = run(capsys, [policy_file(tmp_path, "limited", limited)], files)
    assert (found["spans"], found["decisions"]["limited"]["sampled"]) == (4, False)


def test_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """People see traces and spans in, kept, by policy, dropped, and what the kept ones tell beside the true number."""
    source = write(tmp_path / "in.pb", shop(B), shop(A, error=True), shop(C, test=True))
    assert run_simulate([policy_file(tmp_path, "mixed", MIXED)], [source], "table") == 0
    out = capsys.readouterr().out
    assert out.startswith("mixed  (")
    words = [line.split() for line in out.splitlines()]
    assert ["in", "3", "6"] in words
    assert ["by", "errors", "1", "33.3", "%", "2", "33.3", "%"] in words
    assert ["dropped", "by", "a", "drop", "policy", "1", "33.3", "%", "2", "33.3", "%"] in words
    assert ["true", "number,", "dropped", "left", "out", "2", "4"] in words
    assert max(map(len, out.splitlines())) <= 100


@pytest.mark.parametrize("output", ["json", "table"])
def test_an_empty_input_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str], output: Any) -> None:
    """A file without spans gives no traces and exit code 0."""
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    assert run_simulate([policy_file(tmp_path, "errors", ERRORS)], [empty], output) == 0
    assert "error" not in capsys.readouterr().err


def test_wrong_files_end_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong policy file, an input that is no OTLP, and two policy files of one stem are errors that say where."""
    errors, source = policy_file(tmp_path, "errors", ERRORS), write(tmp_path / "in.pb", shop(A))
    wrong = policy_file(tmp_path, "wrong", ERRORS.replace("status_code,", "status_cod,"))
    assert run_simulate([wrong], [source], "json") == 2
    assert "wrong.yaml:4" in capsys.readouterr().err
    noise = tmp_path / "noise.pb"
    noise.write_bytes(b"\x0a\xff\xff")
    assert run_simulate([errors], [noise], "json") == 2
    assert "noise.pb: not valid OTLP protobuf" in capsys.readouterr().err
    (tmp_path / "other").mkdir()
    assert run_simulate([errors, policy_file(tmp_path / "other", "errors", ERRORS)], [source], "json") == 2
    assert "'errors' too" in capsys.readouterr().err


def test_malformed_ids_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Spans without a valid id are left out, and a warning says how many."""
    made = shop(A)
    made.resource_spans[0].scope_spans[0].spans[1].span_id = b"\0" * 8
    assert run_simulate([policy_file(tmp_path, "errors", ERRORS)], [write(tmp_path / "in.pb", made)], "json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["spans"] == 1
    assert "1 span" in captured.err
