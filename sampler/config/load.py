"""`config.yaml` from the file, the environment and the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sampler.config.document import Document, read_document
from sampler.config.errors import ConfigError, Problem
from sampler.config.models import Config
from sampler.config.validate import build_model

COMMAND_LINE = "command line"


def load_config(
    path: Path | str | None,
    overrides: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Config:
    """The configuration of a file, or the defaults where there is none.

    `overrides` are values of the command line by dotted key (`{"kafka.brokers": "host:9092"}`); None values are left
    out. ConfigError with every mistake in the file.
    """
    document = Document(COMMAND_LINE, {}) if path is None else read_document(Path(path), environment)
    config = config_of(document)
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    return _override(config, _given(document.data or {}), given) if given else config


def config_of(document: Document) -> Config:
    """The configuration in a document; ConfigError with every mistake in it."""
    document.require(())
    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        raise ConfigError([document.problem((), "must be a mapping of settings, such as 'kafka:'")])
    return build_model(Config, _given(data), document)


def _override(config: Config, data: dict[str, Any], overrides: Mapping[str, Any]) -> Config:
    """The file's values with those of the command line over them, checked again as a whole."""
    for dotted, value in overrides.items():
        *sections, leaf = dotted.split(".")
        place = data
        for section in sections:
            place = place.setdefault(section, {})
        place[leaf] = value
    try:
        return build_model(Config, data, Document(COMMAND_LINE, data))
    except ConfigError as error:
        raise ConfigError([Problem(COMMAND_LINE, None, p.key, p.message) for p in error.problems]) from None


def _given(data: Any) -> Any:
    """The data without empty values: a key with nothing behind it means its default, as in the Collector."""
    if isinstance(data, dict):
        return {key: _given(value) for key, value in data.items() if value is not None}
    if isinstance(data, list):
        return [_given(value) for value in data]
    return data
