"""When a policy file is taken anew, and when it is not."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from policies.conditions import AllOf, AttributeExists, Negated
from sampler.config import PolicyFile, load_policies
from sampler.stream.reload import Outcome, PolicyReloader, PolicyWatch, Refused, Taken, Unchanged

ALL = "version: {version}\ndecision_wait: {wait}\npolicies: [{{name: {name}, type: always_sample}}]\n"


def text(name: str = "all", wait: str = "30s", version: str = "1") -> str:
    return ALL.format(name=name, wait=wait, version=version)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "shop.yaml"
    path.write_text(text())
    return path


@pytest.fixture
def watch(file: Path) -> PolicyWatch:
    watch = PolicyWatch(load_policies(file))
    assert settled(watch) is None
    return watch


def settled(watch: PolicyWatch) -> Outcome | None:
    """What two looks come to; the first must not decide anything."""
    assert watch.look() is None
    return watch.look()


def test_a_changed_file_is_taken_when_two_looks_agree(watch: PolicyWatch, file: Path) -> None:
    """Half a file, which may be valid too, is not believed while it grows."""
    file.write_text("policies: [")
    assert watch.look() is None
    assert watch.settling
    file.write_text(text("other"))
    assert watch.look() is None
    outcome = watch.look()
    assert isinstance(outcome, Taken)
    assert outcome.policies.policy_set.names == ("other",)
    assert outcome.plan.conditions == outcome.policies.policy_set.span_conditions
    assert watch.look() is None
    assert not watch.settling


def test_a_change_taken_back_at_once_is_none(watch: PolicyWatch, file: Path) -> None:
    """The file is as it was judged."""
    before = file.read_text()
    file.write_text(text("other"))
    assert watch.look() is None
    file.write_text(before)
    assert watch.look() is None
    assert watch.look() is None
    assert not watch.settling


def test_only_what_takes_effect_is_news(watch: PolicyWatch, file: Path) -> None:
    """Comments, the order of keys and other spellings are not; settings of the block and the version are."""
    file.write_text("# a comment\n" + "".join(sorted(text(wait="30000ms").splitlines(keepends=True))))
    assert settled(watch) == Unchanged()
    for changed in (text(wait="31s"), text(wait="31s", version="2"), text("other", wait="31s", version="2")):
        file.write_text(changed)
        assert isinstance(settled(watch), Taken)


def test_a_bad_file_is_told_once_and_a_good_one_after_it_is_taken(watch: PolicyWatch, file: Path) -> None:
    """The error names file, line and key; the same error is not told again."""
    file.write_text("policies:\n  - {name: x, type: latncy}\n")
    refused = settled(watch)
    assert isinstance(refused, Refused)
    assert f"{file}:2: policies[0].type:" in refused.error
    assert watch.look() is None
    assert watch.look() is None
    file.write_text(text())
    assert settled(watch) == Unchanged()
    file.write_text(text("other"))
    assert isinstance(settled(watch), Taken)


def test_a_plugin_that_a_refused_file_names_can_be_mended(watch: PolicyWatch, file: Path, tmp_path: Path) -> None:
    """The policy file itself need not change again; neither must it when the code of a plugin in use changes."""
    plugin = tmp_path / "own.py"
    code = (
        "from policies import ALWAYS, Policy\n"
        "class Own(Policy):\n"
        "    type = 'own'\n"
        "    def evaluate(self, trace): return ALWAYS\n"
        "    def describe(self): return 'everything'\n"
    )
    plugin.write_text("syntax error")
    file.write_text("plugins: [./own.py]\npolicies: [{name: mine, type: own}]\n")
    refused = settled(watch)
    assert isinstance(refused, Refused)
    assert str(plugin) in refused.error
    assert watch.look() is None
    plugin.write_text(code)
    first = watch.look()
    assert isinstance(first, Taken)
    assert first.policies.policy_set.names == ("mine",)
    assert watch.look() is None
    plugin.write_text(code + "# another code\n")
    second = settled(watch)
    assert isinstance(second, Taken)
    assert second.policies.policy_set.plugin_code != first.policies.policy_set.plugin_code
    assert watch.look() is None


def test_a_file_that_is_gone_is_refused_until_it_is_back(watch: PolicyWatch, file: Path) -> None:
    """Also where a folder or a pipe has taken its place, which is never waited for."""
    before = file.read_text()
    file.unlink()
    refused = settled(watch)
    assert isinstance(refused, Refused)
    assert "cannot be read" in refused.error
    file.write_text(before)
    assert settled(watch) == Unchanged()
    file.unlink()
    os.mkfifo(file)
    refused = settled(watch)
    assert isinstance(refused, Refused)
    assert "is not a file" in refused.error


def test_the_swap_of_a_link_as_kubernetes_does_it_is_seen(tmp_path: Path) -> None:
    """The path stays, the folder behind it changes, and times and sizes may be equal."""
    for version, name in (("1", "aaa"), ("2", "bbb")):
        folder = tmp_path / f"..{version}"
        folder.mkdir()
        (folder / "policies.yaml").write_text(text(name))
        os.utime(folder / "policies.yaml", (1, 1))
    data, file = tmp_path / "..data", tmp_path / "policies.yaml"
    data.symlink_to("..1")
    file.symlink_to("..data/policies.yaml")
    watch = PolicyWatch(load_policies(file))
    assert settled(watch) is None
    (tmp_path / "..tmp").symlink_to("..2")
    (tmp_path / "..tmp").rename(data)
    outcome = settled(watch)
    assert isinstance(outcome, Taken)
    assert outcome.policies.policy_set.names == ("bbb",)


def test_who_asks_gets_an_answer_at_once(watch: PolicyWatch, file: Path) -> None:
    """Without a second look, and also where nothing has changed."""
    assert watch.look(at_once=True) == Unchanged()
    file.write_text(text("other"))
    assert isinstance(watch.look(at_once=True), Taken)
    file.write_text("nonsense: [")
    assert isinstance(watch.look(at_once=True), Refused)


def test_a_file_written_while_it_is_read_is_judged_later(file: Path) -> None:
    """What was read then may be neither the old nor the new one."""

    def load(path: str) -> PolicyFile:
        loaded = load_policies(path)
        file.write_text(text("later"))
        return loaded

    watch = PolicyWatch(load_policies(file), load)
    file.write_text(text("other"))
    assert settled(watch) is None
    outcome = settled(watch)
    assert isinstance(outcome, Taken)
    assert outcome.policies.policy_set.names == ("later",)


def test_what_cannot_be_scanned_for_or_fails_to_load_is_refused(file: Path) -> None:
    """A plugin's mistake of any kind does not reach the running worker."""
    running = load_policies(file)
    deep: AllOf | Negated = AllOf((AttributeExists("a"),))
    for _ in range(100):
        deep = Negated(deep)

    def load(path: str) -> PolicyFile:
        if "raises" in Path(path).read_text():
            raise RuntimeError("a plugin's own")
        changed = load_policies(path)
        changed.policy_set.span_conditions = (deep,)
        return changed

    watch = PolicyWatch(running, load)
    file.write_text(text("deep"))
    refused = settled(watch)
    assert isinstance(refused, Refused)
    assert "nested deeper" in refused.error
    file.write_text(text("raises"))
    refused = settled(watch)
    assert isinstance(refused, Refused)
    assert refused.error == f"{file}: RuntimeError: a plugin's own"


