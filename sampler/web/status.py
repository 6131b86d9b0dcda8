"""What a process says of itself beyond its numbers, as one JSON object for people and scripts."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any, Protocol


class Page(Protocol):
    """Something that says what runs here, as JSON."""

    def text(self) -> str: ...


class StatusPage:
    """Sections by name, each set as a whole; from any thread."""

    def __init__(self) -> None:
        self._sections: dict[str, Mapping[str, Any]] = {}
        self._lock = threading.Lock()

    def set(self, section: str, values: Mapping[str, Any]) -> None:
        """Replace a section; `values` are JSON-able and do not change afterwards."""
        with self._lock:
            self._sections[section] = values

    def text(self) -> str:
        """All sections as JSON."""
        with self._lock:
            return json.dumps(self._sections, indent=2, sort_keys=True) + "\n"
