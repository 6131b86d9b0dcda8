"""Tries a plugin file: what every policy owes, the file's own tests, and what it costs. Needs no pytest."""

from __future__ import annotations

import importlib.util
import inspect
import linecache
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from policies.conformance import PolicyConformance
from policies.contract import Policy
from policies.discovery import Plugin, PluginError, discover
from policies.errors import PolicyConfigError
from policies.registry import installed
from sampler.clock import monotonic_s
from sampler.otlp import compile_plan
from sampler.plugins.cost import Cost, cost_of
from sampler.plugins.example import example_spec


@dataclass(slots=True)
class Outcome:
    """What a trial has counted so far."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    @property
    def text(self) -> str:
        """In one line."""
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"


def run_trial(file: Path, say: Callable[[str], None]) -> bool:
    """Try every policy type of `file` and run the tests in test_<file> beside it, a line each; whether all is well."""
    trial = _Trial(file.absolute(), say)
    try:
        plugins = discover([str(file.absolute())], Path())
        installed(plugins=plugins)
    except PluginError as error:
        say(str(error))
        return False
    with trial.importable(plugins):
        tests = trial.load_tests()
        for plugin in plugins:
            trial.try_policy(plugin, tests)
        if tests is not None:
            trial.run_own(tests)
    say(trial.outcome.text)
    return not trial.outcome.failed


class _Trial:
    def __init__(self, file: Path, say: Callable[[str], None]) -> None:
        self.file = file
        self.tests_file = file.with_name(f"test_{file.name}")
        self.say = say
        self.outcome = Outcome()

    @contextmanager
    def importable(self, plugins: list[Plugin]) -> Iterator[None]:
        """Meanwhile the tests can import the file by its name, and get the classes that were found in it."""
        stem, folder = self.file.stem, str(self.file.parent)
        hidden = sys.modules.get(stem)
        sys.modules[stem] = sys.modules[plugins[0].policy.__module__]
        sys.path.insert(0, folder)
        try:
            yield
        finally:
            sys.path.remove(folder)
            del sys.modules[stem]
            if hidden is not None:
                sys.modules[stem] = hidden

    def load_tests(self) -> ModuleType | None:
        """The module of its own tests; None where there is none. One that cannot be imported is a failure."""
        if not self.tests_file.exists():
            self.say(f"no tests of its own: {self.tests_file.name} does not exist")
            return None
        name = self.tests_file.stem
        spec = importlib.util.spec_from_file_location(name, self.tests_file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            self._fail(f"{self.tests_file.name} cannot be imported", error)
            return None
        return module

    def try_policy(self, plugin: Plugin, tests: ModuleType | None) -> None:
        """What every policy owes, for the configs of its conformance class, else for its example."""
        policy = plugin.policy
        self.say(f"{policy.type} ({plugin.origin})")
        if policy.example:
            self._run("its example can be used", _default_suite(policy)().test_equal_configs_have_equal_hashes)
        for suite in _suites(tests, policy) or [_default_suite(policy)]:
            for name in (name for name in dir(suite) if name.startswith("test_")):
                self._run(_words(name), getattr(suite(), name))
            self._run("its conditions can be scanned for", lambda suite=suite: _compile(suite))  # type: ignore[misc]
            self._say_cost(policy, suite)

    def run_own(self, tests: ModuleType) -> None:
        """The functions and classes of the test file, but for what has been run already."""
        self.say(self.tests_file.name)
        for name, value in list(vars(tests).items()):
            if inspect.isfunction(value) and name.startswith("test_"):
                self._run_plain(name, value)
            elif inspect.isclass(value) and name.startswith("Test") and not issubclass(value, PolicyConformance):
                for method in (method for method in dir(value) if method.startswith("test_")):
                    self._run_plain(f"{name}.{method}", lambda value=value, method=method: getattr(value(), method)())

    def _run_plain(self, name: str, test: Callable[..., Any]) -> None:
        asked = [p for p in inspect.signature(test).parameters.values() if p.default is p.empty]
        if asked or inspect.iscoroutinefunction(test):
            self.outcome.skipped += 1
            self.say(
                f"  skip  {_words(name)}: takes {', '.join(p.name for p in asked) or 'a loop'}, which needs pytest"
            )
        else:
            self._run(_words(name), test)

    def _run(self, what: str, test: Callable[[], object]) -> None:
        try:
            test()
        except (Exception, SystemExit) as error:
            self._fail(what, error)
        else:
            self.outcome.passed += 1
            self.say(f"  ok    {what}")

    def _fail(self, what: str, error: BaseException) -> None:
        self.outcome.failed += 1
        self.say(f"  FAIL  {what}: {_failure(error, self.file.parent)}")

    def _say_cost(self, policy: type[Policy], suite: type[PolicyConformance]) -> None:
        try:
            cost = max(
                (cost_of(suite()._build(config), monotonic_s) for config in suite.configs), default=Cost(0, False)
            )
        except (Exception, SystemExit):  # has been told as a failure above
            return
        how = "asked once for each outcome of its conditions" if cost.remembered else "asked about every trace"
        self.say(f"  note  {cost.text}, {how}")
        if cost.too_slow:
            self.say("  warn  that is slow: a worker limits the time of plugins and asks a slow one about a share only")


def _suites(tests: ModuleType | None, policy: type[Policy]) -> list[type[PolicyConformance]]:
    """The conformance classes that the tests define for a policy."""
    return [
        value
        for value in (vars(tests).values() if tests else ())
        if inspect.isclass(value)
        and issubclass(value, PolicyConformance)
        and value is not PolicyConformance
        and getattr(value, "policy", None) is policy
    ]


def _default_suite(policy: type[Policy]) -> type[PolicyConformance]:
    config = example_spec(policy).get(policy.type, {})
    return type("Example", (PolicyConformance,), {"policy": policy, "configs": (config,)})


def _compile(suite: type[PolicyConformance]) -> None:
    for config in suite.configs:
        compile_plan(suite()._build(config).span_conditions)


def _words(name: str) -> str:
    return name.removeprefix("test_").replace("_", " ")


def _failure(error: BaseException, folder: Path) -> str:
    """What a failed test says: the message, or the assertion itself, and the last line of the author's own code."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).parent == folder]
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames and frames[-1].lineno else ""
    text = " ".join(str(error).split())
    if isinstance(error, PolicyConfigError):
        return f"{text}: give configs in a PolicyConformance class of the test file, or an `example`{place}"
    if isinstance(error, AssertionError):
        if not text and frames and frames[-1].lineno:
            text = linecache.getline(frames[-1].filename, frames[-1].lineno).strip()
        return f"{text or 'assertion failed'}{place}"
    return f"{type(error).__name__}: {text}{place}"
