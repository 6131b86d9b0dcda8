"""Indexing: `attributes["a"]["b"][0]` in the data, `Split(name, "/")[1]` in what a converter gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from policies.ottl.errors import EvaluationError
from policies.ottl.frame import Frame, Getter
from policies.ottl.kinds import PMap, PSlice, Strings, type_name


def key_of_map(key: Getter, frame: Frame) -> str:
    """The value of a key that indexes a map."""
    value = key.get(frame)
    if type(value) is not str:
        raise EvaluationError(f"a map is indexed by a string, not by {type_name(value)}")
    return value


def _place(key: Getter, frame: Frame, length: int) -> int:
    value = key.get(frame)
    if type(value) is not int:
        raise EvaluationError(f"a list is indexed by an integer, not by {type_name(value)}")
    if not 0 <= value < length:
        raise EvaluationError(f"index {value} of a list of {length}")
    return value


def in_data(value: Any, keys: Sequence[Getter], frame: Frame) -> Any:
    """A value of the data, indexed: a key that a map lacks gives nil, whatever keys follow."""
    for key in keys:
        if isinstance(value, PMap):
            name = key_of_map(key, frame)
            if name not in value.first:
                return None
            value = value.first[name]
        elif isinstance(value, PSlice):
            value = value.items[_place(key, frame, len(value.items))]
        else:
            raise EvaluationError(f"{type_name(value)} cannot be indexed")
    return value


def in_result(value: Any, keys: Sequence[Getter], frame: Frame) -> Any:
    """The result of a converter, indexed: a key that a map lacks is an error."""
    for key in keys:
        index = key.get(frame)
        if type(index) is str and isinstance(value, PMap | dict):
            items = value.first if isinstance(value, PMap) else value
            if index not in items:
                raise EvaluationError("a key that the map does not have")
            value = items[index]
        elif type(index) is int and isinstance(value, PSlice | Strings | list):
            items_ = value if isinstance(value, list) else value.items
            if not 0 <= index < len(items_):
                raise EvaluationError(f"index {index} of a list of {len(items_)}")
            value = items_[index]
        else:
            raise EvaluationError(f"{type_name(value)} cannot be indexed by {type_name(index)}")
    return value
