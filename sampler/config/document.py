"""YAML as a plain tree in which every key knows its line.

The YAML 1.2 core rules decide what a plain word means, as in the Collector: `yes`, `on` and `12:30` are strings.
Duplicate keys are errors. Anchors, aliases and merge keys (`<<`) work.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from sampler.config.env import SubstitutionError, has_reference, substitute
from sampler.config.errors import ConfigError, KeyPath, Problem, key_text

MAX_NODES = 100_000  # aliases can blow a small file up without end
MAX_DEPTH = 100  # libyaml's composer and all that reads the tree are recursive
_CORE = "tag:yaml.org,2002:"
_REFINERY = re.compile(r"""^(?:["']?(RulesVersion|Samplers)["']?[ \t]*[:=]|\[(Samplers)[.\]])""", re.MULTILINE)
"""The keys at the top of Refinery's rules, in YAML or TOML; none of ours."""


class VariableText(str):
    """The text of a value that came from a variable: it takes whatever type its place asks for."""

    __slots__ = ()


class EnvText(VariableText):
    """As VariableText, without quotes: where its place asks for no type, it has the one that it is written like."""

    __slots__ = ()


class _Loader(yaml.CSafeLoader):
    """Resolves plain words by the YAML 1.2 core schema; 012 stays a string, since readers disagree on its base."""


_FLOAT = (
    r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", _FLOAT, list("-+.0123456789")),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(_CORE + _tag, re.compile(rf"^(?:{_pattern})$"), _first)


@dataclass(slots=True)
class Document:
    """A parsed file: `data` is its tree, `lines` the line (from 1) of every key and list item by path."""

    path: str
    data: Any
    lines: dict[KeyPath, int] = field(default_factory=dict)
    faults: list[tuple[KeyPath, Problem]] = field(default_factory=list)
    """What is wrong in single values, where the document was read with `lenient`."""

    def require(self, base: KeyPath) -> None:
        """ConfigError with the faults at, below and above a key; those elsewhere do not matter to its reader."""
        wrong = [fault for key, fault in self.faults if key[: len(base)] == base[: len(key)]]
        if wrong:
            raise ConfigError(_told_once(wrong))

    def move(self, old: KeyPath, new: KeyPath) -> None:
        """Lets keys below `new` have the lines of those below `old`, where the tree has been given another shape."""
        for key in [key for key in self.lines if key[: len(old)] == old]:
            self.lines.setdefault((*new, *key[len(old) :]), self.lines[key])

    def line_of(self, key: KeyPath) -> int | None:
        """The line of a key, or of the nearest enclosing one that stands in the file."""
        while key and key not in self.lines:
            key = key[:-1]
        return self.lines.get(key)

    def problem(self, key: KeyPath, message: str, suggestion: str | None = None) -> Problem:
        """A problem at `key` of this file."""
        return Problem(self.path, self.line_of(key), key_text(key), message, suggestion)


def read_document(path: Path, environment: Mapping[str, str] | None = None, *, lenient: bool = False) -> Document:
    """The file at `path`, its references to variables filled in. ConfigError with all that is wrong in it.

    With `lenient`, what is wrong in single values (a variable that is not set) is left in `faults`, the value None.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError.single(str(path), None, "", f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError.single(str(path), None, "", f"is not UTF-8 text (byte {error.start})") from error
    return parse_document(text, str(path), os.environ if environment is None else environment, lenient=lenient)


def parse_document(text: str, path: str, environment: Mapping[str, str], *, lenient: bool = False) -> Document:
    """As `read_document`, from text. An empty text gives `data` None."""
    _refuse_refinery(text, path)
    try:
        _check_depth(text, path)
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.context, error.problem) if part)
        if mark and "${" in "".join(text.splitlines()[mark.line : mark.line + 1]):
            what += " (inside [] and {} a ${...} must be in quotes)"
        raise ConfigError.single(path, mark.line + 1 if mark else None, "", f"is not valid YAML: {what}") from error
    except yaml.YAMLError as error:
        raise ConfigError.single(path, None, "", f"is not valid YAML: {error}") from error
    document = Document(path, None)
    if root is not None:
        document.lines[()] = root.start_mark.line + 1
        builder = _Builder(document, environment)
        document.data = builder.build(root, ())
        if document.faults and not lenient:
            raise ConfigError(_told_once([fault for _, fault in document.faults]))
    return document


def _refuse_refinery(text: str, path: str) -> None:
    """Before it is read as YAML: those rules are written as TOML too."""
    found = _REFINERY.search(text)
    if found:
        line = text.count("\n", 0, found.start()) + 1
        what = "these are rules of Refinery; docs/from_refinery.md says how to write them as policies"
        raise ConfigError.single(path, line, found[1] or found[2], what)


def _told_once(faults: list[Problem]) -> list[Problem]:
    """The faults, one with the same words in several places (a variable that is not set) with its other lines."""
    same: dict[str, list[Problem]] = {}
    for fault in faults:
        same.setdefault(fault.message, []).append(fault)
    told = []
    for first, *others in same.values():
        lines = sorted({other.line for other in others if other.line is not None} - {first.line})
        more = f"; also in line{'s' * (len(lines) > 1)} {', '.join(map(str, lines))}" if lines else ""
        told.append(replace(first, message=first.message + more))
    return told


def _check_depth(text: str, path: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            line = event.start_mark.line + 1 if event.start_mark else None
            raise ConfigError.single(path, line, "", f"is nested more than {MAX_DEPTH} levels deep")


class _Builder:
    """Turns nodes into plain values, noting lines and collecting problems."""

    def __init__(self, document: Document, environment: Mapping[str, str]) -> None:
        self.document = document
        self.environment = environment
        self._open: set[int] = set()
        self._nodes = 0

    def build(self, node: yaml.Node, path: KeyPath) -> Any:
        self._nodes += 1
        what = ""
        if id(node) in self._open:
            what = "an alias contains itself"
        elif self._nodes > MAX_NODES:
            what = f"has more than {MAX_NODES} values"
        elif len(self._open) > MAX_DEPTH:
            what = f"is nested more than {MAX_DEPTH} levels deep"
        if what:
            raise ConfigError([Problem(self.document.path, node.start_mark.line + 1, key_text(path), what)])
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return self._sequence(node, path)
            assert isinstance(node, yaml.MappingNode)
            return self._mapping(node, path)
        finally:
            self._open.discard(id(node))

    def _sequence(self, node: yaml.SequenceNode, path: KeyPath) -> list[Any]:
        for index, item in enumerate(node.value):
            self.document.lines[(*path, index)] = item.start_mark.line + 1
        return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        own_lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _CORE + "merge":
                merged.update(self._merge(value_node, path))
                continue
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self._complain(line, path, "a key must be a plain word, not a list or a mapping")
                continue
            key = str(key_node.value)
            if key in own:
                self._complain(line, (*path, key), f"duplicate key, first set in line {own_lines[key]}")
                continue
            own_lines[key] = line
            self.document.lines[(*path, key)] = line
            own[key] = self.build(value_node, (*path, key))
        return {**merged, **own}

    def _merge(self, node: yaml.Node, path: KeyPath) -> dict[str, Any]:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        result: dict[str, Any] = {}
        for source in reversed(sources):  # the first of several mappings wins
            if isinstance(source, yaml.MappingNode):
                result.update(self.build(source, path))
            else:
                self._complain(source.start_mark.line + 1, (*path, "<<"), "needs a mapping or a list of mappings")
        return result

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Any:
        line = node.start_mark.line + 1
        text = str(node.value)
        if "$" in text:
            return self._filled(text, line, path, quoted=bool(node.style))
        construct = _SCALARS.get(node.tag)
        if construct is None:
            self._complain(line, path, f"the YAML tag {node.tag} is not known here")
            return None
        try:
            return construct(text)
        except ValueError:
            self._complain(line, path, f"is not a {node.tag.removeprefix(_CORE)}")
            return None

    def _filled(self, text: str, line: int, path: KeyPath, *, quoted: bool) -> str | None:
        try:
            filled = substitute(text, self.environment)
            filled.encode()
        except UnicodeEncodeError:
            self._complain(line, path, "comes from a variable that is not UTF-8 text")
            return None
        except SubstitutionError as error:
            self._complain(line, path, str(error))
            return None
        if not has_reference(text):
            return filled
        return VariableText(filled) if quoted else EnvText(filled)

    def _complain(self, line: int, path: KeyPath, message: str) -> None:
        self.document.faults.append((path, Problem(self.document.path, line, key_text(path), message)))


def typed(data: Any) -> Any:
    """`data` with text from variables read as YAML would: a number or a truth value where it is written like one."""
    if isinstance(data, EnvText):
        tag = _Loader("").resolve(yaml.ScalarNode, str(data), (True, False))  # type: ignore[no-untyped-call]
        try:
            return _SCALARS.get(tag, str)(str(data))
        except ValueError:  # a number beyond what Python reads
            return str(data)
    if isinstance(data, VariableText):
        return str(data)
    if isinstance(data, dict):
        return {key: typed(value) for key, value in data.items()}
    if isinstance(data, list):
        return [typed(value) for value in data]
    return data


def _bool(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError(text)
    return text.lower() == "true"


def _int(text: str) -> int:
    return int(text, 0)


def _float(text: str) -> float:
    return float(text.replace(".inf", "inf").replace(".nan", "nan")) if "." in text[:2] else float(text)


def _none(_: str) -> None:
    return None


_SCALARS: dict[str, Callable[[str], Any]] = {
    _CORE + "null": _none,
    _CORE + "bool": _bool,
    _CORE + "int": _int,
    _CORE + "float": _float,
    _CORE + "str": str,
}
