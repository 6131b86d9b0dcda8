"""Alert rules, judged by promtool: they are valid, fire when they should, and are silent otherwise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from deploy.prometheus.build import RULES
from tests.harness.monitoring import alert_rules
from tests.harness.prometheus import promtool

HERE = Path(__file__).parent
CASES: list[dict[str, Any]] = yaml.safe_load((HERE / "alert_cases.yaml").read_text(encoding="utf-8"))
EVERY = "5m"
"""How often promtool evaluates the rules: that is nearly all that these tests cost."""
RUNBOOKS = HERE.parents[2] / "docs/runbooks.md"


def test_the_rules_are_valid(tmp_path: Path) -> None:
    """`promtool check rules` has nothing against them."""
    code, output = promtool(["check", "rules", str(RULES)], tmp_path)
    assert (code, "SUCCESS" in output) == (0, True), output


class Series(NamedTuple):
    """Series on which an alert fires, or does not, at a time."""

    alert: str
    severity: str
    at: str
    values: dict[str, str]
    fires: bool


def series_of_cases() -> Iterator[Series]:
    """What is to be tested."""
    for case in CASES:
        for values in case["fires"]:
            yield Series(case["alert"], case["severity"], case["at"], values, fires=True)
        for values in case["silent"]:
            yield Series(case["alert"], case["severity"], case["at"], values, fires=False)


def unit_test(series: Series) -> dict[str, Any]:
    """The test in the form that promtool reads."""
    alert = f'alertname="{series.alert}",severity="{series.severity}",alertstate="firing"'
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.values.items()],
        "promql_expr_test": [
            {
                "expr": f"(count(ALERTS{{{alert}}}) > bool 0) or vector(0)",
                "eval_time": series.at,
                "exp_samples": [{"labels": "{}", "value": int(series.fires)}],
            }
        ],
    }


def test_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    """Each with series on which it fires and series, close to them, on which it is silent."""
    file = tmp_path / "rules.test.json"
    tests = {"rule_files": [str(RULES)], "evaluation_interval": EVERY, "tests": [*map(unit_test, series_of_cases())]}
    file.write_text(json.dumps(tests), encoding="utf-8")
    code, output = promtool(["test", "rules", str(file)], tmp_path)
    assert code == 0, output


def test_a_wrong_expectation_is_found(tmp_path: Path) -> None:
    """The same tests, each the other way round, fail one and all: none of them says yes to everything."""
    file = tmp_path / "rules.test.json"
    contrary = [unit_test(each._replace(fires=not each.fires)) for each in series_of_cases()]
    tests = {"rule_files": [str(RULES)], "evaluation_interval": EVERY, "tests": contrary}
    file.write_text(json.dumps(tests), encoding="utf-8")
    code, output = promtool(["test", "rules", str(file)], tmp_path)
    assert (code, output.count("exp: ")) == (1, len(contrary))


def test_every_alert_has_a_case() -> None:
    """No alert and no severity of one is left out."""
    expected = {(rule["alert"], rule["labels"]["severity"]) for rule in alert_rules()}
    assert {(case["alert"], case["severity"]) for case in CASES} == expected


def test_every_alert_says_what_to_do() -> None:
    """Its link leads to a heading of the runbooks that has symptom, meaning and what to do."""
    text = RUNBOOKS.read_text(encoding="utf-8")
    sections = {part.splitlines()[0].strip(): part for part in text.split("\n## ")[1:]}
    for rule in alert_rules():
        annotations = rule["annotations"]
        assert annotations["runbook_url"] == f"docs/runbooks.md#{rule['alert'].lower()}"
        section = sections[rule["alert"]]
        for word in ("**Symptom.**", "**Meaning.**", "**What to do.**"):
            assert word in section, (rule["alert"], word)
    assert {name for name in sections if name.startswith("Tailsampler")} == {rule["alert"] for rule in alert_rules()}
