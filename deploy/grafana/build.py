"""Writes the dashboards of this folder as JSON: `python -m deploy.grafana.build`."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from deploy.grafana.charts import DATASOURCE, Board, panel
from deploy.grafana.internals import INTERNALS
from deploy.grafana.overview import OVERVIEW
from deploy.grafana.policies import POLICIES

BOARDS = {"overview.json": OVERVIEW, "policies.json": POLICIES, "worker_internals.json": INTERNALS}
"""Dashboards by the name of their file."""
FOLDER = Path(__file__).parent
TAG = "tailsampler"


def board_file(board: Board) -> str:
    """The dashboard as Grafana imports it."""
    made = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.description)
        .tags([TAG])
        .timezone("browser")
        .refresh("30s")
        .time("now-1h", "now")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .editable()
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(_values("job", "Job", "label_values(tailsampler_build_info, job)"))
        .with_variable(_values("instance", "Instance", 'label_values(tailsampler_build_info{job=~"$job"}, instance)'))
        .link(
            dashboard.DashboardLink("tailsampler")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .include_vars(True)
            .keep_time(True)
        )
    )
    numbers = count(1)
    for row in board.rows:
        made.with_row(dashboard.Row(row.title).id(next(numbers)))
        for chart in row.charts:
            made.with_panel(panel(chart, next(numbers)))
    return JSONEncoder(sort_keys=True, indent=2).encode(made.build()) + "\n"


def _values(name: str, label: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(models.VariableOption(selected=True, text="All", value="$__all"))
    )


def main() -> None:
    """Write all dashboards."""
    for name, board in BOARDS.items():
        (FOLDER / name).write_text(board_file(board), encoding="utf-8")


if __name__ == "__main__":
    main()
