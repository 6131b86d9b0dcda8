"""The command: policy files and input files in, one JSON object a trace or tables out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from sampler.config import ConfigError, PolicyFile, load_policies
from sampler.otlp import get_scanner
from sampler.scan_plan import plan_of
from sampler.simulate.inputs import InputError, read_inputs
from sampler.simulate.offline import simulate
from sampler.simulate.results import json_lines, table_lines

EXIT_USAGE = 2


def run_simulate(
    policies: Sequence[Path],
    inputs: Sequence[Path],
    output: Literal["json", "table"] = "json",
    plugins: Sequence[str] = (),
) -> int:
    """Decide the traces of `inputs` by each of `policies` and print the result; exit code 0, or 2 for a wrong file.

    `plugins` are looked for beside those that the files name.
    """
    try:
        files = _load(policies, plugins)
        result = simulate(list(files.values()), read_inputs(inputs), get_scanner(), written=output == "table")
    except (ConfigError, InputError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    _say_notes(files)
    if result.invalid_spans:
        print(
            f"warning: {result.invalid_spans:,} spans without a valid trace id and span id were left out",
            file=sys.stderr,
        )
    for stem, outcome in zip(files, result.outcomes, strict=True):
        for policy, what in outcome.policy_errors.items():
            print(f"warning: {stem}: policy {policy} failed and cast no vote: {what}", file=sys.stderr)
    lines = json_lines if output == "json" else table_lines
    for line in lines(files, result):
        print(line)
    return 0


def _load(paths: Sequence[Path], plugins: Sequence[str]) -> dict[str, PolicyFile]:
    """The policy files by the stem of their name, which must be different ones."""
    files: dict[str, PolicyFile] = {}
    for path in paths:
        if path.stem in files:
            raise ConfigError.single(
                str(path), None, "", f"another policy file is called {path.stem!r} too: results carry that name"
            )
        files[path.stem] = load_policies(path, plugins=plugins)
        plan_of(files[path.stem])
    return files


def _say_notes(files: dict[str, PolicyFile]) -> None:
    for file in files.values():
        for note in file.notes:
            print(f"note: {note}", file=sys.stderr)
        if file.policy_set.budgets:
            print(f"note: {file.path}: budget: files are decided at one moment: it cuts nothing", file=sys.stderr)
        if file.policy_set.by_header.name:
            print(
                f"note: {file.path}: tenants.header: files have no headers, so the default policies decide every trace",
                file=sys.stderr,
            )
