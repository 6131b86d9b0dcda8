"""What `benchmarks.decisions` measures and how it says it."""

from __future__ import annotations

import json

import pytest

from benchmarks.decisions import A_SEGMENT, hold, ids_of, main, record_of
from sampler.engine.decision_record import decode


def test_a_short_run_prints_one_object_a_measure(capsys: pytest.CaptureFixture[str]) -> None:
    """Each with its limit, where it has one, and whether it holds; the exit status says whether all do."""
    status = 0
    try:
        main(["--json", "--no-kafka", "--decisions", "128000", "--recovered", "10000"])
    except SystemExit as stop:
        status = int(stop.code or 0)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(set(row) == {"measure", "value", "limit", "ok"} and row["value"] > 0 for row in rows)
    assert [row["limit"] for row in rows] == [16, 1, 1, None, 16, 1, 1, None, 5]
    assert [row["ok"] for row in rows] == [row["limit"] is None or row["value"] <= row["limit"] for row in rows]
    assert status == (0 if all(row["ok"] for row in rows) else 1)


def test_every_decision_is_held() -> None:
    """Times and bytes are of as many decisions as were asked for."""
    held = hold(8 * A_SEGMENT, 4)
    assert min(held.bytes_each, held.hit_us, held.miss_us, held.add_us) >= 0
    assert held.hit_us > 0


def test_segments_are_different_and_their_records_can_be_read() -> None:
    """What is recovered is what a worker would have written."""
    first, second = record_of(1, 100, 1), record_of(2, 100, 2)
    assert len({*ids_of(1, 100), *ids_of(2, 100)}) == 200
    assert list(decode(first.key, first.encode())) == list(first) != list(second)
