"""The page on OTTL says what is there: converters, paths, what is left out, limits, and an example that loads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from policies.ottl import OttlError, compile_list
from policies.ottl.build import ENUMS, MAX_CALLS
from policies.ottl.compile import MAX_CONDITIONS
from policies.ottl.frame import MAX_WORK
from policies.ottl.functions import CONVERTERS, LEFT_OUT
from policies.ottl.functions.strings import MAX_PARTS
from policies.ottl.gotext import MAX_SHORT, MAX_TEXT
from policies.ottl.lexer import MAX_LENGTH
from policies.ottl.parser import MAX_NESTING
from policies.ottl.paths import PATHS
from policies.regex import MAX_DYNAMIC_PATTERN
from policies.regex import MAX_WORK as MAX_REGEX_WORK
from sampler.config import parse_policies

PAGE = (Path(__file__).parents[4] / "docs" / "ottl.md").read_text("utf-8")


def test_every_converter_has_its_line() -> None:
    """The tables list the converters that exist, with their parameters and first line, and no others."""
    listed = {line for line in PAGE.splitlines() if re.match(r"\| `[A-Z]\w*\(", line)}
    assert listed - {f"| `{each.signature}` | {each.summary} |" for each in CONVERTERS.values()} == {
        next(line for line in listed if line.startswith("| `IsRootSpan()`"))
    }
    assert len(listed) == len(CONVERTERS) + 1


def test_every_left_out_converter_is_named() -> None:
    """With its reason; and each is refused with that reason."""
    for name, reason in LEFT_OUT.items():
        assert re.search(rf"^\|.*`{name}`.*\| {re.escape(reason)} \|$", PAGE, re.MULTILINE), name
        with pytest.raises(OttlError, match=re.escape(reason)):
            compile_list([f"{name}() == nil"], "span", strict=False)
    assert not set(LEFT_OUT) & set(CONVERTERS)


def test_paths_are_those_that_exist() -> None:
    """Each path of the table compiles, and each name that exists stands in it."""
    for context, names in PATHS.items():
        row = next(line for line in PAGE.splitlines() if line.startswith("|") and f"`{context}`" in line.split("|")[1])
        listed = re.findall(r"`([^`]+)`", row.split("|")[3])
        own = "spanevent" if context == "spanevent" else "span"
        for path in listed:
            compile_list([f"{context}.{path} == nil"], own, strict=False)
        assert {re.split(r"[.\[]", path)[0] for path in listed} == {*names, "attributes"}


def test_enums_are_named() -> None:
    """All of them."""
    assert all(f"`{name}`" in PAGE for name in ENUMS)


def test_limits_are_the_real_ones() -> None:
    """The figures of the page are those of the code."""
    assert f"| {MAX_LENGTH:,}, {MAX_NESTING}, {MAX_CALLS} |" in PAGE
    assert f"| conditions in a list | {MAX_CONDITIONS} |" in PAGE
    assert f"| {MAX_TEXT:,} |" in PAGE
    assert f"| {MAX_SHORT:,} |" in PAGE
    assert f"| parts of `Split` | {MAX_PARTS:,} |" in PAGE
    assert f"comparisons, all together | {MAX_WORK:,} |" in PAGE
    assert f"that searches it | {MAX_REGEX_WORK:,} |" in PAGE
    assert f"limited to {MAX_DYNAMIC_PATTERN:,} characters" in PAGE


@pytest.mark.parametrize("example", re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
def test_examples_load(example: str) -> None:
    """Without a note."""
    assert parse_policies(example, "example").notes == ()
