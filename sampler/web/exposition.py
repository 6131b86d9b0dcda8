"""Metrics in the form that a scraper asks for, and the forms of several processes made one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

Exposition: TypeAlias = Callable[[str], tuple[bytes, str]]
"""(page, content type) for an Accept header."""

END = "# EOF"
"""The last line of OpenMetrics."""


def of_registry(registry: CollectorRegistry) -> Exposition:
    """The metrics of a registry, as Prometheus text or OpenMetrics."""

    def expose(accept: str) -> tuple[bytes, str]:
        encode, content_type = choose_encoder(accept)
        return encode(registry), content_type

    return expose


def merge(pages: Iterable[tuple[str, str]]) -> str:
    """One page of the pages of several processes, all of one form: every sample gets the label `process`.

    Given (name of the process, page) each. The lines of one metric stand together, as both forms demand, under the
    description that the first process gives it.
    """
    families: dict[str, tuple[list[str], list[str]]] = {}
    ended = False
    for process, page in pages:
        label = f'process="{_escaped(process)}"'
        described: set[str] = set()
        lines: list[str] = []
        for line in page.splitlines():
            if line == END:
                ended = True
            elif line.startswith("#"):
                family = line.split(" ", 3)[2]
                descriptions, lines = families.setdefault(family, ([], []))
                if not descriptions or family in described:
                    described.add(family)
                    descriptions.append(line)
            elif line:
                lines.append(_labelled(line, label))
    merged = [line for descriptions, lines in families.values() for line in (*descriptions, *lines)]
    return "\n".join([*merged, *([END] if ended else []), ""])


def _labelled(line: str, label: str) -> str:
    """A sample with one label more; whatever follows its own labels, exemplars included, stays as it is."""
    brace, space = line.find("{"), line.find(" ")
    if brace < 0 or brace > space:
        return f"{line[:space]}{{{label}}}{line[space:]}"
    rest = line[brace + 1 :]
    return f"{line[:brace]}{{{label}{'' if rest.startswith('}') else ','}{rest}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
