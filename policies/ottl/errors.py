"""What can be wrong with an OTTL expression: at load, with its place, or for one span, while it is evaluated."""

from __future__ import annotations

_EXCERPT = 60


class OttlError(ValueError):
    """An expression that cannot be used. `line` and `column` count from 1 inside the expression."""

    def __init__(self, message: str, text: str, at: int, suggestion: str | None = None) -> None:
        at = min(max(at, 0), len(text))
        before = text[:at]
        self.line = before.count("\n") + 1
        self.column = at - (before.rfind("\n") + 1) + 1
        self.reason = f"{message}; did you mean {suggestion!r}?" if suggestion else message
        self.suggestion = suggestion
        super().__init__(f"OTTL, line {self.line} column {self.column}: {self.reason}\n{_excerpt(text, at)}")


class EvaluationError(Exception):
    """An expression that has no value for a span, e.g. an index into what is no list: the condition errs."""


def _excerpt(text: str, at: int) -> str:
    """The line of the place, cut to a readable length, with a caret under the place."""
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    left = max(start, at - _EXCERPT // 2)
    right = min(end, left + _EXCERPT)
    head, tail = "…" if left > start else "", "…" if right < end else ""
    shown = text[left:right].replace("\t", " ").replace("\r", " ")
    return f"  {head}{shown}{tail}\n  {' ' * (len(head) + at - left)}^"
