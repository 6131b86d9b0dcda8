"""Writes deploy/prometheus/rules.yaml: `python -m deploy.prometheus.build`.

`--runbooks URL` has the alerts link to where you publish docs/runbooks.md; the file then goes to standard output.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from deploy.prometheus.alerts import GROUPS
from deploy.prometheus.objectives import OBJECTIVES

RULES = Path(__file__).with_name("rules.yaml")
RUNBOOKS = "docs/runbooks.md"
HEAD = "# Recording rules and alerts, made by `python -m deploy.prometheus.build`. Runbooks: docs/runbooks.md.\n"


def rules(runbooks: str = RUNBOOKS) -> dict[str, Any]:
    """All rules; `runbooks` is the page with a heading for every alert."""

    def url(alert: str) -> str:
        return f"{runbooks}#{alert.lower()}"

    groups: list[dict[str, Any]] = [
        {"name": f"tailsampler.{each.record}", "rules": [*each.records(), *each.alerts(url(each.alert))]}
        for each in OBJECTIVES
    ]
    groups += [
        {"name": name, "rules": [each.rule(url(each.name)) for each in alerts]} for name, alerts in GROUPS.items()
    ]
    return {"groups": groups}


def rules_file(runbooks: str = RUNBOOKS) -> str:
    """The file that Prometheus reads."""
    return HEAD + yaml.safe_dump(rules(runbooks), sort_keys=False, width=10_000, allow_unicode=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the file of this folder, or print one with other links."""
    parser = argparse.ArgumentParser(prog="python -m deploy.prometheus.build", description="Write the rules.")
    parser.add_argument("--runbooks", metavar="URL", help="address of the runbooks; prints instead of writing")
    options = parser.parse_args(arguments)
    if options.runbooks:
        sys.stdout.write(rules_file(options.runbooks))
    else:
        RULES.write_text(rules_file(), encoding="utf-8")


if __name__ == "__main__":
    main()
