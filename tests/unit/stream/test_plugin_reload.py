"""A running worker sees that the code of a plugin has changed, as it sees that the policy file has."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.testing import decide, span, trace
from sampler.config import PolicyFile, load_policies
from sampler.stream.reload import PolicyWatch, Refused, Taken

PLUGIN = '''
from policies import ALWAYS, NEVER, Policy
from ._answer import ANSWER


class Mine(Policy):
    """Keeps everything or nothing."""

    type = "mine"

    def evaluate(self, trace):
        """As the helper says."""
        return ANSWER

    def describe(self):
        """Says so."""
        return "all or nothing"
'''
POLICIES = "tail_sampling:\n  plugins: [plugins]\n  policies: [{name: mine, type: mine}]\n"


@pytest.fixture
def running(tmp_path: Path) -> PolicyFile:
    """A policy file with a plugin that keeps everything."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "mine.py").write_text(PLUGIN)
    (tmp_path / "plugins" / "_answer.py").write_text("from policies import ALWAYS as ANSWER\n")
    (tmp_path / "policies.yaml").write_text(POLICIES)
    return load_policies(tmp_path / "policies.yaml")


def looks(watch: PolicyWatch) -> list[object]:
    """What the looks find that are news."""
    return [outcome for outcome in (watch.look() for _ in range(4)) if outcome is not None]


def keeps(file: PolicyFile) -> bool:
    """Whether the policies keep a trace."""
    return decide(file.policy_set, trace(span())).sampled


def test_changed_code_is_taken(running: PolicyFile, tmp_path: Path) -> None:
    """A helper of a plugin changes: the policies built from it are others, and are run, once."""
    watch = PolicyWatch(running)
    assert looks(watch) == []
    assert keeps(running)
    (tmp_path / "plugins" / "_answer.py").write_text("from policies import NEVER as ANSWER\n")
    (outcome,) = looks(watch)
    assert isinstance(outcome, Taken)
    assert not keeps(outcome.policies)
    assert keeps(running)
    assert outcome.policies.identity.content_hash != running.identity.content_hash


def test_broken_code_is_refused_with_its_place(running: PolicyFile, tmp_path: Path) -> None:
    """The policies before run on; the mended file is seen."""
    watch = PolicyWatch(running)
    looks(watch)
    (tmp_path / "plugins" / "_answer.py").write_text("\nANSWER = 1 / 0\n")
    (refused,) = looks(watch)
    assert isinstance(refused, Refused)
    assert refused.error.startswith(f"{tmp_path}/plugins/_answer.py:2: plugin fails at import: ZeroDivisionError")
    (tmp_path / "plugins" / "_answer.py").write_text("from policies import NEVER as ANSWER\n")
    assert [type(outcome) for outcome in looks(watch)] == [Taken]


def test_a_further_plugin_is_watched_too(running: PolicyFile, tmp_path: Path) -> None:
    """What the new policy file names is watched from then on, and that it is so is no news by itself."""
    watch = PolicyWatch(running)
    looks(watch)
    more = tmp_path / "more.py"
    more.write_text(PLUGIN.replace('"mine"', '"more"').replace("from ._answer import ANSWER", "ANSWER = NEVER"))
    changed = POLICIES.replace("[plugins]", "[plugins, ./more.py]").replace("type: mine", "type: more")
    (tmp_path / "policies.yaml").write_text(changed)
    assert [type(outcome) for outcome in looks(watch)] == [Taken]
    more.write_text(more.read_text().replace("ANSWER = NEVER", "ANSWER = ALWAYS"))
    (outcome,) = looks(watch)
    assert isinstance(outcome, Taken)
    assert keeps(outcome.policies)


def test_plugins_of_the_command_line_are_loaded_again(tmp_path: Path) -> None:
    """A worker that was started with --plugins uses them after a reload as before."""
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN.replace("from ._answer import ANSWER", "ANSWER = ALWAYS"))
    (tmp_path / "policies.yaml").write_text(POLICIES.replace("  plugins: [plugins]\n", ""))
    running = load_policies(tmp_path / "policies.yaml", plugins=[str(plugin)])
    watch = PolicyWatch(running)
    looks(watch)
    plugin.write_text(plugin.read_text().replace("ANSWER = ALWAYS", "ANSWER = NEVER"))
    (outcome,) = looks(watch)
    assert isinstance(outcome, Taken)
    assert not keeps(outcome.policies)
