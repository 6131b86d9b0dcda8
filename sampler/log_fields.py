"""What a log line is about, as fields of its own: handed over with `extra=where(...)`, written where logs are JSON."""

from __future__ import annotations

from typing import Final

FIELDS: Final = ("topic", "partition", "offset", "trace_id")
"""Names that stay: people search for them."""


def where(
    topic: str | None = None, partition: int | None = None, offset: int | None = None, trace_id: str | None = None
) -> dict[str, str | int]:
    """The fields that are given, for `extra`. A trace id is in lower-case hex."""
    given = {"topic": topic, "partition": partition, "offset": offset, "trace_id": trace_id}
    return {name: value for name, value in given.items() if value is not None}
