"""What all models of the configuration have in common."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints


class Section(BaseModel):
    """A part of the configuration: unknown keys are errors, values never change, no input is repeated in errors."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True, validate_default=True
    )


_ENDPOINT = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]*):(?P<port>[0-9]{1,5})")


def split_endpoint(text: str) -> tuple[str, int]:
    """Host (brackets of IPv6 removed; empty means all addresses) and port; ValueError where it is neither."""
    match = _ENDPOINT.fullmatch(text)
    if not match or int(match["port"]) > 65535:
        raise ValueError("must be host:port, such as localhost:4317 or 0.0.0.0:4317")
    return match["host"].strip("[]"), int(match["port"])


def _endpoint(text: str) -> str:
    split_endpoint(text)
    return text


Endpoint = Annotated[str, AfterValidator(_endpoint), Field(examples=["localhost:4317", "0.0.0.0:4317"])]
"""An address to listen on; port 0 takes a free one."""

TopicName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]
"""A name Kafka accepts."""


def dump_public(section: BaseModel, *, only_set: bool = False) -> dict[str, Any]:
    """The values of a section, JSON-able, secrets as asterisks; with `only_set` without those that are defaults."""
    dumped: dict[str, Any] = section.model_dump(mode="json", exclude_unset=only_set)
    return dumped
