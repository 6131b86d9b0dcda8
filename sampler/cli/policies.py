"""`tailsampler policies`."""

from __future__ import annotations

import inspect
import json
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click


@click.group()
def policies() -> None:
    """The policy types that can be used, built-in and from plugins."""


@policies.command(name="list", short_help="List the policy types.")
def list_() -> None:
    """List the policy types that are installed, each with what it does."""
    from policies.registry import BrokenPolicyError, installed

    registry = installed()
    width = max(len(name) for name in registry.names)
    for name in registry.names:
        try:
            summary = (inspect.getdoc(registry.get(name)) or "").split("\n", 1)[0]
        except BrokenPolicyError as error:
            summary = f"cannot be used: {error}"
        click.echo(f"{name:<{width}}  {summary}")


@policies.command(short_help="Describe one policy type.")
@click.argument("type_name", metavar="TYPE")
def describe(type_name: str) -> None:
    """Say what a policy type keeps, and its settings with their types and defaults."""
    from policies.registry import BrokenPolicyError, UnknownPolicyTypeError, installed

    try:
        found = installed().get(type_name)
    except UnknownPolicyTypeError as error:
        hint = f"; did you mean {error.suggestion}?" if error.suggestion else ""
        raise click.BadParameter(f"{error}{hint}", param_hint="TYPE") from error
    except BrokenPolicyError as error:
        raise click.ClickException(str(error)) from error
    click.echo(inspect.getdoc(found) or found.__name__)
    fields = found.Config.model_fields
    if not fields:
        click.echo("\nIt has no settings.")
        return
    click.echo(f"\nSettings, below {type_name}: ({inspect.getdoc(found.Config) or ''})")
    for name, field in fields.items():
        value = json.dumps(field.get_default(call_default_factory=True), default=str)
        default = "required" if field.is_required() else f"default {value}"
        click.echo(f"  {name}: {_in_words(field.annotation)}, {default}")


_WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false", dict: "mapping"}


def _in_words(kind: Any) -> str:
    """A type as somebody writes it in YAML."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _in_words(arguments[0])
    if origin is Literal:
        return " or ".join(map(str, arguments))
    if origin in {list, tuple, frozenset, set}:
        return f"list of {_in_words(arguments[0])}"
    if origin in {Union, UnionType}:
        return " or ".join(_in_words(each) for each in arguments if each is not NoneType)
    return _WORDS.get(origin or kind, getattr(kind, "__name__", "any"))
