"""`tailsampler validate`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from sampler.cli.options import EXIT_WRONG_INPUT, plugins_option

if TYPE_CHECKING:
    from sampler.config.errors import Problem
    from sampler.config.models import Config
    from sampler.config.policies import PolicyFile


@dataclass(frozen=True, slots=True)
class Finding:
    """What is to be said of one file."""

    path: str
    kind: str
    """config or policies; empty where the file cannot be read."""
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    """The policies in order of evaluation, a line each; a line with its name before those of a tenant."""
    policy_count: int = 0

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {**asdict(self), "valid": not self.problems}


@click.command(short_help="Check configuration and policy files.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="text: a line for each mistake and note; json: one object.",
)  # fmt: skip
@click.option(
    "--no-files", is_flag=True,
    help="Do not look whether the files that a configuration names can be read: they are on another machine.",
)  # fmt: skip
@plugins_option
def validate(files: tuple[str, ...], output: str, no_files: bool, plugins: tuple[str, ...]) -> int:
    """Check files without starting anything: config.yaml, policies, or a Collector's whole configuration.

    Which one a FILE is follows from what it holds. FILE#tail_sampling/name checks one block of several. Policies are
    checked together with every configuration that is named beside them. Exit code 2 where there is a mistake.
    """
    findings = look_at(files, plugins, named_files=not no_files)
    if output == "json":
        shown = {
            "valid": not any(found.problems for found in findings),
            "files": [found.as_json() for found in findings],
        }
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        for found in findings:
            _say(found)
    return EXIT_WRONG_INPUT if any(found.problems for found in findings) else 0


def look_at(files: Sequence[str], plugins: Sequence[str] = (), *, named_files: bool = True) -> list[Finding]:
    """What is right and wrong in files, each by itself and policies with the configurations.

    With `named_files` those that a configuration names, certificates and the like, must be there.
    """
    from sampler.config.models import Config
    from sampler.config.policies import PolicyFile
    from sampler.cross_check import problems, remarks

    read = [_read(file, plugins, named_files=named_files) for file in files]
    configs = [config for _, config in read if isinstance(config, Config)]
    findings = []
    for finding, policies in read:
        if not isinstance(policies, PolicyFile):
            findings.append(finding)
            continue
        together = tuple(dict.fromkeys(found for config in configs for found in problems(config, policies)))
        said = dict.fromkeys(f"{finding.path}: {text}" for config in configs for text in remarks(config, policies))
        findings.append(replace(finding, problems=together, notes=(*finding.notes, *said)))
    return findings


def _read(file: str, plugins: Sequence[str], *, named_files: bool) -> tuple[Finding, Config | PolicyFile | None]:
    from sampler.config.collector import split_selector
    from sampler.config.detect import kind_of
    from sampler.config.document import read_document
    from sampler.config.errors import ConfigError
    from sampler.config.load import config_of
    from sampler.config.named_files import file_problems
    from sampler.config.policies import policies_of
    from sampler.scan_plan import plan_of

    kind = ""
    try:
        path, wanted = split_selector(file)
        document = read_document(path, lenient=True)
        kind = "policies" if wanted else kind_of(document)
        if kind == "config":
            config = config_of(document)
            return Finding(file, kind, tuple(file_problems(config, document) if named_files else ())), config
        found = policies_of(document, wanted, plugins)
        plan_of(found)
    except ConfigError as error:
        return Finding(file, kind, error.problems), None
    policies, count = tuple(found.policy_set.describe().splitlines()), len(found.policy_set.names)
    return Finding(file, kind, notes=found.notes, policies=policies, policy_count=count), found


def _say(found: Finding) -> None:
    for problem in found.problems:
        click.echo(str(problem), err=True)
    if found.problems:
        return
    plural = "policy" if found.policy_count == 1 else "policies"
    what = f"{found.policy_count} {plural}" if found.kind == "policies" else "configuration"
    click.echo(f"{found.path}: valid, {what}")
    for line in found.policies:
        click.echo(f"  {line}")
    for note in found.notes:
        click.echo(f"note: {note}")
