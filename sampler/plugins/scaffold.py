"""Begins a plugin: a policy that works, with its tests."""

from __future__ import annotations

import keyword
import re
import sys
from pathlib import Path

from policies.discovery import RESERVED
from policies.registry import Registry
from sampler.plugins.templates import PLUGIN, TESTS

_NAME = re.compile(r"[a-z][a-z0-9_]*")


class ScaffoldError(Exception):
    """Why a plugin cannot be begun under this name, and what to do."""


def begin(name: str, folder: Path, registry: Registry) -> tuple[Path, Path]:
    """Write `name.py` and `test_name.py`; ScaffoldError where the name is no good or a file is there already."""
    if not _NAME.fullmatch(name) or name.startswith("test_") or name.endswith("_test"):
        raise ScaffoldError(
            f"{name!r} cannot be a policy type here: use small letters, digits and _, as in slow_checkout"
        )
    if (
        name in RESERVED
        or keyword.iskeyword(name)
        or name in sys.stdlib_module_names
        or name in {"conftest", "policies"}
    ):
        raise ScaffoldError(f"{name} means something else in Python or in policy files: choose another name")
    if name in registry.names:
        raise ScaffoldError(f"there is a policy type {name} already ({registry.origin(name)}): choose another name")
    plugin, tests = folder / f"{name}.py", folder / f"test_{name}.py"
    for file in (plugin, tests):
        if file.exists():
            raise ScaffoldError(f"{file} exists already and is left as it is")
    words = {"name": name, "class_name": "".join(part.capitalize() for part in name.split("_"))}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Exclusively, so that a file that appears meanwhile is not overwritten either.
        for file, template in ((plugin, PLUGIN), (tests, TESTS)):
            with file.open("x", encoding="utf-8") as out:
                out.write(template.substitute(words))
    except OSError as error:
        raise ScaffoldError(f"{error.filename or folder}: {error.strerror or error}") from error
    return plugin, tests
