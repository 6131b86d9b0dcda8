"""What PromQL speaks of, and which metrics there are."""

from __future__ import annotations

import re
from collections.abc import Iterator

from deploy.grafana.build import BOARDS
from deploy.prometheus.build import rules
from sampler.metrics import METRIC_SETS, STANDARD_METRICS

SUFFIXES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
NAME = re.compile(r"\b(?:tailsampler[_:]|process_)[a-zA-Z0-9_:]+")
LABEL = re.compile(r"\b(tailsampler_\w+|process_\w+)\{([^}]*)\}")
MATCHER = re.compile(r'(\w+)\s*=~?\s*"([^"]*)"')


def series_names() -> set[str]:
    """Every name that a query may speak of."""
    own = {f"{spec.name}{suffix}" for group in METRIC_SETS for spec in group.specs() for suffix in SUFFIXES[spec.kind]}
    recorded = {rule["record"] for group in rules()["groups"] for rule in group["rules"] if "record" in rule}
    return own | set(STANDARD_METRICS) | recorded


def labels_of() -> dict[str, dict[str, tuple[str, ...]]]:
    """The labels of every metric, with the values that are known beforehand, by the names of its series."""
    return {
        f"{spec.name}{suffix}": {label: tuple(spec.values.get(label, ())) for label in spec.labels}
        for group in METRIC_SETS
        for spec in group.specs()
        for suffix in SUFFIXES[spec.kind]
    }


def alert_rules() -> Iterator[dict[str, str]]:
    """Every alert."""
    for group in rules()["groups"]:
        yield from (rule for rule in group["rules"] if "alert" in rule)


def queries() -> Iterator[tuple[str, str]]:
    """(where it stands, PromQL) of every dashboard and rule; Grafana's variables are still in the former."""
    for board in BOARDS.values():
        for chart in board.charts:
            for query in chart.queries:
                yield f"{board.title}: {chart.title}", query.promql
    for group in rules()["groups"]:
        for rule in group["rules"]:
            yield rule.get("alert") or rule["record"], rule["expr"]
