"""Values in another YAML type than a setting has, where only one thing can be meant.

A Collector takes a text with commas for a list and cuts a fraction off a whole number
(confmap's decoder: StringToSliceHookFunc, mapstructure's decodeInt); up to 0.103 it also took numbers and truth values
in quotes, numbers for texts and one value for a list of one (WeaklyTypedInput). Files written for any of them load.
"""

from __future__ import annotations

import json
import math
import re
import types
from collections.abc import Mapping
from typing import Annotated, Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from sampler.config.document import VariableText
from sampler.config.errors import KeyPath
from sampler.config.notes import Notes
from sampler.config.words import as_written

MAX_SHOWN = 100
_INT = re.compile(r"[-+]?[0-9]{1,30}")
_UNDERSCORE = re.compile(r"(?<=[0-9])_(?=[0-9])")  # a Collector reads 1_000 as a number, YAML 1.2 as text
_FLOAT = re.compile(r"[-+]?(?:[0-9]{1,30}\.?[0-9]{0,30}|\.[0-9]{1,30})(?:[eE][-+]?[0-9]{1,3})?")


def coerce(model: type[BaseModel], data: Mapping[str, Any], path: KeyPath, notes: Notes) -> dict[str, Any]:
    """The settings of a model at `path`, each in its own type; what cannot be meant is left for the model to refuse."""
    fields = model.model_fields
    return {
        key: _value(fields[key].annotation, value, (*path, key), notes) if _is_ours(fields.get(key), value) else value
        for key, value in data.items()
    }


def _is_ours(field: FieldInfo | None, value: Any) -> bool:
    """Not where the model itself reads values of several types."""
    if field is None:
        return False
    return isinstance(value, str) or not any(isinstance(part, BeforeValidator) for part in field.metadata)


def _value(annotation: Any, value: Any, path: KeyPath, notes: Notes) -> Any:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _value(args[0], value, path, notes)
    if origin in {Union, types.UnionType}:
        return _any_of([arg for arg in args if arg is not type(None)], value, path, notes)
    if origin in {list, tuple, set, frozenset}:
        return _list(args[0] if args else Any, value, path, notes)
    if isinstance(value, dict):
        return _mapping(annotation, value, path, notes)
    return _scalar(annotation, value, path, notes)


def _mapping(annotation: Any, value: dict[str, Any], path: KeyPath, notes: Notes) -> dict[str, Any]:
    if get_origin(annotation) is dict:
        kind = get_args(annotation)[1]
        return {key: _value(kind, item, (*path, key), notes) for key, item in value.items()}
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return coerce(annotation, value, path, notes)
    return value


def _any_of(kinds: list[Any], value: Any, path: KeyPath, notes: Notes) -> Any:
    """A value that one of several kinds takes as it is stays; else the only kind there is decides."""
    if len(kinds) == 1:
        return _value(kinds[0], value, path, notes)
    if isinstance(value, VariableText) and not {int, float, bool} & set(kinds):
        return str(value)
    return value


def _list(kind: Any, value: Any, path: KeyPath, notes: Notes) -> Any:
    if isinstance(value, list):
        return [_value(kind, item, (*path, index), notes) for index, item in enumerate(value)]
    kinds = _plain(kind)
    if isinstance(value, str) and kinds == {str}:
        items = _flow_list(value) if isinstance(value, VariableText) else None
        if items is None:
            items = [item.strip() for item in value.split(",")] if value else []
            notes.add(
                path, f"is a text where a list is expected: taken as {_shown(items)}, cut at commas; write a list"
            )
        return items
    if dict in kinds if isinstance(value, dict) else _is_scalar(value) and kinds & {str, int, float}:
        notes.add(path, "is one value where a list is expected: taken as a list of one")
        return [_value(kind, value, (*path, 0), notes)]
    return value


def _shown(value: object) -> str:
    """A value as it is written in a file, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "..."


def _flow_list(text: str) -> list[Any] | None:
    """The items of a variable that holds a YAML list of plain words; a Collector reads it so."""
    if not text.startswith("["):
        return None
    try:
        root = yaml.compose(str(text), Loader=yaml.CSafeLoader) if text.count("[") == 1 and "{" not in text else None
    except yaml.YAMLError:
        return None
    if not isinstance(root, yaml.SequenceNode) or not all(isinstance(item, yaml.ScalarNode) for item in root.value):
        return None
    return [item.value for item in root.value]


def _plain(kind: Any) -> set[Any]:
    """What may be written for a kind, without what is annotated to it; `dict` for any mapping."""
    while get_origin(kind) is Annotated:
        kind = as_written(*get_args(kind))
    if get_origin(kind) in {Union, types.UnionType}:
        return {plain for each in get_args(kind) for plain in _plain(each)}
    is_model = isinstance(kind, type) and issubclass(kind, BaseModel)
    return {dict if is_model else get_origin(kind) or kind}


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _scalar(kind: Any, value: Any, path: KeyPath, notes: Notes) -> Any:
    if kind is str and _is_scalar(value) and not (isinstance(value, str) and not isinstance(value, VariableText)):
        if isinstance(value, VariableText):
            return str(value)
        text = str(value).lower() if isinstance(value, bool) else str(value)
        notes.add(path, f"is {_named(value)} where text is expected: taken as {_shown(text)}; put it in quotes")
        return text
    if kind is bool and isinstance(value, str) and value.lower() in {"true", "false"}:
        return _told(value, value.lower() == "true", path, notes)
    if kind in {int, float} and isinstance(value, str):
        number = _number(kind, value.strip(), path)
        return value if number is None else _whole(kind, _told(value, number, path, notes), path, notes)
    return _whole(kind, value, path, notes)


def _named(value: object) -> str:
    return "a truth value" if isinstance(value, bool) else "a number"


def _told(text: str, value: Any, path: KeyPath, notes: Notes) -> Any:
    if not isinstance(text, VariableText):
        how = "underscores" if "_" in text else "quotes"
        notes.add(path, f"is text where {_named(value)} is expected: taken as {_shown(value)}; write it without {how}")
    return value


def _number(kind: type, text: str, path: KeyPath) -> int | float | None:
    if "percent" in str(path[-1]):
        text = text.removesuffix("%").rstrip()
    text = _UNDERSCORE.sub("", text)
    if _INT.fullmatch(text):
        return int(text) if kind is int else float(text)
    return float(text) if _FLOAT.fullmatch(text) else None


def _whole(kind: Any, value: Any, path: KeyPath, notes: Notes) -> Any:
    """A whole number from one with a fraction, which is cut off as the Collector does."""
    if kind is not int or not isinstance(value, float) or not math.isfinite(value) or abs(value) >= 2**63:
        return value
    if value != int(value):
        notes.add(
            path, f"is {_shown(value)} where a whole number is expected: taken as {int(value)}, as in the Collector"
        )
    return int(value)
