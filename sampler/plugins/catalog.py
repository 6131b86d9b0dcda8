"""The policy types that can be used, and what their settings are, as text for people."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import Any, get_args

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from policies.contract import Policy
from policies.registry import BrokenPolicyError, Registry
from sampler.config.words import field_in_words
from sampler.plugins.example import example_spec


def list_lines(registry: Registry) -> Iterator[str]:
    """One line a policy type: its name, where it comes from, what it does."""
    rows = []
    for name in registry.names:
        try:
            summary = (inspect.getdoc(registry.get(name)) or "").split("\n", 1)[0]
        except BrokenPolicyError as error:
            summary = f"cannot be used: {error}"
        rows.append((name, registry.origin(name), summary))
    names, origins = (max(len(row[place]) for row in rows) for place in (0, 1))
    for name, origin, summary in rows:
        yield f"{name:<{names}}  {origin:<{origins}}  {summary}"


def describe_lines(registry: Registry, name: str) -> Iterator[str]:
    """What a policy type keeps, its settings, and an example; raises as `Registry.get` does."""
    policy = registry.get(name)
    yield f"{name} ({registry.origin(name)})"
    yield ""
    yield inspect.getdoc(policy) or policy.__name__
    yield ""
    if policy.Config.model_fields:
        about = " ".join((inspect.getdoc(policy.Config) or "").split())
        yield f"Settings, below {name}:{f' ({about})' if about else ''}"
        yield from _settings(policy.Config, "  ")
    else:
        yield "It has no settings."
    yield ""
    yield "Example:"
    yield from (f"  {line}" for line in example_yaml(policy).splitlines())


def example_yaml(policy: type[Policy]) -> str:
    """A policy of this type as it stands in the list of a policy file."""
    return yaml.safe_dump([example_spec(policy)], sort_keys=False, allow_unicode=True)


def _settings(model: type[BaseModel], indent: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield f"{indent}{name}: {field_in_words(name, field, code='')}, {_default(field)}"
        if field.description:
            yield f"{indent}    {' '.join(field.description.split())}"
        for inner in _models_in(field.annotation):
            yield from _settings(inner, indent + "    ")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return f"default {json.dumps(value, default=_plain, ensure_ascii=False)}"


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)


def _models_in(kind: Any) -> Iterator[type[BaseModel]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for argument in get_args(kind):
        yield from _models_in(argument)
