"""Keeps traces by the status of a span."""

from __future__ import annotations

from pydantic import Field, field_validator

from policies.conditions import StatusIn
from policies.contract import Context, Policy, PolicyConfig
from policies.intent import Intent
from policies.rset import ALWAYS, NEVER
from policies.trace import TraceView

CODES = {"UNSET": 0, "OK": 1, "ERROR": 2}


class StatusCode(Policy):
    """Keeps a trace with at least one span of one of the listed status codes."""

    type = "status_code"

    class Config(PolicyConfig):
        """The field of the Collector."""

        status_codes: tuple[str, ...] = Field(default=(), strict=False)
        """Any of OK, ERROR and UNSET, at least one."""

        @field_validator("status_codes")
        @classmethod
        def _known(cls, codes: tuple[str, ...]) -> tuple[str, ...]:
            for code in codes:
                if code not in CODES:
                    raise ValueError(f'unknown status code "{code}", supported: OK, ERROR, UNSET')
            return codes

    config: Config

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        if not config.status_codes:
            raise ValueError("expected at least one status code to filter on")
        self._condition = StatusIn(frozenset(CODES[code] for code in config.status_codes))
        self.conditions = (self._condition,)

    def evaluate(self, trace: TraceView) -> Intent:
        """ALWAYS or NEVER."""
        return ALWAYS if trace.matches(self._condition) else NEVER

    def describe(self) -> str:
        """Says what it keeps."""
        return f"a span with status {' or '.join(self.config.status_codes)}"
