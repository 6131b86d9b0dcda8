"""`tailsampler demo` for real, on few traces: processes, broker, closing table, Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import psutil

from tests.harness.process import TestProcess

CODE = "import sys; from sampler.demo import run_demo; sys.exit(run_demo(keep_running=True, play_s=2, limit=400))"


def test_the_demo_ends_with_its_table_and_leaves_nothing(tmp_path: Path) -> None:
    """It keeps whole traces, prints the tables, stays up on request, and ends all children on Ctrl-C."""
    env = {"SAMPLER_TRACE_DATA": str(tmp_path), "PYTHONIOENCODING": "utf-8"}
    with TestProcess([sys.executable, "-c", CODE], tmp_path / "demo.log", env) as demo:
        demo.wait_for_log("Ctrl-C stops everything", 120)
        children = psutil.Process(demo.pid).children()
        assert len(children) == 2
        os.kill(demo.pid, signal.SIGINT)
        assert demo.wait(30) == 0
        text = demo.output()
    assert not any(child.is_running() for child in children)
    kept = re.search(r"^  kept +(\d+)", text, re.MULTILINE)
    assert kept is not None
    assert f"✓ all {kept[1]} kept traces are whole" in text
    assert re.search(r"^  in +400 ", text, re.MULTILINE)
    assert re.search(r"^  traces of 1 s or more .*exact$|^  traces with an error .*exact$", text, re.MULTILINE)
    assert "OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:" in text
    assert [line for line in text.splitlines() if len(line) > 100 and "policies.yaml" not in line] == []
    assert not list(tmp_path.glob("tailsampler-demo-*"))
