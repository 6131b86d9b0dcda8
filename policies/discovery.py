"""Finding policy types that are named as a folder, a file or a dotted path; the one part of the kernel that does I/O.

A folder is a package of its own: its `*.py` files are plugins, but for those that begin with `_` (helpers, importable
as `from ._helper import thing`) and for tests (`test_*.py`, `*_test.py`, `conftest.py`). The name of the package holds
a hash of the code, so that changed files load anew while policies made from the old ones live on.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from inspect import isabstract
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from pydantic import BaseModel

from policies.contract import Policy

PACKAGE = "tailsampler_plugins_"
RESERVED = frozenset({"name", "type", "on_error"})
"""Keys of every policy spec: a type of this name would have no place for its block."""

_DOTTED = re.compile(r"(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*)(?::(?P<name>[^\W\d]\w*))?")
_TYPE = re.compile(r"[^\W\d][\w.-]*")
_packages: dict[str, Path] = {}
_codes: dict[str, str] = {}


class PluginError(ValueError):
    """A plugin that cannot be loaded: `path` and `line` say where, None where that is not known."""

    def __init__(self, message: str, path: Path | None = None, line: int | None = None) -> None:
        place = "" if path is None else f"{path}: " if line is None else f"{path}:{line}: "
        super().__init__(f"{place}{message}")
        self.message = message
        self.path = path
        self.line = line


@dataclass(frozen=True, slots=True)
class Plugin:
    """A policy type that was found; `origin` says where, as path:line or dotted path."""

    policy: type[Policy]
    origin: str


def discover(sources: Iterable[str], base: Path) -> list[Plugin]:
    """The policy types of every source, in order; raises PluginError.

    A source that holds a slash, ends with `.py` or names something in `base` is a path, relative to `base`; every
    other one is `package.module` or `package.module:Class`, found as Python's imports are.
    """
    found: dict[type[Policy], Plugin] = {}
    for source in sources:
        for plugin in _of_source(source, base):
            found.setdefault(plugin.policy, plugin)
    return list(found.values())


def absolute(source: str, base: Path) -> str:
    """The source as it is found from anywhere: a path relative to `base` made absolute."""
    return str((base / Path(source).expanduser()).absolute()) if _is_path(source, base) else source


def plugin_files(sources: Iterable[str], base: Path) -> list[Path]:
    """The files whose change changes what `discover` finds, those of dotted paths left out; missing ones too."""
    paths = [base / Path(source).expanduser() for source in sources if _is_path(source, base)]
    return [file for path in paths for file in (_code_in(path) if path.is_dir() else [path])]


def code_of(policy: type[Policy]) -> str:
    """A hash of the file, or the plugin folder, that defines a policy; empty for those of tailsampler itself."""
    package = policy.__module__.partition(".")[0]
    if policy.__module__.startswith("policies."):
        return ""
    if package in _codes:
        return _codes[package]
    path = getattr(sys.modules.get(policy.__module__), "__file__", None)
    with suppress(OSError):
        return hashlib.sha256(Path(path or "").read_bytes()).hexdigest()[:16]
    return ""


def class_fault(found: Any) -> str | None:
    """Why something cannot serve as a policy type; None where it can."""
    if not (isinstance(found, type) and issubclass(found, Policy)):
        return "is no subclass of policies.Policy"
    kind = getattr(found, "type", None)
    if not isinstance(kind, str) or not _TYPE.fullmatch(kind) or kind in RESERVED:
        return f'needs a `type`, its name in policy files, such as "slow_queries": {kind!r} cannot be one'
    if isabstract(found):
        return f"does not define {', '.join(sorted(found.__abstractmethods__))}"
    if not (isinstance(found.Config, type) and issubclass(found.Config, BaseModel)):
        return "has a Config that is no pydantic model: inherit policies.PolicyConfig"
    return None


def _of_source(source: str, base: Path) -> Iterator[Plugin]:
    if not isinstance(source, str) or not source.strip():
        raise PluginError(f"{source!r} is no plugin: name a folder, a .py file or package.module:Class")
    if _is_path(source, base):
        path = base / Path(source).expanduser()
        if not path.exists():
            raise PluginError(f"there is no plugin folder or file {path}")
        files = [file for file in _code_in(path) if is_plugin_file(file)] if path.is_dir() else [path]
        package = _package_of(path if path.is_dir() else path.parent)
        for file in files:
            yield from _of_module(_import(f"{package}.{file.stem}", file), file)
        return
    match = _DOTTED.fullmatch(source)
    if not match:
        raise PluginError(f"{source!r} is no plugin: name a folder, a .py file or package.module:Class")
    module = _import(match["module"], None)
    if match["name"] is None:
        yield from _of_module(module, Path(module.__file__) if module.__file__ else None)
        return
    named = getattr(module, match["name"], None)
    fault = f"has no {match['name']}" if named is None else class_fault(named)
    if fault:
        raise PluginError(f"plugin {source}: {fault}")
    yield Plugin(named, source)  # type: ignore[arg-type]  # class_fault has looked


def _is_path(source: str, base: Path) -> bool:
    if not source.strip():
        return False  # it would be `base` itself
    return "/" in source or os.sep in source or source.endswith(".py") or (base / source).exists()


def is_plugin_file(file: Path) -> bool:
    """Whether a file of a plugin folder defines policies: neither a helper nor a test."""
    stem = file.stem
    return not (stem.startswith(("_", "test_")) or stem.endswith("_test") or stem == "conftest")


def _code_in(folder: Path) -> list[Path]:
    """Plugins and helpers of a folder, tests left out."""
    return sorted(file for file in folder.glob("*.py") if is_plugin_file(file) or file.stem.startswith("_"))


def _package_of(folder: Path) -> str:
    """The name of the package that stands for a folder with the code it holds now."""
    folder = folder.resolve()
    digest = hashlib.sha256()
    for file in _code_in(folder):
        with suppress(OSError):
            digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    code = digest.hexdigest()[:16]
    digest.update(str(folder).encode())
    name = PACKAGE + digest.hexdigest()[:16]
    if name not in sys.modules:
        _packages[name], _codes[name] = folder, code
        package = ModuleType(name, f"Plugins of {folder}.")
        package.__path__ = []  # what makes it a package; its modules come from _Finder
        sys.modules[name] = package
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
    return name


class _Finder:
    """Finds the modules of plugin packages."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        package, _, stem = name.rpartition(".")
        folder = _packages.get(package)
        file = None if folder is None else folder / f"{stem}.py"
        if file is None or not file.is_file():
            return None
        return importlib.util.spec_from_file_location(name, file, loader=_Source(name, str(file)))


