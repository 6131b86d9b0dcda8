"""Policies as people write them: what is taken as what, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from sampler.config import ConfigError, PolicyFile, parse_policies

SLOW = {"type": "latency", "latency": {"threshold_ms": 5}}
ALL = {"type": "always_sample"}


def load(policy: dict[str, Any], **environment: str) -> PolicyFile:
    text = yaml.safe_dump({"policies": [{"name": "p", **policy}]}, sort_keys=False)
    return parse_policies(text, "p.yaml", environment)


def of_type(kind: str, **settings: Any) -> dict[str, Any]:
    return {"type": kind, kind: settings}


def key_values(values: Any, **more: Any) -> dict[str, Any]:
    return of_type("string_attribute", key="k", values=values, **more)


@pytest.mark.parametrize(
    ("written", "meant", "key", "said"),
    [
        ({"type": "and", "and": [SLOW]}, of_type("and", and_sub_policy=[SLOW]), "and", "write 'and_sub_policy:'"),
        ({"type": "drop", "drop": [SLOW]}, of_type("drop", drop_sub_policy=[SLOW]), "drop", "write 'drop_sub_policy:'"),
        ({"type": "not", "not": SLOW}, of_type("not", not_sub_policy=SLOW), "not", "write 'not_sub_policy:'"),
        ({"type": "not", "not": [SLOW]}, of_type("not", not_sub_policy=SLOW), "not", "write 'not_sub_policy:'"),
        (of_type("not", not_sub_policy=[SLOW]), of_type("not", not_sub_policy=SLOW), "not.not_sub_policy", "of one"),
        (of_type("and", and_sub_policy=SLOW), of_type("and", and_sub_policy=[SLOW]), "and.and_sub_policy", "of one"),
        ({"type": "latency", "threshold_ms": 5}, SLOW, "threshold_ms", "below 'latency:'"),
        ({"latency": {"threshold_ms": 5}}, SLOW, "", "write 'type: latency'"),
        ({"type": "Always-Sample"}, ALL, "type", "is written always_sample"),
        ({"type": "always_sample", "latency": {}, "and": {"and_sub_policy": []}}, ALL, "latency", "no effect"),
        ({**SLOW, "probabilistic": {"sampling_percentage": 1}}, SLOW, "probabilistic", "no effect"),
        (of_type("latency", threshold_ms="5"), SLOW, "latency.threshold_ms", "taken as 5; write it without quotes"),
        (of_type("latency", threshold_ms="0_5"), SLOW, "latency.threshold_ms", "write it without underscores"),
        (of_type("latency", threshold_ms=5.9), SLOW, "latency.threshold_ms", "as in the Collector"),
        (
            of_type("probabilistic", sampling_percentage="2.5%", hash_salt=22),
            of_type("probabilistic", sampling_percentage=2.5, hash_salt="22"),
            "probabilistic.hash_salt",
            'taken as "22"',
        ),
        (key_values("a, b"), key_values(["a", "b"]), "string_attribute.values", 'taken as ["a", "b"]'),
        (key_values(200), key_values(["200"]), "string_attribute.values[0]", "put it in quotes"),
        (key_values([True]), key_values(["true"]), "string_attribute.values[0]", "is a truth value where text"),
        (
            key_values(["a"], invert_match="True"),
            key_values(["a"], invert_match=True),
            "string_attribute.invert_match",
            "taken as true",
        ),
        (
            of_type("status_code", status_codes="error,OK"),
            of_type("status_code", status_codes=["ERROR", "OK"]),
            "status_code.status_codes[0]",
            "'error' is written ERROR",
        ),
        (
            of_type("status_code", status_codes=["STATUS_CODE_ERROR"]),
            of_type("status_code", status_codes=["ERROR"]),
            "status_code.status_codes[0]",
            "is written ERROR",
        ),
    ],
)  # fmt: skip
def test_a_spelling_is_taken_and_told(written: Any, meant: Any, key: str, said: str) -> None:
    """The policy is the one that was meant, and a note names the place and the form of the reference."""
    file = load(written)
    assert file.specs == ({"name": "p", **meant},)
    place = f"policies[0].{key}" if key else "policies[0]"
    assert [note for note in file.notes if f": {place}: " in note and said in note], file.notes
    assert load(meant).notes == ()
    assert load(meant).policy_set.content_hash == file.policy_set.content_hash


def test_notes_name_the_line() -> None:
    """Of the very value, in the file as it is written, also below a list that was given another shape."""
    text = (
        "policies:\n  - name: p\n    type: and\n    and:\n      - {type: always_sample}\n"
        "      - type: latency\n        latency:\n          threshold_ms: '5'\n"
    )
    assert [note.split(": ")[0] for note in parse_policies(text, "p.yaml").notes] == ["p.yaml:4", "p.yaml:8"]


def test_mistakes_below_another_spelling_have_their_line() -> None:
    """Though the tree that is checked has another shape than the file."""
    text = (
        "policies:\n  - name: p\n    type: and\n    and:\n      - {type: latency, latency: {\n          treshold: 5}}\n"
    )
    with pytest.raises(ConfigError) as caught:
        parse_policies(text, "p.yaml")
    (line,) = str(caught.value).splitlines()
    assert line.startswith("p.yaml:6: policies[0].and.and_sub_policy[0].latency.treshold: ")


@pytest.mark.parametrize(
    "written",
    [
        of_type("latency", threshold_ms="5s"),
        of_type("latency", threshold_ms=True),
        of_type("latency", threshold_ms=[5]),
        of_type("probabilistic", sampling_percentage="many"),
        of_type("status_code", status_codes=["err"]),
        of_type("status_code", status_codes=""),
        key_values(["a"], invert_match="yes"),
        key_values({"a": 1}),
        {"type": "latency", "probabilistic": {"sampling_percentage": 1}},
        {"latency": {}, "probabilistic": {}},
        {"type": "latency", "latency": {}, "threshold_ms": 5},
        {"type": "not", "not": [SLOW, ALL]},
        {"type": "and", "and": "latency"},
        {"type": 5},
    ],
)
def test_what_could_mean_several_things_is_refused(written: dict[str, Any]) -> None:
    """Rather than guessed."""
    with pytest.raises(ConfigError):
        load(written)


def test_settings_of_the_block_are_taken_as_freely() -> None:
    """As those of policies; what the block itself reads in several types is no news."""
    all_of_them = "policies: [{name: a, type: always_sample}]\n"
    file = parse_policies(
        f"num_traces: '5_000'\nhash_salt: 22\nsample_on_first_match: 'true'\nversion: 3\n{all_of_them}"
    )
    block = file.tail_sampling
    assert (block.num_traces, block.hash_salt, block.sample_on_first_match, block.version) == (5000, "22", True, "3")
    assert sum("is text where" in note for note in file.notes) == 2
    assert sum("hash_salt: is a number where text" in note for note in file.notes) == 1
    assert not any("version" in note for note in file.notes)


def test_whole_numbers_with_a_point_are_no_news() -> None:
    """A Collector takes 5.0 and 5e3 for whole numbers too, and nothing is lost."""
    file = parse_policies("policies: [{name: p, type: latency, latency: {threshold_ms: 5e3}}]")
    assert (file.notes, file.policy_set.describe()) == ((), "p (latency): takes 5000 ms or longer")


@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_variables_take_the_type_of_their_setting(quote: str) -> None:
    """A number where a number is due, text where text is due, in quotes or not, and nothing is said of it."""
    text = (
        f"policies:\n  - name: {quote}${{N}}{quote}\n    type: string_attribute\n    string_attribute:\n"
        f"      key: {quote}${{K}}{quote}\n      values:\n        - {quote}${{V}}{quote}\n"
        f"      enabled_regex_matching: {quote}${{R}}{quote}\n"
        f"  - name: q\n    type: probabilistic\n    probabilistic:\n      sampling_percentage: {quote}${{P}}{quote}\n"
    )
    file = parse_policies(text, environment={"N": "7", "K": "500", "V": "1e3", "R": "true", "P": "2.5"})
    assert file.notes == ()
    assert file.specs == (
        {"name": "7", **of_type("string_attribute", key="500", values=["1e3"], enabled_regex_matching=True)},
        {"name": "q", **of_type("probabilistic", sampling_percentage=2.5)},
    )


@pytest.mark.parametrize(
    ("value", "items"),
    [("[checkout, 'pay ment']", ["checkout", "pay ment"]), ("[]", []), ("a,b", ["a", "b"]), ("[a, {b: 1}]", None)],
)
def test_a_variable_may_hold_a_list_of_texts(value: str, items: list[str] | None) -> None:
    """Where a list of texts is due, as in a Collector; never anything nested."""
    text = "policies:\n  - {name: p, type: string_attribute, string_attribute: {key: k, values: '${env:SERVICES}'}}\n"
    (spec,) = parse_policies(text, environment={"SERVICES": value}).specs
    assert spec["string_attribute"]["values"] == (value.split(", ") if items is None else items)


def test_percentages_outside_0_to_100_are_clamped_and_told() -> None:
    """As in the Collector, which does not tell."""
    high, low = (
        load(of_type("probabilistic", sampling_percentage=150)),
        load(of_type("probabilistic", sampling_percentage=-1)),
    )
    assert "100 counts" in high.notes[0]
    assert "100 %" in high.policy_set.describe()
    assert "0 counts" in low.notes[0]


def test_a_text_is_one_ottl_condition() -> None:
    """Its commas do not divide it."""
    condition = 'IsMatch(name, "a,b")'
    (spec,) = load(of_type("ottl_condition", error_mode="ignore", span=condition)).specs
    assert spec["ottl_condition"]["span"] == [condition]


def test_every_mistake_of_a_policy_is_told() -> None:
    """Also those of its sub-policies; a key left out because it is misspelt is one mistake."""
    text = """
policies:
  - name: a
    type: and
    bogus: 1
    and:
      and_sub_policy:
        - {type: latency, latency: {treshold: 5, threshold_ms: x}}
        - {type: latncy}
        - {type: string_attribute, string_attribute: {keyy: k, values: [v]}}
        - {type: status_code, status_code: {status_codes: [ERR]}}
  - {name: b, type: latency, latency: {threshold_ms: []}}
  - {type: latency}
"""
    with pytest.raises(ConfigError) as caught:
        parse_policies(text, "p")
    found = [(problem.line, problem.key.rsplit(".", 1)[-1], problem.suggestion) for problem in caught.value.problems]
    assert found == [
        (5, "bogus", None), (8, "treshold", "threshold_ms"), (8, "threshold_ms", None), (9, "type", "latency"),
        (10, "keyy", "key"), (11, "status_codes", None), (12, "threshold_ms", None), (13, "policies[2]", None),
    ]  # fmt: skip
