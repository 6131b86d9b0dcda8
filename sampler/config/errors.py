"""What is wrong with a file somebody wrote: where, what, and the name that was probably meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. `line` counts from 1; None where the value did not come from a line (a command-line option)."""

    path: str
    line: int | None
    key: str
    message: str
    suggestion: str | None = None

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line is not None else self.path
        key = f" {self.key}:" if self.key else ""
        hint = f" (did you mean {self.suggestion}?)" if self.suggestion else ""
        return f"{place}:{key} {self.message}{hint}"


class ConfigError(Exception):
    """A file cannot be used. Carries every problem found in it; `str()` has one line for each."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)

    @classmethod
    def single(cls, path: str, line: int | None, key: str, message: str, suggestion: str | None = None) -> ConfigError:
        """An error of one problem."""
        return cls([Problem(path, line, key, message, suggestion)])


def key_text(path: KeyPath) -> str:
    """`("tail_sampling", "policies", 2, "name")` as `tail_sampling.policies[2].name`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text
