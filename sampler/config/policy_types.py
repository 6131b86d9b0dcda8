"""The policy types that come with this distribution, for the JSON Schema and the reference page."""

from __future__ import annotations

import copy
from importlib.metadata import entry_points
from inspect import getdoc
from typing import Any, Final, Literal

from pydantic.json_schema import models_json_schema

from policies.contract import Policy, PolicyConfig
from policies.registry import GROUP, Registry
from sampler.config.words import holds_policies

OWN = "policies.builtin."
"""Where the modules of our own policies are; what else stands in the entry-point group is somebody's plugin."""

NO_SETTINGS = "It has no settings."

_REFS = "#/$defs/"
JSON: Final[Literal["validation"]] = "validation"


def built_in() -> dict[str, type[Policy]]:
    """Our own policy types by name, sorted."""
    points = [point for point in entry_points(group=GROUP) if point.value.startswith(OWN)]
    registry = Registry(points)
    return {name: registry.get(name) for name in registry.names}


def settings_definitions() -> dict[str, Any]:
    """JSON Schema definitions `settings.TYPE` for each type of ours, and those that they refer to."""
    types = built_in()
    models = [(policy.Config, JSON) for policy in types.values()]
    references, generated = models_json_schema(models, ref_template=_REFS + "{model}")
    definitions: dict[str, Any] = generated.get("$defs", {})
    settings = {}
    for name, policy in types.items():
        made = references[policy.Config, JSON]["$ref"].removeprefix(_REFS)
        schema = settings[f"settings.{name}"] = copy.deepcopy(definitions[made])
        schema["title"] = name
        if policy.Config is PolicyConfig:
            schema["description"] = NO_SETTINGS
    used = {references[model]["$ref"].removeprefix(_REFS) for model in models}
    settings.update({name: schema for name, schema in definitions.items() if name not in used})
    for schema in settings.values():
        _point_to_policies(schema)
        _name_bounds(schema)
    return settings


def policy_definitions() -> dict[str, Any]:
    """JSON Schema definitions: `policy` and `sub_policy`, and `policy.TYPE` for each type of ours.

    A policy of any other type is a plugin's and may hold anything.
    """
    types = built_in()
    ours = {f"policy.{name}": _policy_schema(name, policy) for name, policy in types.items()}
    branches = {name: {"$ref": f"{_REFS}policy.{name}"} for name in types}
    named = {"name": {"type": "string", "minLength": 1}}
    return {
        **ours,
        "policy.other": _plugin_schema(list(types)),
        "policy": {
            "required": ["name", "type"],
            "properties": named,
            "oneOf": [*branches.values(), {"$ref": f"{_REFS}policy.other"}],
        },
        "sub_policy": {
            "required": ["type"],
            "properties": {"on_error": False},
            "oneOf": [
                *(branch for name, branch in branches.items() if not types[name].drops),
                {"$ref": f"{_REFS}policy.other"},
            ],
        },
    }


def _name_bounds(schema: Any) -> None:
    """Bounds of annotated types, which pydantic leaves under its own names, by those of JSON Schema."""
    for item in schema if isinstance(schema, list) else schema.values() if isinstance(schema, dict) else ():
        _name_bounds(item)
    if isinstance(schema, dict) and schema.get("type") in ("integer", "number"):
        for own, known in (
            ("ge", "minimum"),
            ("le", "maximum"),
            ("gt", "exclusiveMinimum"),
            ("lt", "exclusiveMaximum"),
        ):
            if own in schema:
                schema[known] = schema.pop(own)


def _point_to_policies(schema: dict[str, Any]) -> None:
    """Puts `sub_policy` where a setting holds policies, which its model knows as mappings only."""
    reference = {"$ref": f"{_REFS}sub_policy"}
    for name, prop in schema.get("properties", {}).items():
        if not holds_policies(name):
            continue
        for place in (prop, *prop.get("anyOf", ())):
            if place.get("type") == "array" and _is_any_mapping(place.get("items")):
                place["items"] = reference
            elif _is_any_mapping(place):
                del place["type"], place["additionalProperties"]
                place.update(reference)


def _is_any_mapping(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("type") == "object" and schema.get("additionalProperties") is True


def _policy_schema(name: str, policy: type[Policy]) -> dict[str, Any]:
    return {
        "type": "object",
        "description": getdoc(policy) or "",
        "properties": {
            "name": {"type": "string", "description": "Unique in the list; written on the spans it keeps."},
            "type": {"const": name},
            "on_error": {"enum": ["skip", "keep"], "description": "What it says of a trace on which it fails."},
            name: {"$ref": f"{_REFS}settings.{name}"},
        },
        "required": ["type"],
        "additionalProperties": False,
    }


def _plugin_schema(own: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "description": "A policy of a plugin; its settings are checked at load.",
        "properties": {
            "name": {"type": "string"},
            "type": {"type": "string", "not": {"enum": own}},
            "on_error": {"enum": ["skip", "keep"]},
        },
        "required": ["type"],
    }