def test_looks_come_by_themselves_and_at_sighup(file: Path) -> None:
    """The reloader looks at its interval; at interval 0 only when it is asked."""

    async def scenario(interval_s: float, poke: Callable[[], None]) -> list[Outcome]:
        told: list[Outcome] = []
        enough = asyncio.Event()

        def tell(outcome: Outcome) -> None:
            told.append(outcome)
            if isinstance(outcome, Taken):
                enough.set()

        task = asyncio.create_task(PolicyReloader(PolicyWatch(running), interval_s, tell).run())
        try:
            # The task installs its handler before it waits for the first time.
            await asyncio.sleep(0)
            poke()
            async with asyncio.timeout(20):
                await enough.wait()
        finally:
            task.cancel()
            asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
        return told

    running = load_policies(file)
    file.write_text(text("polled"))
    (polled,) = asyncio.run(scenario(0.01, lambda: None))
    assert isinstance(polled, Taken)
    file.write_text(text("asked"))
    (asked,) = asyncio.run(scenario(0, lambda: os.kill(os.getpid(), signal.SIGHUP)))
    assert isinstance(asked, Taken)
    assert asked.policies.identity != polled.policies.identity


def test_policies_from_a_pipe_are_not_watched(tmp_path: Path, file: Path) -> None:
    """A pipe can be read once; the reloader ends instead of waiting for it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    running = load_policies(file)
    from_pipe = PolicyFile(str(pipe), running.tail_sampling, running.policy_set, running.notes)
    told: list[Outcome] = []
    asyncio.run(PolicyReloader(PolicyWatch(from_pipe), 0.01, told.append).run())
    assert told == []
