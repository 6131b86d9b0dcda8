"""Tenants in `tailsampler simulate`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from policies.testing import Trace, resource, span, trace
from sampler.simulate import run_simulate

POLICIES = """
tail_sampling:
  policies:
    - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
  tenants:
    attribute: tenant.id
    sets:
      acme: {topic: acme-topic, policies: [{name: errors, type: always_sample}]}
"""
OF = {"0a" * 16: "acme", "0b" * 16: "other", "0c" * 16: ""}


@pytest.fixture
def spans(tmp_path: Path) -> Path:
    """A trace of the tenant with policies of its own, one of another tenant and one of none, none with an error."""

    def made(trace_id: str, tenant: str) -> Trace:
        attributes = {"tenant.id": tenant} if tenant else {}
        return trace(resource(attributes, span("op", 0, 10, root=True)), trace_id=trace_id)

    whole = [part for trace_id, tenant in OF.items() for part in made(trace_id, tenant).resource_spans]
    path = tmp_path / "spans.pb"
    path.write_bytes(TracesData(resource_spans=whole).SerializeToString())
    return path


def write(folder: Path, text: str) -> Path:
    path = folder / "policies.yaml"
    path.write_text(text)
    return path


def test_the_tenant_decides_and_is_named(spans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only where it has policies of its own."""
    assert run_simulate([write(tmp_path, POLICIES)], [spans], "json") == 0
    decisions = {
        each["trace_id"]: each["decisions"]["policies"]
        for each in map(json.loads, capsys.readouterr().out.splitlines())
    }
    assert [(decisions[t]["sampled"], decisions[t].get("tenant")) for t in OF] == [
        (True, "acme"), (False, None), (False, None)
    ]  # fmt: skip
    assert decisions["0a" * 16]["policy"] == "errors"


def test_the_table_counts_what_goes_to_topics_of_tenants(
    spans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Policies of one name are told apart, and estimates are made from all that is kept."""
    assert run_simulate([write(tmp_path, POLICIES)], [spans], "table") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    kept_by = next(line for line in lines if "by" in line)
    assert kept_by[:3] == ["by", "acme/errors", "1"]
    assert any(line[:6] == ["estimated", "from", "what", "was", "kept", "1"] for line in lines)


def test_a_header_is_said_to_be_missing(spans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files hold spans, not records."""
    text = POLICIES.replace("attribute: tenant.id", "header: X-Tenant")
    assert run_simulate([write(tmp_path, text)], [spans], "json") == 0
    out = capsys.readouterr()
    assert '"sampled": true' not in out.out
    assert "tenants.header: files have no headers" in out.err
