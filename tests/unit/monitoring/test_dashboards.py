"""The committed dashboards and rules: made by their builders, and only of metrics that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from deploy.grafana.build import BOARDS, FOLDER, board_file
from deploy.grafana.charts import WIDTH
from deploy.prometheus.build import RULES, rules_file
from sampler.metrics import METRIC_SETS
from tests.harness.monitoring import LABEL, MATCHER, NAME, labels_of, queries, series_names

ROOT = Path(__file__).parents[3]
OURS = re.compile(r"\btailsampler(?:_|:\w+:)\w+")
NO_METRICS = {"tailsampler_kafka"}
"""Other names that pages speak of: what the OpenTelemetry SDK knows our span exporter by."""
AROUND = {"job", "instance", "namespace", "process", "le"}
"""Labels that Prometheus, `tailsampler run` or a histogram adds."""


@pytest.mark.parametrize("name", BOARDS)
def test_a_dashboard_is_current(name: str) -> None:
    """Write it anew with `python -m deploy.grafana.build`."""
    assert (FOLDER / name).read_text(encoding="utf-8") == board_file(BOARDS[name])


def test_the_rules_are_current() -> None:
    """Write them anew with `python -m deploy.prometheus.build`."""
    assert RULES.read_text(encoding="utf-8") == rules_file()


@pytest.mark.parametrize("name", BOARDS)
def test_panels_have_places_and_numbers_of_their_own(name: str) -> None:
    """None covers another, and Grafana need not number them anew."""
    panels = json.loads((FOLDER / name).read_text(encoding="utf-8"))["panels"]
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        x, y, width, height = (panel["gridPos"].get(key, 0) for key in "xywh")
        own = {(column, row) for column in range(x, x + width) for row in range(y, y + height)}
        assert x + width <= WIDTH
        assert not own & cells
        cells |= own
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))


def test_queries_speak_of_metrics_that_exist() -> None:
    """Every name in a dashboard or a rule is in the list of metrics, or recorded."""
    known = series_names()
    found = [(where, name) for where, promql in queries() for name in NAME.findall(promql)]
    assert len(found) > 150
    assert [(where, name) for where, name in found if name not in known] == []


def test_queries_select_by_labels_that_exist() -> None:
    """A label in a selector or a grouping is one of the metric, and its value one that can occur."""
    labels = labels_of()
    wrong = []
    for where, promql in queries():
        for name, selector in LABEL.findall(promql):
            for label, value in MATCHER.findall(selector):
                possible = labels.get(name, {}).get(label, ())
                if label not in AROUND and label not in labels.get(name, {}):
                    wrong.append((where, name, label))
                elif possible and not re.fullmatch(value, "") and not all(v in possible for v in value.split("|")):
                    wrong.append((where, name, f"{label}={value}"))
    assert wrong == []


def test_panels_take_data_source_and_selection_from_variables() -> None:
    """A dashboard fits any Grafana: no panel names a data source of its own, and all heed the chosen jobs."""
    for name in BOARDS:
        board = json.loads((FOLDER / name).read_text(encoding="utf-8"))
        assert [each["name"] for each in board["templating"]["list"]] == ["datasource", "job", "instance"]
        panels = [panel for panel in board["panels"] if panel["type"] != "row"]
        assert {panel["datasource"]["uid"] for panel in panels} == {"${datasource}"}
        for panel in panels:
            assert panel["title"]
            assert panel["description"]
            for target in panel["targets"]:
                assert "$job" in target["expr"] or target["expr"].startswith("tailsampler:")


def test_pages_speak_of_metrics_that_exist() -> None:
    """Every metric that the documentation names is in the list."""
    known = {name.removesuffix("_total") for name in series_names()} | series_names()
    known |= {name.removesuffix(suffix) for name in known for suffix in ("_bucket", "_sum", "_count")}
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    found = [(page.name, name) for page in pages for name in OURS.findall(page.read_text(encoding="utf-8"))]
    assert len(found) > 200
    known |= NO_METRICS
    # A name that ends with `_` or `...` stands for all that begin so.
    wrong = [
        (page, name) for page, name in found if name not in known and not (name.endswith("_") and begins(name, known))
    ]
    assert wrong == []


def begins(prefix: str, names: set[str]) -> bool:
    """Whether one of the names begins so."""
    return any(name.startswith(prefix) for name in names)


def test_metrics_have_one_name_each() -> None:
    """Over all processes; and every set has a title for the page of metrics."""
    names = [spec.name for group in METRIC_SETS for spec in group.specs()]
    assert sorted(names) == sorted(set(names))
    assert all(group.title for group in METRIC_SETS)
    assert "process" not in {label for group in METRIC_SETS for spec in group.specs() for label in spec.labels}
