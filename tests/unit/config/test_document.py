"""YAML with lines, duplicate keys and variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampler.config.document import EnvText, VariableText, parse_document, typed
from sampler.config.env import SubstitutionError, substitute
from sampler.config.errors import ConfigError


def parse(text: str, **environment: str) -> object:
    return parse_document(text, "f.yaml", environment).data


def complaints(text: str, **environment: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, **environment)
    return str(caught.value).splitlines()


def test_plain_words_follow_yaml_1_2() -> None:
    """Words that YAML 1.1 would turn into truth values, octals or minutes stay text."""
    assert parse("[yes, no, on, off, 012, 12:30, 2024-01-01, 1_000]") == [
        "yes", "no", "on", "off", "012", "12:30", "2024-01-01", "1_000",
    ]  # fmt: skip
    assert parse("[1, -2, 0x1f, 0o17, 1.5, 1e3, true, False, null, ~, '1']") == [
        1, -2, 31, 15, 1.5, 1000.0, True, False, None, None, "1",
    ]  # fmt: skip


def test_every_key_knows_its_line() -> None:
    """Keys and list items carry the line they stand in; a missing key has its parent's."""
    document = parse_document("a:\n  b:\n    - x\n    - c: 1\n", "f.yaml", {})
    assert document.line_of(("a", "b", 1, "c")) == 4
    assert document.line_of(("a", "b", 0)) == 3
    assert document.line_of(("a", "b", 1, "missing")) == 4


def test_duplicate_keys_are_errors() -> None:
    """A key given twice is told with both lines."""
    assert complaints("a: 1\nb:\n  c: 1\n  c: 2\n") == ["f.yaml:4: b.c: duplicate key, first set in line 3"]


def test_merge_keys_give_way_to_own_keys() -> None:
    """`<<` brings keys in; those written beside it win."""
    assert parse("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\n") == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "f.yaml:"),
        ("a: &a [*a]", "contains itself"),
        ("a: !!python/object:os.system x", "not known"),
        ("? [a]\n: 1", "plain word"),
        ("a: [${X}]", "in quotes"),
    ],
)
def test_unusable_yaml_is_told_in_one_line(text: str, said: str) -> None:
    """Broken YAML is one line with a place, never a traceback of the parser."""
    assert len(complaints(text)) == 1
    assert said in complaints(text)[0]


def test_alias_bombs_end() -> None:
    """A small file cannot blow up into a huge tree."""
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "more than" in complaints("\n".join(lines))[0]


@pytest.mark.parametrize("text", ["${env:X}", "${X}", "${env:X:-d}", "${X:-d}"])
def test_variables_are_filled_in(text: str) -> None:
    """Both spellings give the variable's value, before any default."""
    assert substitute(text, {"X": "v"}) == "v"


def test_defaults_and_escapes() -> None:
    """Defaults count for unset and empty variables; $$ is a dollar sign; other dollar signs stand for themselves."""
    assert substitute("${X:-d}/${env:Y:-}/$${X}/^a$", {"X": ""}) == "d//${X}/^a$"


@pytest.mark.parametrize("text", ["${env:X}", "${1}", "${file:/etc/passwd}", "${", "${}"])
def test_references_that_cannot_be_filled_in_are_errors(text: str) -> None:
    """Unset without default, other schemes and broken references are refused."""
    with pytest.raises(SubstitutionError):
        substitute(text, {})


def test_all_unset_variables_are_told_at_once() -> None:
    """Each is named, with its line."""
    said = complaints("a: ${env:A}\nb:\n  - ${B}\n")
    assert said[0].startswith("f.yaml:1: a: environment variable A is not set")
    assert said[1].startswith("f.yaml:3: b[0]: environment variable B is not set")


def test_a_variable_cannot_inject_structure() -> None:
    """Whatever a variable holds is one value."""
    assert parse("a: ${X}", X="1\nb: [2]") == {"a": "1\nb: [2]"}
    assert parse("a: ${X}", X="{b: 1}") == {"a": "{b: 1}"}


def test_unquoted_variables_take_the_type_they_are_written_like() -> None:
    """Where no model gives the type, quotes keep text."""
    data = parse("a: ${X}\nb: '${X}'\nc: ${Y}\nd: ${Z}", X="10", Y="true", Z="0123")
    assert isinstance(data, dict)
    assert isinstance(data["a"], EnvText)
    assert typed(data) == {"a": 10, "b": "10", "c": True, "d": "0123"}


