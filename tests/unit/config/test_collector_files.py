"""Policy files as they come from Collectors: which block is used, what beside it counts, what is said of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sampler.config import ConfigError, PolicyFile, load_policies, parse_policies
from sampler.config.collector import split_selector

WHOLE = Path(__file__).parent / "data" / "collector.yaml"
ALL = "{policies: [{name: all, type: always_sample}]}"


def parse(text: str, wanted: str | None = None) -> PolicyFile:
    return parse_policies(text, "c.yaml", {}, wanted)


def complaint(text: str, wanted: str | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, wanted)
    (line,) = str(caught.value).splitlines()
    return line


def pipelines(**processors: list[str]) -> str:
    return yaml.safe_dump({"service": {"pipelines": {name: {"processors": used} for name, used in processors.items()}}})


def test_a_whole_collector_configuration_loads() -> None:
    """The block that a pipeline uses; dollar signs unescaped, variables filled in, whatever the other parts hold."""
    file = load_policies(WHOLE, {"BASELINE_PERCENT": "2.5"})
    described = file.policy_set.describe()
    assert file.policy_set.names == (
        "drop-probes", "errors", "slow", "server-errors", "checkout", "flagged", "large", "baseline",
    )  # fmt: skip
    assert '["^/(livez|readyz)$", "^/metrics$"]' in described
    assert "takes 1500 ms or longer" in described
    assert "2.5 % of all traces" in described
    assert (file.name, file.path) == ("collector", str(WHOLE))


def test_the_rest_of_the_file_is_named_once() -> None:
    """One note with all that is ignored, one for each thing that means something else here."""
    notes = load_policies(WHOLE, {"BASELINE_PERCENT": "2.5"}).notes
    (ignored,) = [note for note in notes if "ignored" in note]
    assert ignored.startswith(f"{WHOLE}:41: processors.tail_sampling: only this block is used; ignored: extensions, ")
    for part in ("receivers", "exporters", "connectors", "service", "batch", "k8sattributes", "tail_sampling/staging"):
        assert part in ignored
    for key in ("num_traces", "expected_new_traces_per_sec", "sampled_cache_size", "non_sampled_cache_size"):
        assert len([note for note in notes if f".{key}: " in note]) == 1
    assert len(notes) == 7


def test_unset_variables_matter_in_the_used_block_only() -> None:
    """POD_IP and BACKEND_TOKEN are not set either, and nobody asks for them."""
    with pytest.raises(ConfigError) as caught:
        load_policies(WHOLE, {})
    (problem,) = caught.value.problems
    assert (problem.line, "BASELINE_PERCENT is not set" in problem.message) == (87, True)
    assert load_policies(f"{WHOLE}#tail_sampling/staging", {}).policy_set.names == ("all",)


def test_a_block_is_named_after_a_hash_sign() -> None:
    """And goes before the one that a pipeline uses; its name is that of the set."""
    file = load_policies(f"{WHOLE}#tail_sampling/staging", {})
    assert (file.name, file.path, file.tail_sampling.decision_wait.ms) == (
        "staging",
        f"{WHOLE}#tail_sampling/staging",
        5000,
    )
    with pytest.raises(ConfigError, match=r"has no 'tail_sampling/stagin'.*\(did you mean tail_sampling/staging\?\)"):
        load_policies(f"{WHOLE}#tail_sampling/stagin", {})


def test_files_with_a_hash_sign_in_their_name(tmp_path: Path) -> None:
    """A file of that very name is no selector, and a selector names a block of policies."""
    assert split_selector("a#b.yaml") == (Path("a#b.yaml"), None)
    assert split_selector("a.yaml#tail_sampling") == (Path("a.yaml"), "tail_sampling")
    odd = tmp_path / "a#tail_sampling"
    odd.write_text(ALL)
    assert split_selector(odd) == (odd, None)


def test_several_blocks_and_no_pipeline_to_choose_by() -> None:
    """All are listed, with how to name one."""
    text = f"processors:\n  tail_sampling: {ALL}\n  tail_sampling/b: {ALL}\n"
    said = "c.yaml:2: processors.tail_sampling: has several blocks: tail_sampling (line 2), tail_sampling/b (line 3); "
    assert complaint(text) == said + "say which one with c.yaml#tail_sampling/b"
    both = text + pipelines(a=["tail_sampling"], b=["tail_sampling/b"])
    assert complaint(both).startswith(said)
    assert parse(both, "tail_sampling/b").name == "b"
    assert complaint(f"tail_sampling: {ALL}\ntail_sampling/b: {ALL}\n").endswith("c.yaml#tail_sampling/b")


@pytest.mark.parametrize(
    ("others", "wait"),
    [
        ("  groupbytrace:\n", 31),
        ("  groupbytrace: {wait_duration: 10s}\n", 40),
        ("  groupbytrace/x: {wait_duration: 10s}\n" + pipelines(t=["groupbytrace/x", "tail_sampling"]), 40),
        ("  groupbytrace: {wait_duration: 10s}\n" + pipelines(t=["tail_sampling", "groupbytrace"]), 30),
        ("  groupbytrace: {wait_duration: 10s}\n" + pipelines(t=["tail_sampling"], u=["groupbytrace"]), 30),
        ("  groupbytrace: {}\n  groupbytrace/b: {}\n", 30),
    ],
)
def test_the_wait_of_groupbytrace_is_added(others: str, wait: int) -> None:
    """Where spans pass it on their way to the block, its default included; the sum is told at its line."""
    file = parse(f"processors:\n  tail_sampling: {ALL}\n{others}")
    assert file.tail_sampling.decision_wait.ms == wait * 1000
    assert any("decision_wait becomes" in note for note in file.notes) == (wait != 30)
    assert all(note.startswith("c.yaml:3: ") for note in file.notes if "becomes" in note)


def test_groupbytrace_beside_a_block_without_processors_above() -> None:
    """As it is when somebody copies the entries alone."""
    file = parse(f"tail_sampling: {ALL}\ngroupbytrace: {{wait_duration: 2s}}\n")
    assert file.tail_sampling.decision_wait.ms == 32_000


def test_a_wrong_wait_of_groupbytrace_is_told_at_its_place() -> None:
    """It counts, so it must be right."""
    line = complaint(f"processors:\n  groupbytrace:\n    wait_duration: 10\n  tail_sampling: {ALL}\n")
    assert line.startswith("c.yaml:3: processors.groupbytrace.wait_duration: a duration needs a unit")


@pytest.mark.parametrize("source", ["${file:/etc/key}", "${http://x/y}", "${https://x/y}", "${yaml:a}", "${s3://b/k}"])
def test_other_sources_of_values_are_refused_clearly(source: str) -> None:
    """Only variables are filled in; beside the block other sources are as good as any text."""
    used = f"tail_sampling: {{policies: [{{name: '{source}', type: always_sample}}]}}\n"
    assert "only variables are filled in here, as ${env:NAME}" in complaint(used)
    assert parse(f"exporters: {{otlp: {{endpoint: '{source}'}}}}\nprocessors: {{tail_sampling: {ALL}}}\n")


def test_mistakes_beside_the_block_do_not_matter() -> None:
    """Duplicate keys and unknown tags elsewhere are the Collector's business."""
    assert parse(f"exporters: {{a: 1, a: 2, b: !x 3}}\nprocessors: {{tail_sampling: {ALL}}}\n").policy_set.names == (
        "all",
    )
    doubled = f"processors: {{tail_sampling: {ALL}, tail_sampling: {ALL}}}\n"
    assert "duplicate key" in complaint(doubled)


def test_sections_of_a_collector_beside_a_bare_block() -> None:
    """Are ignored and named; anything else is a mistake."""
    file = parse(f"tail_sampling: {ALL}\nservice: {{}}\nprocessors: {{batch: {{}}}}\n")
    assert "ignored: service, processors" in file.notes[0]
    assert complaint(f"tail_sampling: {ALL}\nrecievers: {{}}\n").endswith("(did you mean receivers?)")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("receivers: {}\nservice: {}\n", "has no 'tail_sampling:' block"),
        ("processors: [tail_sampling]\n", "must be a mapping with a 'tail_sampling:' block"),
        ("apiVersion: v1\nkind: ConfigMap\ndata: {relay: 'processors: {}'}\n", "it is a Kubernetes object"),
        ("tail_samplin: {}\n", "(did you mean tail_sampling?)"),
        ("polices: []\n", "(did you mean policies?)"),
        ("processors: {tail_sampling: []}\n", "must be a mapping with 'policies:'"),
    ],
)
def test_files_without_a_block(text: str, said: str) -> None:
    """Say so, with what was probably meant."""
    assert said in complaint(text)
    assert "has no 'tail_sampling'" in complaint("policies: []\n", "tail_sampling")
