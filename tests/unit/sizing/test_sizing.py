"""`tailsampler size`: the formulas of docs/sizing.md."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampler.cli.root import invoke
from sampler.sizing import Prices, Workload, costs, size

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/sizing.md").read_text(encoding="utf-8")
Capture = pytest.CaptureFixture[str]

LOADS = st.builds(
    Workload,
    spans_per_s=st.floats(1, 1e7),
    span_bytes=st.floats(50, 10_000),
    spans_per_trace=st.floats(1, 1000),
    kept_share=st.floats(0, 1),
    decision_wait_s=st.floats(1, 600),
    remembered_s=st.floats(60, 3600),
    records=st.sampled_from(["packed", "keyed10", "keyed1"]),
    through_agent=st.booleans(),
    utilisation=st.floats(0.05, 1),
    replication_factor=st.integers(1, 5),
    backends=st.integers(0, 4),
)


def test_an_example_reckoned_by_hand() -> None:
    """100,000 spans a second of 390 bytes, all in memory: each number follows from its formula."""
    load = Workload(
        spans_per_s=100_000, kept_share=0.1, records="keyed10", through_agent=False, backends=0,
        table_memory_bytes=4e9, partitions=12,
    )  # fmt: skip
    needs = size(load)
    assert needs.on_disk_share == 0
    assert needs.waiting_bytes == pytest.approx(100_000 * 31.5 * 390)
    standby = 12 * 4 * 0.1 / 1000
    assert needs.worker.cores == pytest.approx((100_000 / 403_000 + standby) / 0.5)
    assert needs.worker.count == 2
    remembered = 10_000 * 600 * 14.6
    assert needs.worker.memory_bytes == pytest.approx((260e6 + needs.waiting_bytes / 2 + remembered / 2) / 0.75)
    assert needs.records_per_s == 10_000
    assert needs.lag_threshold == 10_000 * 31.5 / 2
    spans, sampled = 100_000 * 390 / 6, 10_000 * 450 / 4
    decisions = 10_000 * 18 + 48 * 600
    assert needs.kafka.in_bytes_per_s == pytest.approx(spans + sampled + decisions)
    assert needs.kafka.storage_bytes == pytest.approx(3 * ((spans + sampled) * 86_400 + decisions * 1800))
    assert (needs.agent.count, needs.exporter.count) == (0, 0)
    prices = needs.price(Prices(core=10, disk_gib=1))
    assert prices["cores"] == pytest.approx(needs.worker.cores * 10)
    assert prices["memory"] == prices["network"] == 0


@given(LOADS)
def test_what_is_needed_is_enough(load: Workload) -> None:
    """For any load: no more than a core for each worker, partitions for all, room in memory, and nothing negative."""
    needs = size(load)
    assert needs.worker.cores <= needs.worker.count + 0.1 * needs.partitions
    assert needs.partitions >= needs.worker.count
    assert 0 <= needs.on_disk_share < 1
    assert needs.worker.memory_bytes * costs.SOFT_MEMORY_SHARE >= costs.WORKER_BASE_BYTES
    assert min(needs.kafka.storage_bytes, needs.kafka.copied_bytes_per_s, needs.catch_up) >= 0
    assert needs.lag_threshold >= 1


@given(LOADS)
def test_twice_the_load_needs_no_less(load: Workload) -> None:
    """Of anything."""
    one, two = size(load), size(replace(load, spans_per_s=load.spans_per_s * 2))
    assert two.worker.count >= one.worker.count
    assert two.kafka.storage_bytes > one.kafka.storage_bytes
    assert two.agent.cores >= one.agent.cores
    assert two.worker.disk_bytes * two.worker.count > one.worker.disk_bytes * one.worker.count


def test_spans_that_do_not_fit_in_memory_cost_cpu() -> None:
    """The part on disk is the part beyond all workers' memory, at the speed measured for it."""
    load = Workload(spans_per_s=200_000, kept_share=0.1)
    small, large = size(replace(load, table_memory_bytes=1e6)), size(replace(load, table_memory_bytes=1e11))
    assert small.on_disk_share > 0.99
    assert large.on_disk_share == 0
    ratio = (small.worker.cores * 0.5 - 0.0048) / (large.worker.cores * 0.5 - 0.0048)
    assert ratio == pytest.approx(1 / costs.WORKER_DISK_SPEED, rel=0.02)


def test_the_page_states_every_constant() -> None:
    """docs/sizing.md has a row for each of costs.py, with its value."""
    rows = dict(re.findall(r"^\| `([A-Z0-9_]+)` \| ([^|]+) \|", PAGE, re.MULTILINE))
    stated = {name: ast.literal_eval(value.replace(",", "").replace(" GB", "e9").strip("` ")) if "{" not in value else
              None for name, value in rows.items()}  # fmt: skip
    plain = {name: value for name, value in vars(costs).items() if name.isupper() and isinstance(value, int | float)}
    speeds = {f"WORKER_SPANS_PER_CPU_S_{kind.upper()}": speed for kind, speed in costs.WORKER_SPANS_PER_CPU_S.items()}
    assert stated == {**plain, **speeds}


def test_the_page_shows_what_the_command_says(capsys: Capture) -> None:
    """The example of docs/sizing.md is the command's own answer."""
    command, answer = re.search(r"```console\n\$ tailsampler (size [^\n]+)\n(.*?)```", PAGE, re.DOTALL).groups()  # type: ignore[union-attr]
    assert invoke(command.split()) == 0
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == answer.splitlines()


def test_files_say_what_is_not_given(tmp_path: Path, capsys: Capture) -> None:
    """Wait, memory of decisions, partitions, copies and retention come from the files; options go before them."""
    (tmp_path / "config.yaml").write_text(
        "kafka: {partitions: 48, replication_factor: 2, retention: 6h}\n"
        "worker: {decision_cache: {ttl: 20m}, trace_table: {memory_limit_mib: 512}}\n"
    )
    (tmp_path / "policies.yaml").write_text("decision_wait: 45s\npolicies: [{name: all, type: always_sample}]\n")
    files = ["--config", str(tmp_path / "config.yaml"), "--policies", str(tmp_path / "policies.yaml")]
    base = ["size", "--spans-per-second", "1000", "--output", "json"]
    assert invoke([*base, *files, "--retention", "1h", "--price-core", "10"]) == 0
    told = json.loads(capsys.readouterr().out)
    load = told["workload"]
    assert (load["decision_wait_s"], load["remembered_s"], load["partitions"]) == (45, 1200, 48)
    assert (load["replication_factor"], load["retention_s"], load["table_memory_bytes"]) == (2, 3600, 512 * 2**20)
    assert told["month"]["total"] == told["month"]["cores"] > 0
    assert invoke(base) == 0
    assert "month" not in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    "wrong",
    [["--spans-per-second", "0"], ["--spans-per-second", "1", "--retention", "24"],
     ["--spans-per-second", "1", "--span-bytes", "0"], []],
)  # fmt: skip
def test_wrong_input_is_said(wrong: list[str], capsys: Capture) -> None:
    """Exit code 2 and a sentence."""
    assert invoke(["size", *wrong]) == 2
    assert "Error" in capsys.readouterr().err
