"""How a backend does: whether it takes what it is sent, since when not, and why."""

from __future__ import annotations

import logging
from typing import Any

from sampler.exporter.answers import Answer, Fate
from sampler.exporter.say import Say
from sampler.metrics.exporter import BackendMetrics

log = logging.getLogger(__name__)

UNREADY_AFTER_S = 5.0
"""A backend that fails for so long makes the process not ready; one blip does not."""


class BackendState:
    """Written on the event loop, read from any thread. Times are monotonic seconds."""

    def __init__(self, name: str, metrics: BackendMetrics) -> None:
        self.name = name
        self.say = Say(log, f"backend {name}")
        self.failing_since_s: float | None = None
        self.failures = 0
        """In a row."""
        self.kafka_problem = "Kafka has not answered yet"
        self._metrics = metrics
        self._last: Answer | None = None
        self._denied = False

    @property
    def failing(self) -> bool:
        """Whether the last answers were failures that may pass."""
        return self.failing_since_s is not None

    def answered(self, answer: Answer, now_s: float) -> None:
        """A request came to this."""
        if answer.fate in {Fate.LATER, Fate.DENIED}:
            self._failed(answer, now_s)
            return
        if self.failing_since_s is not None:
            lasted_s = now_s - self.failing_since_s
            self.say("again", f"takes requests again, after {lasted_s:.1f} s", logging.INFO)
            if lasted_s >= UNREADY_AFTER_S:
                # The next failure is another one: a backend that refuses now and then stays at a line a minute.
                self.say.forget("failing")
                self.say.forget("again")
        self.failing_since_s, self.failures, self._denied = None, 0, False
        self._metrics.backend_failing.set(0)
        if answer.rejected_spans:
            said = answer.text or "it does not say why"
            self.say("rejected", f"it accepted a request but threw {answer.rejected_spans} spans of it away: {said}")

    def problem(self, now_s: float) -> str:
        """Why the process is not ready; empty while it is."""
        if self.failing_since_s is None or self._last is None:
            return ""
        lasting_s = now_s - self.failing_since_s
        if not self._denied and lasting_s < UNREADY_AFTER_S:
            return ""
        return f"takes nothing for {lasting_s:.0f} s: {_words(self._last)}"

    def report(self) -> dict[str, Any]:
        """For the status page."""
        return {
            "failing": self.failing,
            "failures_in_a_row": self.failures,
            "last_failure": _words(self._last) if self._last else "",
            "kafka": self.kafka_problem,
        }

    def _failed(self, answer: Answer, now_s: float) -> None:
        if self.failing_since_s is None:
            self.failing_since_s = now_s
        self.failures += 1
        self._last = answer
        self._denied = answer.fate is Fate.DENIED
        self._metrics.backend_failing.set(1)
        hint = " (credentials or address; nothing is thrown away, it is tried until that is mended)"
        self.say("failing", f"does not take requests: {_words(answer)}{hint if self._denied else '; trying again'}")


def _words(answer: Answer) -> str:
    return f"{answer.code}: {answer.text}" if answer.text else answer.code
