"""`tailsampler config`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from sampler.cli.options import FILE, brokers_option, config_option, plugins_option, read_config


@click.group(short_help="Print the configuration or its JSON Schema.")
def config() -> None:
    """Print the configuration or its JSON Schema; `tailsampler validate` checks files."""


@config.command(name="print", short_help="Print the configuration.")
@config_option
@brokers_option
@click.option("--policies", "policies_path", type=FILE, metavar="FILE", help="Policies to print too.")
@plugins_option
@click.option("--resolved", is_flag=True, help="Also print what is not set, with its default: all that is in force.")
def print_(
    config_path: Path | None,
    brokers: str | None,
    policies_path: Path | None,
    plugins: tuple[str, ...],
    resolved: bool,
) -> None:
    """Print the configuration as YAML, variables filled in, secrets as asterisks, policies in a document of their own.

    What is printed can be read back, but for the secrets.
    """
    import yaml

    from sampler.config.policies import load_policies
    from sampler.config.resolved import config_tree, policies_tree

    trees = [config_tree(read_config(config_path, brokers), defaults=resolved)]
    if policies_path is not None:
        trees.append(policies_tree(load_policies(policies_path, plugins=plugins), defaults=resolved))
    click.echo(yaml.safe_dump_all(trees, sort_keys=False, allow_unicode=True), nl=False)


@config.command(short_help="Print the JSON Schema of a file.")
@click.argument("which", type=click.Choice(["config", "policies"]), default="config")
def schema(which: str) -> None:
    """Print the JSON Schema of config.yaml or policies.yaml, for editors and checks elsewhere."""
    from sampler.config.schema import schema_of

    click.echo(json.dumps(schema_of(which), indent=2, ensure_ascii=False))
