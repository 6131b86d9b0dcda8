"""`tailsampler config`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from sampler.cli.options import EXIT_WRONG_INPUT, FILE, brokers_option, config_option, read_config, read_policies


@click.group()
def config() -> None:
    """Check configuration files, print what is in force, print the JSON Schema."""


@config.command(short_help="Check config.yaml and policies.yaml.")
@config_option
@click.option("--policies", "policies_path", type=FILE, metavar="FILE", help="Policies to check too.")
def check(config_path: Path | None, policies_path: Path | None) -> int:
    """Check files without starting anything. Every mistake is one line; exit code 2 where there is one."""
    if config_path is None and policies_path is None:
        raise click.UsageError("name what to check: --config FILE, --policies FILE or both")
    from sampler.config.errors import ConfigError

    wrong = False
    try:
        if config_path is not None:
            read_config(config_path)
            click.echo(f"{config_path}: ok")
    except ConfigError as error:
        click.echo(str(error), err=True)
        wrong = True
    if policies_path is not None:
        found = read_policies(policies_path, say_notes=False)
        click.echo(f"{policies_path}: ok, {len(found.policy_set.names)} policies")
        click.echo("".join(f"  {line}\n" for line in found.policy_set.describe().splitlines()), nl=False)
        for note in found.notes:
            click.echo(f"  note: {note}")
    return EXIT_WRONG_INPUT if wrong else 0


@config.command(name="print", short_help="Print the configuration in force.")
@config_option
@brokers_option
def print_(config_path: Path | None, brokers: str | None) -> None:
    """Print the configuration in force as YAML: file, variables and defaults together, secrets as asterisks."""
    import yaml

    from sampler.config.base import dump_public

    shown = dump_public(read_config(config_path, brokers))
    click.echo(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True), nl=False)


@config.command(short_help="Print the JSON Schema of a file.")
@click.argument("which", type=click.Choice(["config", "policies"]), default="config")
def schema(which: str) -> None:
    """Print the JSON Schema of config.yaml or policies.yaml, for editors and checks elsewhere."""
    from sampler.config.schema import schema_of

    click.echo(json.dumps(schema_of(which), indent=2, ensure_ascii=False))
