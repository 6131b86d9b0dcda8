"""Finding policy types in folders, files and modules."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from policies import Policy, build_policy_set, installed
from policies.builtin.latency import Latency
from policies.discovery import Plugin, PluginError, code_of, discover, plugin_files
from policies.testing import span, trace

PLUGIN = '''"""A plugin."""

from policies import ALWAYS, NEVER, Policy{imports}


class {name}(Policy):
    """Keeps everything."""

    type = "{kind}"

    def evaluate(self, trace):
        """Everything."""
        return {answer}

    def describe(self):
        """Says so."""
        return "everything"
'''
CLASS_LINE = 6


def write(folder: Path, file: str, kind: str = "mine", answer: str = "ALWAYS", name: str = "Mine") -> Path:
    """A plugin file."""
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PLUGIN.format(kind=kind, answer=answer, name=name, imports=""))
    return path


def types(plugins: list[Plugin]) -> dict[str, str]:
    """Where each type comes from."""
    return {plugin.policy.type: plugin.origin for plugin in plugins}


def sampled(*plugins: Plugin, kind: str = "mine") -> bool:
    """Whether a policy of this type keeps a trace."""
    policy_set = build_policy_set([{"name": "p", "type": kind}], registry=installed(plugins=plugins))
    verdict = policy_set.decide(0, [trace(span()).input_for(policy_set)], {})[0]
    assert not policy_set.errors, policy_set.last_errors
    return verdict.sampled


def test_a_folder_gives_the_types_of_its_files(tmp_path: Path) -> None:
    """Every file of a folder is a plugin, but for helpers, tests and what lies deeper."""
    write(tmp_path, "plugins/one.py", "one")
    write(tmp_path, "plugins/two.py", "two")
    write(tmp_path, "plugins/sub/three.py", "three")
    for other in ("_helper.py", "test_one.py", "one_test.py", "conftest.py"):
        (tmp_path / "plugins" / other).write_text("raise RuntimeError('not a plugin')")
    found = types(discover(["plugins"], tmp_path))
    assert found == {
        "one": f"{tmp_path}/plugins/one.py:{CLASS_LINE}",
        "two": f"{tmp_path}/plugins/two.py:{CLASS_LINE}",
    }
    assert types(discover([str(tmp_path / "plugins")], Path("/"))) == found


def test_a_file_can_be_named_alone(tmp_path: Path) -> None:
    """A file is a plugin whatever its name begins with, and its neighbours are left alone."""
    path = write(tmp_path, "one.py", "one")
    write(tmp_path, "two.py", "two")
    assert set(types(discover(["./one.py"], tmp_path))) == {"one"}
    assert set(types(discover([str(path)], Path("/")))) == {"one"}


def test_plugins_share_helpers(tmp_path: Path) -> None:
    """A file that begins with an underscore is imported as a neighbour."""
    (tmp_path / "_shared.py").write_text("from policies import ALWAYS as ANSWER\n")
    path = write(tmp_path, "mine.py", answer="ANSWER")
    path.write_text(path.read_text().replace("class Mine", "from ._shared import ANSWER\n\n\nclass Mine", 1))
    assert sampled(*discover([str(tmp_path)], Path("/")))


def test_a_changed_file_is_loaded_anew(tmp_path: Path) -> None:
    """Code that changed is used from the next load on, within the same second too; old policies keep the old code."""
    path = write(tmp_path, "mine.py", answer="ALWAYS")
    before = discover([str(tmp_path)], Path("/"))
    assert discover([str(tmp_path)], Path("/")) == before
    path.write_text(path.read_text().replace("return ALWAYS", "return NEVER "))
    after = discover([str(tmp_path)], Path("/"))
    assert sampled(*before)
    assert not sampled(*after)
    assert code_of(before[0].policy) != code_of(after[0].policy) != ""


def test_the_content_hash_covers_the_code(tmp_path: Path) -> None:
    """Two workers with different code under one name are seen to disagree, those with equal code to agree."""
    hashes = []
    for number, answer in enumerate(("ALWAYS", "ALWAYS", "NEVER")):
        write(tmp_path, f"{number}/mine.py", answer=answer)
        registry = installed(plugins=discover([str(number)], tmp_path))
        hashes.append(build_policy_set([{"name": "p", "type": "mine"}], registry=registry).content_hash)
    assert hashes[0] == hashes[1] != hashes[2]
    assert code_of(Latency) == ""


def test_dotted_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module gives all its types, a class itself; both are found as imports are."""
    write(tmp_path, "acme_rules/slow.py", "acme_slow")
    (tmp_path / "acme_rules" / "__init__.py").write_text("from .slow import Mine\n\n__all__ = ['Mine']\n")
    monkeypatch.syspath_prepend(tmp_path)
    for module in ("acme_rules", "acme_rules.slow"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    one = discover(["acme_rules.slow:Mine"], Path("/"))
    assert types(one) == {"acme_slow": "acme_rules.slow:Mine"}
    assert [found.policy for found in discover(["acme_rules.slow"], Path("/"))] == [one[0].policy]
    assert [found.policy for found in discover(["acme_rules"], Path("/"))] == [one[0].policy]
    assert len(discover(["acme_rules.slow:Mine", "acme_rules"], Path("/"))) == 1


@pytest.mark.parametrize(
    ("code", "line", "message"),
    [
        ("import policies\n\ndef broken(:\n", 3, "is not valid Python: "),
        ("x = 1\nimport no_such_module_here\n", 2, "fails at import: ModuleNotFoundError: No module named 'no_such"),
        ("x = 1\n\n1 / 0\n", 3, "fails at import: ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit('bye')\n", 2, "fails at import: SystemExit: bye"),
        ("import json\n\njson.loads('{')\n", 3, "fails at import: JSONDecodeError"),
        ("from ._broken import x\n", 2, "fails at import: ZeroDivisionError"),
        ("x = 1\n", None, "defines no policy type"),
        (
            "from policies import Policy\n\nclass A(Policy):\n    type = 'a'\n",
            3,
            "class A does not define describe, ev",
        ),
        (PLUGIN.format(kind="on_error", answer="ALWAYS", name="A", imports=""), 6, "class A needs a `type`"),
        (PLUGIN.format(kind="", answer="ALWAYS", name="A", imports=""), 6, "class A needs a `type`"),
        (PLUGIN.format(kind="a b", answer="ALWAYS", name="A", imports=""), 6, "'a b' cannot be one"),
        (PLUGIN.format(kind="a", answer="1", name="A", imports="") + "    Config = dict\n", 6, "no pydantic model"),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path: Path, code: str, line: int | None, message: str) -> None:
    """The error of a plugin that cannot be loaded begins with file and line."""
    path = tmp_path / "bad.py"
    path.write_text(code)
    (tmp_path / "_broken.py").write_text("\n1 / 0\n")
    with pytest.raises(PluginError) as caught:
        discover([str(tmp_path)], Path("/"))
    place = tmp_path / "_broken.py" if "_broken" in code else path
    assert str(caught.value).startswith(f"{place}:{line}: " if line else f"{place}: ")
    assert message in str(caught.value)
    assert (caught.value.path, caught.value.line) == (place, line)


def test_a_broken_file_can_be_mended(tmp_path: Path) -> None:
    """After an error the file is looked at afresh."""
    path = tmp_path / "mine.py"
    path.write_text("1 / 0")
    with pytest.raises(PluginError):
        discover([str(tmp_path)], Path("/"))
    write(tmp_path, "mine.py")
    assert sampled(*discover([str(tmp_path)], Path("/")))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("./nowhere", "there is no plugin folder or file"),
        ("nowhere.py", "there is no plugin folder or file"),
        ("no_such_module_here", "plugin no_such_module_here cannot be imported: ModuleNotFoundError"),
        ("policies.rset", "defines no policy type"),
        ("policies.rset:upper", "plugin policies.rset:upper: is no subclass of policies.Policy"),
        ("policies.rset:nothing", "plugin policies.rset:nothing: has no nothing"),
        ("policies:Policy", "needs a `type`"),
        ("not a module", "name a folder, a .py file or package.module:Class"),
        ("", "name a folder, a .py file or package.module:Class"),
    ],
)
def test_what_is_no_plugin(tmp_path: Path, source: str, message: str) -> None:
    """What cannot be found or is no policy is told by name."""
    with pytest.raises(PluginError, match=message):
        discover([source], tmp_path)


