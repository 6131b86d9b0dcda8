"""A partition's knowledge as text, for its state where no exchange carries it."""

from __future__ import annotations

import json
from typing import Any

from policies.dynamic.counters import Counts
from policies.dynamic.partition import Partition
from policies.dynamic.plans import Rules

MAX_BYTES = 56 * 1024
"""Of the text as part of the state, whose limit is 64 KiB."""
MAX_KEYS = 1000
"""Keys of which a partition without an exchange keeps account."""
_LEAST_CUT = 0.9


def packed(partition: Partition) -> str:
    """All that the partition goes by. Of keys that do not fit the smallest are given up, here and in the partition."""
    while True:
        text = json.dumps(_content(partition), ensure_ascii=False, separators=(",", ":"))
        size = len(text) if len(text) * 12 <= MAX_BYTES else len(json.dumps(text))
        if size <= MAX_BYTES or not partition.counts.entries:
            return text
        held = len(partition.counts.entries)
        _forget(partition, min(held - 1, int(held * MAX_BYTES / size * _LEAST_CUT)))


def unpacked(rules: Rules, text: str) -> Partition:
    """The partition that was packed."""
    content = json.loads(text)
    found = Partition(rules, content["interval"], content["since_ms"])
    found.counts = Counts(content["capacity"])
    found.counts.entries = content["entries"]
    found.counts.rest, found.counts.whole = content["rest"], content["whole"]
    ledger = found.ledger
    ledger.cost, ledger.traces, ledger.now, ledger.past = content["ledger"]
    averages = found.averages
    averages.rose, averages.turned, averages.fell = content["averages"]
    found.memory.intervals = content["window"]
    bursts = found.bursts
    bursts.elapsed, bursts.marked, bursts.marked_before, bursts.raised, bursts.since = content["bursts"]
    bursts.others, bursts.surged, found.restless = content["surge"]
    found.start.level, found.start.at_ms = content["start"]
    found.correction, found.experienced = content["correction"], any(ledger.past)
    if content["planned"]:
        found.expect_own(content["scale"])
        found.replan()
    return found


def _content(partition: Partition) -> dict[str, Any]:
    counts, ledger, bursts, averages = partition.counts, partition.ledger, partition.bursts, partition.averages
    return {
        "interval": partition.interval,
        "since_ms": partition.since_ms,
        "capacity": counts.capacity,
        "entries": counts.entries,
        "rest": counts.rest,
        "whole": counts.whole,
        "ledger": [ledger.cost, ledger.traces, ledger.now, ledger.past],
        "averages": [averages.rose, averages.turned, averages.fell],
        "window": partition.memory.intervals,
        "bursts": [bursts.elapsed, bursts.marked, bursts.marked_before, bursts.raised, bursts.since],
        "surge": [bursts.others, bursts.surged, partition.restless],
        "start": [partition.start.level, partition.start.at_ms],
        "correction": partition.correction,
        "scale": partition.scale,
        "planned": partition.plan is not None,
    }


def _forget(partition: Partition, places: int) -> None:
    """Give up all but so many keys, everywhere: what stays must be the same before and after it was stored."""
    partition.counts.cut_to(places)
    kept = partition.counts.entries.keys() | {"\\rest"}
    bursts, averages = partition.bursts, partition.averages
    averages.rose = {key: since for key, since in averages.rose.items() if key in kept}
    bursts.raised = {key: amount for key, amount in bursts.raised.items() if key in kept}
    bursts.since = {key: since for key, since in bursts.since.items() if key in kept}
    partition.memory.intervals = [
        {key: amount for key, amount in each.items() if key in kept} for each in partition.memory.intervals
    ]
    if partition.plan is not None:
        partition.expect_own(partition.scale)
        partition.replan()
