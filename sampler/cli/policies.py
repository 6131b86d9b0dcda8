"""`tailsampler policies`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sampler.cli.options import plugins_option

if TYPE_CHECKING:
    from policies.registry import Registry


@click.group(short_help="The policy types; plugins of your own.")
def policies() -> None:
    """The policy types that can be used, built-in and from plugins; plugins of your own."""


@policies.command(name="list", short_help="List the policy types.")
@plugins_option
def list_(plugins: tuple[str, ...]) -> None:
    """List the policy types that can be used: name, where it comes from, what it does."""
    from sampler.plugins.catalog import list_lines

    for line in list_lines(_registry(plugins)):
        click.echo(line)


@policies.command(short_help="Describe one policy type.")
@click.argument("type_name", metavar="TYPE")
@plugins_option
def describe(type_name: str, plugins: tuple[str, ...]) -> None:
    """Say what a policy type keeps, its settings with their types and defaults, and an example for a policy file."""
    from policies.registry import BrokenPolicyError, UnknownPolicyTypeError
    from sampler.plugins.catalog import describe_lines

    try:
        lines = list(describe_lines(_registry(plugins), type_name))
    except UnknownPolicyTypeError as error:
        hint = f"; did you mean {error.suggestion}?" if error.suggestion else ""
        raise click.BadParameter(f"{error}{hint}", param_hint="TYPE") from error
    except BrokenPolicyError as error:
        raise click.ClickException(str(error)) from error
    click.echo("\n".join(lines))


@policies.command(short_help="Begin a policy type of your own.")
@click.argument("name")
@click.option(
    "--folder", type=click.Path(file_okay=False, path_type=Path), default=Path(), metavar="DIR",
    help="Where to write; the current folder without.",
)  # fmt: skip
def new(name: str, folder: Path) -> int:
    """Write NAME.py, a policy that works, with its tests in test_NAME.py. Existing files are left as they are."""
    from policies.registry import installed
    from sampler.plugins.scaffold import ScaffoldError, begin

    try:
        plugin, tests = begin(name, folder, installed())
    except ScaffoldError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"wrote {plugin} and {tests}")
    click.echo(f"try it:  tailsampler policies test {plugin}")
    return 0


@policies.command(short_help="Try a plugin file.")
@click.argument("file", type=click.Path(dir_okay=False, exists=True, path_type=Path))
def test(file: Path) -> int:
    """Check that the policies of FILE keep the contract, and run the tests in test_FILE beside it.

    Each check is a line; exit code 1 where one fails. Tests that need pytest's fixtures are skipped.
    """
    from sampler.plugins.trial import run_trial

    return 0 if run_trial(file, click.echo) else 1


def _registry(plugins: tuple[str, ...]) -> Registry:
    from sampler.config.plugins import given_registry

    return given_registry(plugins)
