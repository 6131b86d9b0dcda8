"""From a parsed file to a model, with every mistake told at its line in words for people."""

from __future__ import annotations

import types
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from policies.errors import PLAIN_WORDS, nearest
from sampler.config.document import Document
from sampler.config.errors import ConfigError, KeyPath, Problem

Model = TypeVar("Model", bound=BaseModel)

_PLAIN = {
    **PLAIN_WORDS,
    "missing": "is required",
    "int_parsing": "must be a whole number",
    "float_parsing": "must be a number",
    "bool_parsing": "must be true or false",
}


def build_model(model: type[Model], data: Any, document: Document, base: KeyPath = ()) -> Model:
    """A `model` from `data`, which stands at `base` in the document. ConfigError with all that is wrong."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError(validation_problems(error, model, document, base)) from None


def validation_problems(
    error: ValidationError, model: type[BaseModel], document: Document, base: KeyPath = ()
) -> list[Problem]:
    """One problem for each place pydantic complains of, by line."""
    found: dict[KeyPath, Problem] = {}
    for item in error.errors(include_url=False, include_input=False, include_context=True):
        path = _data_path(item["loc"], model)
        message = _message(item)
        suggestion = None
        if item["type"] == "extra_forbidden":
            message = "unknown key"
            suggestion = nearest(str(path[-1]), known_keys(model, path[:-1]))
        found.setdefault((*base, *path), document.problem((*base, *path), message, suggestion))
    return sorted(found.values(), key=lambda problem: problem.line or 0)


def known_keys(model: type[BaseModel], path: KeyPath) -> tuple[str, ...]:
    """The keys a mapping at `path` of a model may hold."""
    owner = _model_at(model, path)
    return tuple(owner.model_fields) if owner else ()


def _message(item: Any) -> str:
    if item["type"] == "value_error":
        return str(item["ctx"]["error"])
    if item["type"] == "literal_error":
        return f"must be one of {item['ctx']['expected'].replace(' or ', ', ')}"
    if item["type"] == "string_pattern_mismatch":
        return "has characters that are not allowed here"
    # Secrets report the second one.
    of_text = item["type"] == "string_too_short" or item.get("ctx", {}).get("field_type") == "Value"
    if of_text and item["ctx"]["min_length"] > 1:
        return f"must have at least {item['ctx']['min_length']} characters"
    plain = _PLAIN.get(item["type"])
    if plain:
        return plain
    text: str = item["msg"]
    return text.replace("Input should be", "must be")


def _data_path(loc: KeyPath, model: type[BaseModel]) -> KeyPath:
    """`loc` without the parts that name a branch of a union or a key being checked."""
    path: KeyPath = ()
    for part in loc:
        if part == "[key]" or (path and _model_at(model, path) is None and isinstance(part, str) and "[" in part):
            break
        path = (*path, part)
        if isinstance(part, str) and _is_union_leaf(model, path):
            return path
    return path


def _is_union_leaf(model: type[BaseModel], path: KeyPath) -> bool:
    owner = _model_at(model, path[:-1])
    field = owner.model_fields.get(str(path[-1])) if owner else None
    if field is None or get_origin(field.annotation) not in {Union, types.UnionType}:
        return False
    return _model_at(model, path) is None


def _model_at(model: type[BaseModel], path: KeyPath) -> type[BaseModel] | None:
    owner: type[BaseModel] | None = model
    named = False
    for part in path:
        if named:
            # A key of a mapping from names to models.
            named = False
            continue
        if isinstance(part, int):
            # An element of a list of models.
            continue
        field = owner.model_fields.get(str(part)) if owner else None
        owner = _model_in(field.annotation) if field else None
        named = field is not None and get_origin(field.annotation) is dict
    return None if named else owner


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for arg in get_args(annotation) if (found := _model_in(arg))), None)
