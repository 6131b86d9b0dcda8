"""Types of config fields that several policies share."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

STATUS_CODES = {"UNSET": 0, "OK": 1, "ERROR": 2}
"""Status codes of a span, by the names of policy files."""


def _milliseconds(value: Any) -> Any:
    if isinstance(value, str):
        raise ValueError(f"must be a whole number of milliseconds, without unit (60000 is a minute), not {value!r}")
    return value


Milliseconds = Annotated[int, BeforeValidator(_milliseconds, json_schema_input_type=int), Field(ge=0, le=2**43)]
"""A length of time, as in the Collector's policies a plain number; its field's name ends in `_ms`."""

Percentage = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
"""A share of traces, 0 to 100."""


def _known(codes: tuple[str, ...]) -> tuple[str, ...]:
    for code in codes:
        if code not in STATUS_CODES:
            raise ValueError(f'unknown status code "{code}", supported: OK, ERROR, UNSET')
    return codes


StatusNames = Annotated[tuple[str, ...], Field(strict=False), AfterValidator(_known)]
"""A list of status codes, any of which a span may have."""


def status_numbers(names: tuple[str, ...]) -> frozenset[int]:
    """Status codes as the conditions take them."""
    return frozenset(STATUS_CODES[name] for name in names)
