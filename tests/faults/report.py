"""Writes docs/faults.md from the outcomes of the last full run: `python -m tests.faults.report`."""

from __future__ import annotations

import json
from typing import Any

from tests.faults.load import LATE_EVERY, SPANS, SPREAD_S
from tests.faults.stage import PARTITIONS, RESULTS, SESSION_TIMEOUT, SPANS_PER_S
from tests.faults.truth import DECISION_WAIT_MS
from tests.harness.process import REPOSITORY

PAGE = REPOSITORY / "docs" / "faults.md"

INTRODUCTION = f"""\
# Faults

This page is written by `make test-faults`, which runs every scenario below: real Kafka, real processes, real signals.
While a live load of at least {SPANS_PER_S:,} spans a second runs, the fault strikes. When everything is decided, the
sampled topic is read whole and compared with what an independent computation says must be there, made from the records
of the span topic: their offsets, timestamps and values.

The load: traces of {SPANS} spans in four records spread over {SPREAD_S:g} s; one trace in {LATE_EVERY} has one
more span that comes after its decision. {PARTITIONS} partitions; decision_wait {DECISION_WAIT_MS // 1000}s,
session_timeout {SESSION_TIMEOUT}. The policies: errors, a drop policy, a `not` and a probabilistic share.

* **lost**: traces that must be there and are not. **split**: traces that are there, but not with all of their spans.
* **duplicated**: traces of which some span is there more than once; **limit**: what is promised. That is one
  unacknowledged tick a partition for every crash: the partitions taken from their owner without its consent, times the
  largest tick any worker wrote (`tailsampler_largest_tick_traces`). Where every worker could finish what it had begun,
  it is 0.
* **recovered**: seconds from the fault until everything that was in the span topic when it struck was decided,
  delivered and committed. The decision wait is part of it, and so is the fault itself where it lasts.

"""


def page(rows: list[dict[str, Any]]) -> str:
    """The whole page."""
    lines = [
        "| scenario | traces | expected | found | lost | split | duplicated | limit | recovered, s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        recovered = "" if row["recover_s"] is None else f"{row['recover_s']:.0f}"
        numbers = " | ".join(f"{row[key]:,}" for key in ("traces", "expected", "found", "lost", "split", "duplicated"))
        lines.append(f"| {row['scenario']} | {numbers} | {row['duplicated_limit']:,} | {recovered} |")
    return INTRODUCTION + "\n".join(lines) + "\n"


def last_rows(text: str) -> list[dict[str, Any]]:
    """The last outcome of every scenario, in the order of their first ones."""
    rows: dict[str, dict[str, Any]] = {}
    for line in text.splitlines():
        row = json.loads(line)
        rows[row["scenario"]] = row
    return list(rows.values())


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(last_rows(RESULTS.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
