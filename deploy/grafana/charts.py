"""Charts in a few words, and how Grafana panels are made of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from grafana_foundation_sdk.builders import common, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.cog import builder as cogbuilder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus as prometheus_models

Unit = Literal["", "short", "ops", "s", "bytes", "Bps", "percentunit", "bool"]
"""Grafana's names of units; `ops` and `Bps` are things and bytes a second."""

_SELECTED = re.compile(r"\b(tailsampler_\w+|process_\w+)<([^>]*)>")
SELECTION = 'job=~"$job", instance=~"$instance"'
DATASOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
WIDTH = 24
"""Columns of a dashboard."""


@dataclass(frozen=True, slots=True)
class Query:
    """`expr` is PromQL with `name<label="x">` for the chosen jobs and instances, [R] for Grafana's rate interval."""

    expr: str
    legend: str = ""
    exemplars: bool = False

    @property
    def promql(self) -> str:
        """As Prometheus reads it, but for Grafana's variables."""

        def selected(found: re.Match[str]) -> str:
            own = f"{SELECTION}, {found[2]}" if found[2] else SELECTION
            return f"{found[1]}{{{own}}}"

        return _SELECTED.sub(selected, self.expr).replace("[R]", "[$__rate_interval]")


def rate(metric: str, legend: str = "", *, by: str = "", where: str = "") -> Query:
    """How much a counter grows a second, added up by these labels; the legend names them unless it is given."""
    legend = legend or " ".join(f"{{{{{label}}}}}" for label in by.split(", ") if label)
    return Query(f"sum{f' by ({by})' if by else ''} (rate({metric}<{where}>[R]))", legend)


def quantiles(metric: str, *shares: float, exemplars: bool = False) -> tuple[Query, ...]:
    """Quantiles of a histogram, over everything chosen."""
    return tuple(
        Query(f"histogram_quantile({share}, sum by (le) (rate({metric}_bucket<>[R])))", f"p{share * 100:g}", exemplars)
        for share in shares
    )


def mean(metric: str, legend: str) -> Query:
    """The mean of a histogram over all that it has seen, for what is seen rarely."""
    return Query(f"sum({metric}_sum<>) / sum({metric}_count<>)", legend)


@dataclass(frozen=True, slots=True)
class Chart:
    """One panel. `limits` are (value, colour) from which on a number is shown in that colour."""

    title: str
    description: str
    unit: Unit
    queries: tuple[Query, ...]
    kind: Literal["lines", "stack", "number", "table"] = "lines"
    width: int = 8
    height: int = 8
    limits: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A heading and the charts below it."""

    title: str
    charts: tuple[Chart, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard. `uid` is its name in links."""

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]

    @property
    def charts(self) -> tuple[Chart, ...]:
        """The charts of all rows."""
        return tuple(chart for row in self.rows for chart in row.charts)


def panel(chart: Chart, number: int) -> cogbuilder.Builder[models.Panel]:
    """The panel of a chart, under a number of its own on the dashboard."""
    if chart.kind == "number":
        return _number(chart).id(number)
    if chart.kind == "table":
        return _table(chart).id(number)
    return _lines(chart).id(number)


def _lines(chart: Chart) -> timeseries.Panel:
    made = (
        timeseries.Panel()
        .title(chart.title)
        .description(chart.description)
        .datasource(DATASOURCE)
        .unit(chart.unit or "short")
        .min(0)
        .span(chart.width)
        .height(chart.height)
        .fill_opacity(10)
        .show_points(common_models.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .display_mode(common_models.LegendDisplayMode.LIST)
            .placement(common_models.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(
            common.VizTooltipOptions()
            .mode(common_models.TooltipDisplayMode.MULTI)
            .sort(common_models.SortOrder.DESCENDING)
        )
    )
    if chart.kind == "stack":
        made.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL)).fill_opacity(40)
    for number, query in enumerate(chart.queries):
        made.with_target(_target(query, number))
    return made


def _number(chart: Chart) -> stat.Panel:
    steps = [models.Threshold(value=None, color="green")]
    steps += [models.Threshold(value=value, color=colour) for value, colour in chart.limits]
    made = (
        stat.Panel()
        .title(chart.title)
        .description(chart.description)
        .datasource(DATASOURCE)
        .unit(chart.unit or "short")
        .span(chart.width)
        .height(chart.height)
        .thresholds(dashboards.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .graph_mode(common_models.BigValueGraphMode.AREA)
    )
    for number, query in enumerate(chart.queries):
        made.with_target(_target(query, number))
    return made


def _table(chart: Chart) -> table.Panel:
    made = (
        table.Panel()
        .title(chart.title)
        .description(chart.description)
        .datasource(DATASOURCE)
        .unit(chart.unit or "short")
        .span(chart.width)
        .height(chart.height)
    )
    for number, query in enumerate(chart.queries):
        made.with_target(_target(query, number).instant().format(prometheus_models.PromQueryFormat.TABLE))
    return made


def _target(query: Query, number: int) -> prometheus.Dataquery:
    made = prometheus.Dataquery().ref_id(chr(ord("A") + number)).expr(query.promql)
    made.legend_format(query.legend or "__auto")
    return made.exemplar(True) if query.exemplars else made
