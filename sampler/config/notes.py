"""What the reader of a configuration file should know though nothing is wrong: each note with its file and line."""

from __future__ import annotations

from sampler.config.document import Document
from sampler.config.errors import KeyPath


class Notes:
    """Collects notes on one document; every text is said once for a place."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._said: dict[str, int] = {}

    def add(self, key: KeyPath, message: str) -> None:
        """A note at a key, `file:line: key: message`."""
        self._said.setdefault(str(self._document.problem(key, message)), self._document.line_of(key) or 0)

    @property
    def texts(self) -> tuple[str, ...]:
        """All notes, by line."""
        return tuple(sorted(self._said, key=lambda text: self._said[text]))
