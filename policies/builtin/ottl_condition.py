"""Keeps traces by conditions in OTTL, the OpenTelemetry Transformation Language."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from policies.contract import Context, Policy, PolicyConfig
from policies.intent import Intent
from policies.ottl import Compiled, EvaluationError, compile_list
from policies.rset import ALWAYS, NEVER
from policies.trace import TraceView

_SHOWN = 200


def _span_condition(text: str) -> str:
    compile_list((text,), "span", strict=False)
    return text


def _event_condition(text: str) -> str:
    compile_list((text,), "spanevent", strict=False)
    return text


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class OttlCondition(Policy):
    """Keeps a trace with a span for which a condition of `span` holds, or an event for which one of `spanevent` does.

    A condition that cannot be evaluated for a span, e.g. an index into what is no list, counts as false there. With
    `error_mode: propagate` such an error takes the policy's vote, unless a condition holds elsewhere in the trace.
    """

    type = "ottl_condition"

    class Config(PolicyConfig):
        """Conditions as in the Collector; those of a list are joined by `or`. At least one."""

        error_mode: Annotated[Literal["ignore", "silent", "propagate"], BeforeValidator(_lower)] | None = Field(
            default=None,
            description="What becomes of a condition that cannot be evaluated for a span: it counts as false; with "
            "`propagate` the policy casts no vote, unless a condition holds elsewhere in the trace.",
        )
        span: tuple[Annotated[str, AfterValidator(_span_condition)], ...] = Field(
            default=(), strict=False, description="OTTL conditions asked of every span."
        )
        spanevent: tuple[Annotated[str, AfterValidator(_event_condition)], ...] = Field(
            default=(), strict=False, description="OTTL conditions asked of every span event."
        )

    config: Config

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        if not (config.span or config.spanevent):
            raise ValueError("expected at least one OTTL condition to filter on, in `span` or `spanevent`")
        strict = config.error_mode == "propagate"
        lists: list[Compiled] = []
        if config.span:
            lists.append(compile_list(config.span, "span", strict=strict))
        if config.spanevent:
            lists.append(compile_list(config.spanevent, "spanevent", strict=strict))
        self._holds = tuple(compiled.holds for compiled in lists)
        self._errs = tuple(compiled.errs for compiled in lists if compiled.errs is not None)
        self.conditions = (*self._holds, *self._errs)
        self.notes = tuple(
            f"the condition {text!r} is false, or errs, whatever a span holds"
            for compiled in lists
            for text in compiled.failing
        )

    def evaluate(self, trace: TraceView) -> Intent:
        """ALWAYS or NEVER; raises EvaluationError where errors are propagated and no condition holds."""
        if any(map(trace.matches, self._holds)):
            return ALWAYS
        if any(map(trace.matches, self._errs)):
            raise EvaluationError("a condition cannot be evaluated for a span of the trace")
        return NEVER

    def describe(self) -> str:
        """Says what it keeps."""
        texts = [f"a span where {_joined(self.config.span)}"] if self.config.span else []
        if self.config.spanevent:
            texts.append(f"an event where {_joined(self.config.spanevent)}")
        return ", or ".join(texts)


def _joined(conditions: tuple[str, ...]) -> str:
    text = " or ".join(" ".join(condition.split()) for condition in conditions)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
