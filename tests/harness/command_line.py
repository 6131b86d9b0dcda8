"""Command lines in files and pages, held against the real one without running anything."""

from __future__ import annotations

from collections.abc import Sequence

import click

from sampler.cli.root import cli


def mistakes(arguments: Sequence[str]) -> str:
    """What is wrong with the arguments of a `tailsampler` command, empty where they parse.

    Commands, options, their values and required ones are looked at; whether files exist is not.
    """
    command: click.Command = cli
    context = click.Context(cli, info_name="tailsampler")
    left = list(arguments)
    try:
        while isinstance(command, click.Group):
            if not left or left in (["--help"], ["--version"]):
                return ""
            name, found, left = command.resolve_command(context, left)
            assert found is not None
            command, context = found, click.Context(found, info_name=name, parent=context)
        if "--help" in left:
            return ""
        given, rest, _ = command.make_parser(context).parse_args(args=list(left))
        for parameter in command.get_params(context):
            value = given.get(parameter.name or "")
            if value is None and parameter.required:
                return f"{command.name}: {parameter.get_error_hint(context)} is missing"
            _convert(context, parameter, value)
    except click.ClickException as error:
        return error.format_message()
    return f"{command.name}: too many arguments: {rest}" if rest else ""


def _convert(context: click.Context, parameter: click.Parameter, value: object) -> None:
    """Look at a value as the command would; files need not be there, and flags have none."""
    if value is None or isinstance(parameter.type, click.Path) or getattr(parameter, "is_flag", False):
        return
    parameter.process_value(context, parameter.type_cast_value(context, value))