def test_variables_in_quotes_are_known_too() -> None:
    """A setting that wants a number takes it from them; where nothing is known of the type they stay text."""
    data = parse("a: '${X}'\nb: 'x'", X="10")
    assert isinstance(data, dict)
    assert isinstance(data["a"], VariableText)
    assert not isinstance(data["b"], VariableText)
    assert type(typed(data)["a"]) is str


def test_faults_matter_where_they_are_asked_about() -> None:
    """A lenient reader is told those at, below and above the part that it uses."""
    document = parse_document("a:\n  b: ${X}\nc: {d: 1, d: 2}\ne: 1\n", "f.yaml", {}, lenient=True)
    assert document.data == {"a": {"b": None}, "c": {"d": 1}, "e": 1}
    document.require(("e",))
    for key in (("a",), ("a", "b"), ("a", "b", "deeper"), ()):
        with pytest.raises(ConfigError, match="variable X is not set"):
            document.require(key)
    with pytest.raises(ConfigError, match="duplicate key"):
        document.require(("c",))


def test_lines_follow_a_tree_of_another_shape() -> None:
    """Keys below a place that was moved have the lines that they have in the file."""
    document = parse_document("a:\n  - b:\n      c: 1\n", "f.yaml", {})
    document.move(("a",), ("a", "inner"))
    assert document.line_of(("a", "inner", 0, "b", "c")) == 3


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "- " * 100_000])
def test_depth_is_bounded(text: str) -> None:
    """The parser of libyaml would take all of the stack."""
    (line,) = complaints(text)
    assert "nested more than 100 levels deep" in line


def test_aliases_of_aliases_are_bounded_in_depth() -> None:
    """Each is one level deeper than the one before."""
    lines = ["a0: &a0 [1]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 3000))]
    assert "nested more than 100 levels deep" in complaints("\n".join(lines))[0]


def test_variables_that_are_no_text_are_refused() -> None:
    """Bytes of the environment that are not UTF-8."""
    assert complaints("a: ${X}", X="\udcff") == ["f.yaml:1: a: comes from a variable that is not UTF-8 text"]


@pytest.mark.parametrize("text", ["${file:/x}", "${http://x}", "${yaml:x}"])
def test_other_sources_are_told_as_such(text: str) -> None:
    """With what is possible here."""
    with pytest.raises(SubstitutionError, match=r"only variables are filled in here, as \$\{env:NAME\}"):
        substitute(text, {})


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("RulesVersion: 2\nSamplers:\n  __default__: {}\n", 1, "RulesVersion"),
        ("# ours\nSamplers:\n  __default__: {}\n", 2, "Samplers"),
        ("RulesVersion = 2\n[Samplers]\n", 1, "RulesVersion"),
        ("# v1\n\n[Samplers.__default__]\nSampleRate = 1\n", 3, "Samplers"),
    ],
)
def test_rules_of_refinery_are_known_for_what_they_are(text: str, line: int, key: str) -> None:
    """In YAML or TOML the error names the page that says how they are written here."""
    with pytest.raises(ConfigError, match=rf"^f:{line}: {key}: .*Refinery; docs/from_refinery\.md"):
        parse_document(text, "f", {})
    assert (Path(__file__).parents[3] / "docs/from_refinery.md").is_file()


def test_one_unset_variable_is_one_mistake() -> None:
    """Wherever it stands, also through an alias: one line, which names the other places."""
    text = "a: &it ${env:X}\nb: [*it, *it]\nc: {d: '${env:X}'}\ne: ${env:Y}\n"
    with pytest.raises(ConfigError) as caught:
        parse_document(text, "f", {})
    first, second = str(caught.value).splitlines()
    assert first.startswith("f:1: a: environment variable X is not set")
    assert first.endswith("; also in line 3")
    assert second.startswith("f:4: e: environment variable Y is not set")
    with pytest.raises(ConfigError) as found:
        parse_document(text, "f", {}, lenient=True).require(("c",))
    (line,) = str(found.value).splitlines()
    assert line.startswith("f:3: c.d: environment variable X")
    assert "also" not in line