class _Source(SourceFileLoader):
    """Always compiles: remembered bytecode can be that of a file which was changed within the same second."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


def _import(name: str, file: Path | None) -> ModuleType:
    """Import a module; whatever it raises becomes a PluginError at the line of the plugin that was under way."""
    try:
        return importlib.import_module(name)
    except SyntaxError as error:
        path = Path(error.filename) if error.filename else file
        raise PluginError(f"is not valid Python: {error.msg}", path, error.lineno) from error
    except (Exception, SystemExit) as error:
        what = f"{type(error).__name__}: {error}".replace(name, name.rpartition(".")[2] if file else name)
        frame = _last_frame(error, file)
        if file is None and frame is None:
            raise PluginError(f"plugin {name} cannot be imported: {what}") from error
        raise PluginError(f"fails at import: {what}", *(frame or (file, None))) from error


def _last_frame(error: BaseException, file: Path | None) -> tuple[Path, int] | None:
    """File and line of the innermost frame of a plugin: in its folder, or anywhere outside of import machinery."""
    found, step = None, error.__traceback__
    while step is not None:
        path = Path(step.tb_frame.f_code.co_filename)
        importing = path.suffix != ".py" or "importlib" in path.parts
        inside = path.parent == file.resolve().parent if file else not importing
        if inside and path != Path(__file__):
            found = (path, step.tb_lineno)
        step = step.tb_next
    return found


def _of_module(module: ModuleType, file: Path | None) -> Iterator[Plugin]:
    """The policy types that a module defines, or lists in `__all__`."""
    listed = set(getattr(module, "__all__", ()))
    found = [
        value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, Policy)
        and not name.startswith("_")
        and (value.__module__ == module.__name__ or name in listed)
        and not (isabstract(value) and getattr(value, "type", None) is None)  # a base class for others
    ]
    for each in found:
        line = _line_of(each)
        fault = class_fault(each)
        if fault:
            raise PluginError(f"class {each.__name__} {fault}", file, line)
        yield Plugin(each, f"{file}:{line}" if file and line else str(file or module.__name__))
    if not found:
        raise PluginError(
            "defines no policy type: a class that inherits policies.Policy and has a `type` "
            "(a file with helpers only begins with an underscore)",
            file,
        )


def _line_of(found: type) -> int | None:
    """The line of a class statement in its file, None where it cannot be told."""
    path = getattr(sys.modules.get(found.__module__), "__file__", None)
    with suppress(OSError, UnicodeDecodeError):
        for number, line in enumerate(Path(path or "").read_text(encoding="utf-8").splitlines(), start=1):
            if re.match(rf"class\s+{re.escape(found.__name__)}\b", line):
                return number
    return None
