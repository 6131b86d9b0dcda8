"""The type of a setting in the words of somebody who writes YAML."""

from __future__ import annotations

import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from sampler.config.units import Duration

_PLAIN: dict[Any, tuple[str, str]] = {
    Duration: ("duration", "durations"),
    SecretStr: ("secret text", "secret texts"),
    bool: ("true or false", "true or false"),
    int: ("whole number", "whole numbers"),
    float: ("number", "numbers"),
    str: ("text", "texts"),
    dict: ("mapping", "mappings"),
}


def holds_policies(name: str) -> bool:
    """Whether a setting of this name that holds mappings holds policies: its model does not say."""
    return "polic" in name or name == "when"


def in_words(kind: Any, *, many: bool = False) -> str:
    """A type as somebody writes it in YAML; with `many` in the plural."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return in_words(as_written(*arguments), many=many)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in {Union, types.UnionType}:
        return " or ".join(dict.fromkeys(in_words(each, many=many) for each in arguments if each is not types.NoneType))
    if origin in {list, tuple, set, frozenset}:
        return f"{'lists' if many else 'list'} of {in_words(arguments[0], many=True)}"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        kind = dict
    return _PLAIN.get(origin or kind, ("value", "values"))[many]


def as_written(kind: Any, *annotations: Any) -> Any:
    """What may be written where a model reads values of its own type from others."""
    for each in annotations:
        if isinstance(each, BeforeValidator) and each.json_schema_input_type is not PydanticUndefined:
            return each.json_schema_input_type
    return kind


def field_in_words(name: str, field: FieldInfo, *, code: str = "`") -> str:
    """The type of a setting; sizes and policies are told by how they are read and by their name.

    Words to be written as they are stand between `code`.
    """
    if any("parse_size" in repr(part) for part in field.metadata):
        return "size"
    text = in_words(as_written(field.annotation, *field.metadata)).replace("`", code)
    if holds_policies(name):
        text = text.replace("list of mappings", "list of policies").replace("mapping", "policy")
    return text
