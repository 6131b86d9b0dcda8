"""Service level objectives and the rules that follow from them: ratios over several windows, and burn rates.

A burn rate is how many times faster than allowed the budget of errors is used up. An alert asks a long window, so that
a moment does not count, and a short one, so that it ends soon after the trouble does: "Alerting on SLOs", chapter 5 of
Google's Site Reliability Workbook, whose numbers these are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
BURNS = (
    ("critical", "2m", ((14.4, "1h", "5m"), (6.0, "6h", "30m"))),
    ("warning", "15m", ((3.0, "1d", "2h"), (1.0, "3d", "6h"))),
)
"""Severity, how long it must hold, and (burn rate, long window, short window), of which one suffices.

In a month of 30 days the first uses up 2 % of the budget in an hour, the last 10 % in three days.
"""


@dataclass(frozen=True, slots=True)
class Objective:
    """What share of events may be bad. `bad` and `all` are counters, selectors included; `by` are labels that stay."""

    record: str
    percent: float
    bad: str
    all: str
    alert: str
    summary: str
    description: str
    by: tuple[str, ...] = ("namespace", "job")

    @property
    def budget(self) -> float:
        """The share that may be bad."""
        return round(1 - self.percent / 100, 6)

    def ratio(self, window: str) -> str:
        """The name of the recorded ratio."""
        return f"tailsampler:{self.record}:ratio_rate{window}"

    def records(self) -> list[dict[str, Any]]:
        """The recording rules, one a window."""
        labels = ", ".join(self.by)
        rules = []
        for window in WINDOWS:
            bad, every = (f"sum by ({labels}) (rate({counter}[{window}]))" for counter in (self.bad, self.all))
            # Where nothing bad has happened yet its counter may not exist: that is a ratio of 0.
            rules.append({"record": self.ratio(window), "expr": f"({bad} or 0 * {every}) / {every}"})
        return rules

    def alerts(self, runbook_url: str) -> list[dict[str, Any]]:
        """The alerts, one a severity."""
        rules = []
        for severity, wait, burns in BURNS:
            terms = [
                f"({self.ratio(long)} > {_number(rate * self.budget)} and "
                f"{self.ratio(short)} > {_number(rate * self.budget)})"
                for rate, long, short in burns
            ]
            annotations = {
                "summary": self.summary,
                "description": f"{self.description} The objective is {self.percent:g} % without; at the moment it is "
                "{{ $value | humanizePercentage }} with.",
                "runbook_url": runbook_url,
            }
            expr = " or ".join(terms)
            labels = {"severity": severity}
            rules.append({"alert": self.alert, "expr": expr, "for": wait, "labels": labels, "annotations": annotations})
        return rules


def _number(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")


OBJECTIVES = (
    Objective(
        record="agent_requests_refused",
        percent=99.9,
        bad='tailsampler_agent_requests_total{outcome=~"buffer_full|kafka_unavailable"}',
        all="tailsampler_agent_requests_total",
        alert="TailsamplerRequestsRefused",
        summary="Agents refuse export requests",
        description="Requests are refused because Kafka does not take the spans fast enough, or not at all; senders "
        "that give up lose them.",
    ),
    Objective(
        record="records_dead_lettered",
        percent=99.99,
        bad="tailsampler_dead_letters_total",
        all="tailsampler_records_received_total",
        alert="TailsamplerDeadLetters",
        summary="Workers put records into the dead-letter topic",
        description="These records hold no readable OTLP, or spans too large for the sampled topic: their spans are in "
        "no trace.",
    ),
    Objective(
        record="traces_decided_early",
        percent=99.9,
        bad='tailsampler_early_decisions_total{reason="table_full"}',
        all="tailsampler_traces_decided_total",
        alert="TailsamplerEarlyDecisions",
        summary="Traces are decided before they are whole",
        description="The trace table is full: the oldest traces are decided on what has come, and may be dropped "
        "although an error was on its way.",
    ),
    Objective(
        record="exporter_requests_failed",
        percent=99.0,
        bad="tailsampler_exporter_failed_requests_total",
        all="tailsampler_exporter_request_seconds_count",
        alert="TailsamplerBackendErrors",
        summary="A backend refuses requests of the exporter",
        description="Requests to backend {{ $labels.backend }} fail. They are sent again; kept traces arrive late.",
        by=("namespace", "job", "backend"),
    ),
)
