"""Whether the files that a configuration names, tokens and certificates, are there and can be read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sampler.config.document import Document
from sampler.config.errors import KeyPath, Problem
from sampler.config.models import Config


def file_problems(config: Config, document: Document) -> list[Problem]:
    """A problem for each file that cannot be read from where we run; what is in it is not looked at."""
    found = []
    for key, file in _named(config, ()):
        try:
            with Path(file).open("rb") as opened:
                opened.read(1)
        except OSError as error:
            found.append(document.problem(key, f"the file {file} cannot be read: {error.strerror}"))
    return sorted(found, key=lambda problem: problem.line or 0)


def _named(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """The files of the parts that are in use, each with its key."""
    if isinstance(value, BaseModel):
        # A process reads no file of a part that is off, or of encryption that is.
        if getattr(value, "enabled", True) and not getattr(value, "insecure", False):
            for name in type(value).model_fields:
                yield from _named(getattr(value, name), (*path, name))
    elif isinstance(value, str):
        if str(path[-1]).endswith("_file"):
            yield path, value
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield from _named(each, (*path, str(name)))
    elif isinstance(value, Sequence):
        for index, each in enumerate(value):
            yield from _named(each, (*path, index))
