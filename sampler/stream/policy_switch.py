"""Carries out a reload, and knows which policies run: for the log, the metrics and the status page."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from policies.any_set import AnyPolicySet
from sampler.clock import monotonic_s
from sampler.config import PolicyFile
from sampler.engine.settings import EngineSettings
from sampler.stream.pipeline import Pipeline
from sampler.stream.reload import Outcome, Refused, Taken, Unchanged
from sampler.stream.report import Reporter
from sampler.web.status import StatusPage

logger = logging.getLogger(__name__)

SECTION = "policies"


class PolicySwitch:
    """From one policy set to the next. Called on the event loop, between two batches."""

    def __init__(
        self,
        running: PolicyFile,
        pipeline: Pipeline,
        reporter: Reporter,
        page: StatusPage,
        settings_of: Callable[[PolicyFile], EngineSettings],
        wall_ms: Callable[[], int],
        on_change: Callable[[AnyPolicySet], object] = lambda _: None,
    ) -> None:
        """`on_change` is told what runs, now and after every change."""
        self._pipeline = pipeline
        self._reporter = reporter
        self._page = page
        self._settings_of = settings_of
        self._wall_ms = wall_ms
        self._on_change = on_change
        self._error: str | None = None
        self._now_runs(running)
        logger.info("policies: running %s from %s", running.identity, running.path)
        if running.problem:
            self._refuse(running.problem)

    def tell(self, outcome: Outcome) -> None:
        """Run what a look at the policy file has brought, or say why not."""
        match outcome:
            case Taken():
                self._take(outcome)
            case Refused(error):
                self._refuse(error)
            case Unchanged():
                self._keep()

    def _take(self, taken: Taken) -> None:
        before, policies = self._running.identity, taken.policies
        self._pipeline.use_policies(policies.policy_set, taken.plan, self._settings_of(policies))
        self._error = None
        self._now_runs(policies)
        self._reporter.reloaded("success")
        logger.info("policies: running %s from %s, in place of %s", policies.identity, policies.path, before)
        for note in policies.notes:
            logger.warning("%s", note)

    def _refuse(self, error: str) -> None:
        self._error = error
        self._reporter.reloaded("failure")
        self._show()
        logger.error(
            "policies: the changed file cannot be used, %s runs on. Mend it and check it with 'tailsampler validate':"
            "\n%s",
            self._running.identity,
            error,
        )

    def _keep(self) -> None:
        self._error = None
        self._reporter.reloaded("unchanged")
        self._show()
        logger.info("policies: the file says what runs already, %s", self._running.identity)

    def _now_runs(self, policies: PolicyFile) -> None:
        self._running, self._since_ms = policies, self._wall_ms()
        policies.policy_set.use_clock(monotonic_s)
        self._on_change(policies.policy_set)
        self._reporter.use_policies(policies.policy_set, policies.identity, self._since_ms)
        self._show()

    def _show(self) -> None:
        identity = self._running.identity
        self._page.set(
            SECTION,
            {
                "name": identity.name,
                "version": identity.version,
                "content_hash": identity.content_hash,
                "file": self._running.path,
                "policies": list(self._running.policy_set.names),
                "running_since": datetime.fromtimestamp(self._since_ms / 1000, UTC).isoformat(timespec="seconds"),
                "error_of_the_file": self._error,
            },
        )
