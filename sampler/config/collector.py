"""Finds the `tail_sampling` block in a file: bare, under its key, under `processors:`, or in a whole Collector file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policies.errors import nearest
from sampler.config.document import Document
from sampler.config.errors import ConfigError, KeyPath
from sampler.config.notes import Notes
from sampler.config.units import parse_duration

KIND = "tail_sampling"
SECTIONS = ("receivers", "processors", "exporters", "connectors", "extensions", "service")
"""Top-level keys of a Collector's configuration."""
GROUP_WAIT = "1s"
"""The Collector's default of groupbytrace's wait_duration."""


@dataclass(frozen=True, slots=True)
class Found:
    """The block that a file is read for."""

    base: KeyPath
    """Where it stands."""
    block: dict[str, Any]
    group_wait: tuple[KeyPath, Any] | None = None
    """Where a groupbytrace processor in front of it says how long it waits, and what it says."""


def split_selector(path: Path | str) -> tuple[Path, str | None]:
    """`policies.yaml#tail_sampling/name` as file and key of the block; a file with that very name goes before."""
    text = str(path)
    file, hash_sign, key = text.rpartition("#")
    if not hash_sign or not key.startswith(KIND) or Path(text).exists():
        return Path(text), None
    return Path(file), key


def is_kind(key: object, kind: str) -> bool:
    """Whether a key is a processor of a kind: `kind` or `kind/name`."""
    return isinstance(key, str) and (key == kind or key.startswith(f"{kind}/"))


def find_block(document: Document, wanted: str | None, own_keys: Iterable[str], notes: Notes) -> Found:
    """The block named `wanted`, or the only one there is, or the only one that the pipelines of `service:` use.

    `own_keys` are those that the block itself may hold. What else is in the file is named in a note. ConfigError where
    there is no such block, or several to choose from.
    """
    data = document.data
    if not isinstance(data, dict):
        raise ConfigError([document.problem((), "is empty or no mapping: it needs a 'tail_sampling:' block")])
    if "policies" in data:
        if wanted is not None:
            raise ConfigError([document.problem((), f"has no {wanted!r}: its 'policies:' stand at the top")])
        document.require(())
        return Found((), data)
    base, holder = _holder(document, data)
    blocks = [str(key) for key in holder if is_kind(key, KIND)]
    if not blocks:
        message, meant = "has no 'tail_sampling:' block and no 'policies:'", _meant(data, own_keys)
        if "apiVersion" in data:
            message += "; it is a Kubernetes object: write the Collector's configuration in it to a file of its own"
            meant = None
        raise ConfigError([document.problem(base, message, meant)])
    key = _choose(document, base, blocks, wanted, notes)
    if not base:
        _refuse_strangers(document, data)
    path = (*base, key)
    document.require(path)
    block = holder[key]
    if not isinstance(block, dict):
        raise ConfigError([document.problem(path, "must be a mapping with 'policies:'")])
    _say_ignored(path, data, holder, notes)
    return Found(path, block, _group_wait(document, base, holder, key, notes))


def _holder(document: Document, data: dict[str, Any]) -> tuple[KeyPath, dict[str, Any]]:
    """The mapping whose keys name processors, and where it stands."""
    processors = data.get("processors")
    if "processors" not in data or any(is_kind(key, KIND) for key in data):
        return (), data
    if not isinstance(processors, dict):
        document.require(("processors",))
        raise ConfigError([document.problem(("processors",), "must be a mapping with a 'tail_sampling:' block")])
    return ("processors",), processors


def _say_ignored(path: KeyPath, data: dict[str, Any], holder: dict[str, Any], notes: Notes) -> None:
    """Names what is in the file beside the block at `path`."""
    ignored = [key for key in data if key not in path]
    if holder is not data and (others := [key for key in holder if key != path[-1]]):
        ignored.append(f"processors {', '.join(others)}")
    if ignored:
        notes.add(path, f"only this block is used; ignored: {', '.join(ignored)}")


def _meant(data: Mapping[str, Any], own_keys: Iterable[str]) -> str | None:
    known = (KIND, *own_keys, *SECTIONS)
    return next((hint for key in data if key not in SECTIONS and (hint := nearest(str(key), known))), None)


def _refuse_strangers(document: Document, data: dict[str, Any]) -> None:
    for key in data:
        if not (is_kind(key, KIND) or is_kind(key, "groupbytrace") or key in SECTIONS):
            hint = nearest(str(key), SECTIONS)
            raise ConfigError([document.problem((str(key),), f"unknown key beside the {KIND} block", hint)])


def _choose(document: Document, base: KeyPath, blocks: list[str], wanted: str | None, notes: Notes) -> str:
    listed = ", ".join(f"{key} (line {document.line_of((*base, key))})" for key in blocks)
    if wanted is not None:
        if wanted in blocks:
            return wanted
        raise ConfigError([document.problem(base, f"has no {wanted!r}, only {listed}", nearest(wanted, blocks))])
    if len(blocks) == 1:
        return blocks[0]
    using = {key: names for key in blocks if (names := [name for name, used in _pipelines(document) if key in used])}
    if len(using) == 1:
        ((key, names),) = using.items()
        notes.add((*base, key), f"chosen among {listed}: the only one that a pipeline uses ({', '.join(names)})")
        return key
    raise ConfigError(
        [
            document.problem(
                (*base, blocks[0]),
                f"has several blocks: {listed}; say which one with {document.path}#{blocks[-1]}",
            )
        ]
    )


def _pipelines(document: Document) -> Iterator[tuple[str, list[str]]]:
    """Names of the pipelines of `service:`, each with its processors in order."""
    service = document.data.get("service")
    pipelines = service.get("pipelines") if isinstance(service, dict) else None
    for name, pipeline in pipelines.items() if isinstance(pipelines, dict) else ():
        used = pipeline.get("processors") if isinstance(pipeline, dict) else None
        if isinstance(used, list):
            yield str(name), [item for item in used if isinstance(item, str)]


def _group_wait(
    document: Document, base: KeyPath, holder: dict[str, Any], key: str, notes: Notes
) -> tuple[KeyPath, Any] | None:
    """The wait of the groupbytrace that spans pass before they come to the block."""
    found = [str(name) for name in holder if is_kind(name, "groupbytrace")]
    pipelines = [used for _, used in _pipelines(document)]
    if pipelines:
        before = {name for used in pipelines if key in used for name in used[: used.index(key)]}
        found = [name for name in found if name in before]
    if not found:
        return None
    if len(found) > 1:
        notes.add((*base, key), f"not clear which of {', '.join(found)} is in front of it: no wait is added")
        return None
    path = (*base, found[0], "wait_duration")
    document.require(path)
    block = holder[found[0]]
    value = block.get("wait_duration") if isinstance(block, dict) else None
    return path, GROUP_WAIT if value is None else value


def add_group_wait(
    found: Found, block: dict[str, Any], document: Document, default: Any, notes: Notes
) -> dict[str, Any]:
    """The block with the wait of groupbytrace added to its decision_wait; ConfigError where that is no duration."""
    if found.group_wait is None:
        return block
    path, value = found.group_wait
    try:
        wait = parse_duration(value)
    except ValueError as error:
        raise ConfigError([document.problem(path, str(error))]) from None
    try:
        own = parse_duration(block.get("decision_wait", default))
    except ValueError:
        return block  # is told with all that is wrong in the block
    total = type(own)(own.ms + wait.ms)
    notes.add(path, f"{path[-2]} waits {wait} before {found.base[-1]} does: decision_wait becomes {total}")
    return {**block, "decision_wait": str(total)}
