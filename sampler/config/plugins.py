"""Plugins that a policy file names, and the policy types that can be used with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from policies.discovery import Plugin, PluginError, absolute, discover
from policies.registry import Registry, installed
from sampler.config.document import Document
from sampler.config.errors import ConfigError, KeyPath, Problem

COMMAND_LINE = "command line"


def plugin_sources(document: Document, named: Sequence[str], given: Sequence[str] = ()) -> tuple[str, ...]:
    """What to load: `named` in the document, relative to its folder, then `given` on the command line, here."""
    folder = Path(document.path).parent
    sources = [absolute(source, folder) for source in named] + [absolute(source, Path()) for source in given]
    return tuple(dict.fromkeys(sources))


def registry_of(document: Document, place: KeyPath, named: Sequence[str], given: Sequence[str] = ()) -> Registry:
    """All policy types: those installed and those of plugins; ConfigError with every plugin that cannot be used.

    `place` is that of the key in which the document names its own.
    """
    problems: list[Problem] = []
    found: list[Plugin] = []
    for index, source in enumerate(plugin_sources(document, named, given)):
        at: KeyPath | None = (*place, index) if index < len(named) else None
        try:
            found.extend(discover([source], Path()))
        except PluginError as error:
            problems.append(_problem(document, at, error))
    if problems:
        raise ConfigError(problems)
    try:
        return installed(plugins=found)
    except PluginError as error:
        raise ConfigError([_problem(document, place if named else None, error)]) from None


def given_registry(given: Sequence[str]) -> Registry:
    """All policy types, those of plugins given on the command line included; ConfigError where one cannot be used."""
    return registry_of(Document(COMMAND_LINE, None), (), (), given)


def _problem(document: Document, place: KeyPath | None, error: PluginError) -> Problem:
    """The mistake where it is: in the plugin's own file, else where it is named."""
    if error.path is not None:
        return Problem(str(error.path), error.line, "", f"plugin {error.message}")
    return (
        Problem(COMMAND_LINE, None, "--plugins", str(error)) if place is None else document.problem(place, str(error))
    )
