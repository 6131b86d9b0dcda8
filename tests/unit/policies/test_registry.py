"""Finding policy types."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from policies import PolicyConfigError, Registry, build_policy_set, installed
from policies.registry import GROUP, BrokenPolicyError, UnknownPolicyTypeError

BUILT_IN = "policies.builtin.latency:Latency"


def point(name: str, value: str) -> EntryPoint:
    """An entry point of the group."""
    return EntryPoint(name=name, value=value, group=GROUP)


def test_built_ins_enter_by_the_entry_points() -> None:
    """Every built-in type is found, loads, and carries its entry-point name as its type."""
    registry = installed()
    built_ins = {"always_sample", "and", "drop", "latency", "not", "probabilistic", "span_count", "status_code"}
    assert built_ins <= set(registry.names)
    assert {name: registry.get(name).type for name in built_ins} == {name: name for name in built_ins}


def test_unknown_type_names_the_nearest() -> None:
    """A slip of the pen is answered with what was meant."""
    with pytest.raises(UnknownPolicyTypeError, match="unknown sampling policy type latencies") as caught:
        installed().get("latencies")
    assert caught.value.suggestion == "latency"


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([point("x", "no_such_module_here:X")], "no_such_module_here:X.*cannot be imported.*ModuleNotFoundError"),
        ([point("x", "policies.rset:no_such_name")], "cannot be imported.*AttributeError"),
        ([point("x", "policies.rset:upper")], "no subclass of policies.Policy"),
        ([point("x", BUILT_IN)], "calls itself 'latency'"),
        ([point("latency", BUILT_IN), point("latency", "other:Latency")], "offered by .* and .*: uninstall one"),
    ],
)
def test_broken_plugins_say_what_to_mend(points: list[EntryPoint], message: str) -> None:
    """A plugin that cannot be used is named with its origin, in the error of the policy that wants it."""
    registry = Registry(points)
    with pytest.raises(BrokenPolicyError, match=message):
        registry.get(points[0].name)
    with pytest.raises(PolicyConfigError, match=message) as caught:
        build_policy_set([{"name": "p", "type": points[0].name}], registry=registry)
    assert caught.value.loc == (0, "type")


def test_a_plugin_that_exits_at_import_is_a_broken_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must not end a worker that reloads its policies."""
    (tmp_path / "leaves_at_import.py").write_text("raise SystemExit(3)\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BrokenPolicyError, match="cannot be imported: SystemExit: 3"):
        Registry([point("x", "leaves_at_import:X")]).get("x")


def test_a_broken_plugin_hurts_only_those_who_want_it() -> None:
    """Plugins are imported on first use."""
    registry = Registry([point("x", "no_such_module_here:X"), point("latency", BUILT_IN)])
    assert registry.get("latency").type == "latency"


def test_the_same_entry_point_twice_is_no_collision() -> None:
    """Metadata that is found twice, as with an editable install, counts once."""
    assert Registry([point("latency", BUILT_IN), point("latency", BUILT_IN)]).get("latency").type == "latency"
