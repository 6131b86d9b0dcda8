"""An example of a policy's settings, made from its model where its author has given none."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from annotated_types import Ge, Gt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from policies.contract import Policy

_NUMBERS = {int: 1, float: 1.0}
_OTHERS = {str: "text", bool: True, dict: {}}
_SUB_POLICY = {"type": "always_sample"}


def example_spec(policy: type[Policy]) -> dict[str, Any]:
    """A policy of this type as it stands in the list of a policy file."""
    shipped = next((spec for spec in _shipped() if spec["type"] == policy.type), None)
    if shipped is not None and policy.__module__.startswith("policies."):
        return shipped
    config = dict(policy.example) or example_config(policy.Config)
    block = {policy.type: config} if config else {}
    return {"name": f"my-{policy.type.replace('_', '-')}", "type": policy.type, **block}


def _shipped() -> list[dict[str, Any]]:
    """Those of the types that are part of tailsampler."""
    text = resources.files("sampler.plugins").joinpath("examples.yaml").read_text(encoding="utf-8")
    shipped: list[dict[str, Any]] = yaml.safe_load(text)
    return shipped


def example_config(model: type[BaseModel]) -> dict[str, Any]:
    """Values for all fields that have one: the field's own example, its default, or what its type allows."""
    shown: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        value = _value(name, field)
        if value is not None:
            shown[name] = value
    return shown


def _value(name: str, field: FieldInfo) -> Any:
    if field.examples:
        return field.examples[0]
    if not field.is_required():
        return _plain(field.get_default(call_default_factory=True))
    return _of_type(name, field.annotation, field.metadata)


def _of_type(name: str, kind: Any, limits: list[Any]) -> Any:  # noqa: PLR0911 - one line a kind of type
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _of_type(name, arguments[0], [*limits, *arguments[1:]])
    if origin is Literal:
        return arguments[0]
    if origin in {Union, UnionType}:
        return _of_type(name, next(each for each in arguments if each is not NoneType), limits)
    if origin in {list, tuple, set, frozenset}:
        return [_of_type(name, arguments[0], [])]
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return example_config(kind)
    if (origin or kind) is dict and "polic" in name:
        return dict(_SUB_POLICY)
    if kind in _NUMBERS:
        bounds = [limit.ge for limit in limits if isinstance(limit, Ge) and isinstance(limit.ge, int | float)]
        bounds += [limit.gt + 1 for limit in limits if isinstance(limit, Gt) and isinstance(limit.gt, int | float)]
        return kind(max([_NUMBERS[kind], *bounds]))
    return _OTHERS.get(origin or kind, "text")


def _plain(value: Any) -> Any:
    """A default as YAML would hold it."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list | set | frozenset):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | NoneType) else str(value)
