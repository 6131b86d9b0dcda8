"""The shape of the tree: who may import whom, how large a file and a function may be, and who reads a clock."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60

PRODUCT = sorted(path for folder in ("policies", "sampler") for path in (ROOT / folder).rglob("*.py"))
OWN = sorted([*PRODUCT, *(path for folder in ("benchmarks", "tests") for path in (ROOT / folder).rglob("*.py"))])

# A part may import itself and what stands beside it. The longest prefix of a module's name counts; what has no line
# here is an edge, and edges may import everything.
INWARD = {
    "policies": (),
    "sampler.clock": (),
    "sampler.otlp": ("policies",),
    "sampler.engine": ("policies", "sampler.otlp"),
    "sampler.embedded": (),
    "sampler.topics": (),
    "sampler.config": ("policies",),
}

CLOCK = ROOT / "sampler" / "clock.py"
# A call or a mere mention: passing `time.monotonic` along reads a clock elsewhere.
CLOCKS = {
    "time": {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "localtime", "gmtime"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    """A file's module name, dotted; a package's without `__init__`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def where(path: Path) -> str:
    """A file's path inside the tree, as the id of its test."""
    return path.relative_to(ROOT).as_posix()


def parse(path: Path) -> ast.Module:
    """A file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), where(path))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything a file imports, wherever it does so.

    Of `from a import b` it is `a.b`, so that a part imported from its package is seen.
    """
    package = name_of(path).split(".")[: None if path.name == "__init__.py" else -1]
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def inside(name: str, part: str) -> bool:
    """Whether a module is `part` or lies in it."""
    return name == part or name.startswith(part + ".")


def outward(path: Path) -> list[str]:
    """The imports of a file that point outward, as `file:line imports name`."""
    part = max((part for part in INWARD if inside(name_of(path), part)), key=len, default=None)
    if part is None:
        return []
    allowed = (part, *INWARD[part], "sampler.clock") if part != "policies" else (part,)
    return [
        f"{where(path)}:{line} imports {name}"
        for line, name in imports(path)
        if (inside(name, "policies") or inside(name, "sampler") or inside(name, "tests") or inside(name, "benchmarks"))
        and not any(inside(name, one) for one in allowed)
    ]


def functions(tree: ast.AST) -> Iterator[Function]:
    """Every function and method, nested ones included."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def clock_reads(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and text of every place that reads a clock."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            if node.attr in CLOCKS.get(owner, ()):
                yield node.lineno, f"{owner}.{node.attr}"
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from ((node.lineno, f"time.{alias.name}") for alias in node.names if alias.name in CLOCKS["time"])


@pytest.mark.parametrize("path", PRODUCT, ids=where)
def test_imports_point_inward(path: Path) -> None:
    """The kernel imports nothing of ours, the wire only the kernel, the engine only these two; none imports an edge."""
    assert outward(path) == []


@pytest.mark.parametrize("path", OWN, ids=where)
def test_a_file_is_short(path: Path) -> None:
    """No file has more than 400 lines."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_FILE_LINES


@pytest.mark.parametrize("path", PRODUCT, ids=where)
def test_a_function_fits_a_screen(path: Path) -> None:
    """No function of the product has more than 60 lines, docstring and signature included."""
    long = [
        f"{where(path)}:{each.lineno} {each.name}: {each.end_lineno - each.lineno + 1} lines"
        for each in functions(parse(path))
        if each.end_lineno is not None and each.end_lineno - each.lineno >= MAX_FUNCTION_LINES
    ]
    assert long == []


@pytest.mark.parametrize("path", [path for path in PRODUCT if path != CLOCK], ids=where)
def test_only_the_clock_reads_a_clock(path: Path) -> None:
    """Time comes as an argument, or from `sampler/clock.py`."""
    assert [f"{where(path)}:{line} {text}" for line, text in clock_reads(parse(path))] == []


TESTS = [path for path in OWN if path.name.startswith("test_") and inside(name_of(path), "tests")]


@pytest.mark.parametrize("path", TESTS, ids=where)
def test_a_test_says_what_it_holds(path: Path) -> None:
    """Every test function has a docstring."""
    mute = [
        f"{where(path)}:{each.lineno} {each.name}"
        for each in functions(parse(path))
        if each.name.startswith("test_") and not ast.get_docstring(each)
    ]
    assert mute == []


@pytest.mark.parametrize("path", PRODUCT, ids=where)
def test_a_module_says_what_it_is(path: Path) -> None:
    """Every file of the product that holds code begins with a docstring."""
    tree = parse(path)
    assert not tree.body or ast.get_docstring(tree)


def test_test_files_have_names_of_their_own() -> None:
    """Test folders are no packages, so that two files of one name would hide each other from a reader of reports."""
    names = [path.name for path in TESTS]
    assert sorted(names) == sorted(set(names))


def test_the_checks_see_what_they_forbid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An outward import in any form, and a clock under any of its names, are found."""
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    file = tmp_path / "sampler" / "engine" / "bad.py"
    file.parent.mkdir(parents=True)
    file.write_text(
        "import sampler.agent\nfrom sampler import stream\nfrom .. import web\nfrom sampler.otlp import decode\n"
        "from .table import Table\nfrom sampler.clock import wall_ms\nimport json\n"
    )
    assert [text.rsplit(" ", 1)[1] for text in outward(file)] == ["sampler.agent", "sampler.stream", "sampler.web"]
    reads = "time.time()\nf = time.monotonic\ndatetime.datetime.now()\nfrom time import time_ns\nspan.time\n"
    assert sorted(line for line, _ in clock_reads(ast.parse(reads))) == [1, 2, 3, 4]