def test_a_type_exists_once(tmp_path: Path) -> None:
    """Two plugins of one type, or one of the name of a built-in, are an error that names both places."""
    write(tmp_path, "one.py", "mine")
    write(tmp_path, "two.py", "mine")
    with pytest.raises(PluginError, match=rf"two\.py:6: policy type mine exists already \({tmp_path}/one\.py:6\)"):
        installed(plugins=discover([str(tmp_path)], Path("/")))
    write(tmp_path, "other/latency.py", "latency")
    with pytest.raises(PluginError, match=r"latency\.py:6: policy type latency exists already \(built-in\)"):
        installed(plugins=discover([str(tmp_path / "other")], Path("/")))


def test_naming_an_installed_type_once_more_is_no_collision() -> None:
    """A dotted path to what is installed anyway changes nothing."""
    registry = installed(plugins=discover(["policies.builtin.latency:Latency"], Path("/")))
    assert registry.get("latency") is Latency
    assert registry.origin("latency") == "built-in"


def test_the_origin_of_every_type_is_known(tmp_path: Path) -> None:
    """The registry says where a type comes from."""
    write(tmp_path, "mine.py")
    given: dict[str, type[Policy]] = {"given": Latency}
    registry = installed(given, discover([str(tmp_path)], Path("/")))
    assert registry.origin("mine") == f"{tmp_path}/mine.py:{CLASS_LINE}"
    assert registry.origin("latency") == "built-in"
    assert registry.origin("given") == "given as a class"


def test_the_files_to_watch(tmp_path: Path) -> None:
    """All code of a folder is named, tests left out, and a file that is missing too."""
    write(tmp_path, "f/one.py")
    (tmp_path / "f" / "_helper.py").write_text("")
    (tmp_path / "f" / "test_one.py").write_text("")
    assert plugin_files(["f", "./gone.py", "some.module"], tmp_path) == [
        tmp_path / "f" / "_helper.py",
        tmp_path / "f" / "one.py",
        tmp_path / "gone.py",
    ]
