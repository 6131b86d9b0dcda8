"""Binds the arguments of a call to the parameters of its converter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from policies.conditions import Field
from policies.errors import nearest
from policies.ottl.errors import EvaluationError, OttlError
from policies.ottl.frame import Frame, Getter
from policies.ottl.functions import UNKNOWN, Converter, Param
from policies.ottl.functions.strings import camel
from policies.ottl.gotext import bounded
from policies.ottl.syntax import Argument, Call, ListOf, Literal, Value

_STATIC = {str: "a string in quotes", bool: "true or false"}


@dataclass(frozen=True, slots=True)
class _Bound:
    """An argument: its getter after conversion, and its value where that is known at load."""

    getter: Getter
    known: Any = UNKNOWN


_ABSENT = _Bound(Getter(lambda _: None, literal=True, sure=True), None)


def bind(converter: Converter, node: Call, value_of: Callable[[Value], Getter], text: str) -> Getter:
    """The getter of a call; raises OttlError."""
    given = _by_param(converter, node, text)
    bound = [
        _ABSENT if argument is None else _bound(param, argument, converter, value_of, text)
        for param, argument in zip(converter.params, given, strict=True)
    ]
    try:
        function = converter.prepare([argument.known for argument in bound])
    except ValueError as error:
        raise OttlError(f"{converter.name}: {error}", text, node.at) from error
    gets = [argument.getter.get for argument in bound]
    fields = frozenset[Field]().union(*(argument.getter.fields for argument in bound))

    def call(frame: Frame) -> Any:
        values = [get(frame) for get in gets]
        frame.spend(values)
        result = function(*values)
        return bounded(result) if type(result) is str else result

    sure = converter.probe and all(argument.getter.sure for argument in bound)
    return Getter(call, fields, sure=sure)


def _by_param(converter: Converter, node: Call, text: str) -> list[Argument | None]:
    """The arguments in the order of the parameters, None for those left out."""
    params = converter.params
    given: list[Argument | None] = [None] * len(params)
    if len(node.arguments) > len(params):
        extra = node.arguments[len(params)]
        raise OttlError(f"{converter.name} takes {_count(len(params))}: {converter.signature}", text, extra.at)
    named = False
    for place, argument in enumerate(node.arguments):
        at = place
        if argument.name:
            named = True
            at = _place(converter, argument, text)
        elif named:
            raise OttlError("arguments without a name stand before those with one", text, argument.at)
        if given[at] is not None:
            raise OttlError(f"{converter.name}: {params[at].name} is given twice", text, argument.at)
        given[at] = argument
    for param, value in zip(params, given, strict=True):
        if value is None and not param.optional:
            raise OttlError(f"{converter.name}: {param.name} is missing: {converter.signature}", text, node.at)
    return given


def _place(converter: Converter, argument: Argument, text: str) -> int:
    names = [param.name for param in converter.params]
    wanted = camel(argument.name)
    for at, name in enumerate(names):
        if camel(name) == wanted:
            return at
    raise OttlError(
        f"{converter.name} has no parameter {argument.name}", text, argument.at, nearest(argument.name, names)
    )


def _count(number: int) -> str:
    return f"{number} argument{'' if number == 1 else 's'}" if number else "no arguments"


def _bound(
    param: Param, argument: Argument, converter: Converter, value_of: Callable[[Value], Getter], text: str
) -> _Bound:
    value = argument.value
    label = f"{converter.name}: {param.name}"
    if param.static is not None and not param.many:
        return _static(param.static, value, label, text)
    if param.many:
        if not isinstance(value, ListOf):
            raise OttlError(f"{label} must be a list in square brackets", text, argument.at)
        items = [
            _converted(param, value_of(item), converter, label, text, item)
            if param.static is None
            else _static(param.static, item, label, text)
            for item in value.items
        ]
        return _many(items, converter)
    return _converted(param, value_of(value), converter, label, text, value)


def _static(kind: type, value: Value, label: str, text: str) -> _Bound:
    if not (isinstance(value, Literal) and type(value.value) is kind):
        raise OttlError(f"{label} must be {_STATIC[kind]}", text, value.at)
    known = value.value
    return _Bound(Getter(lambda _: known, literal=True, sure=True), known)


def _converted(param: Param, getter: Getter, converter: Converter, label: str, text: str, node: Value) -> _Bound:
    assert param.form is not None
    convert = param.form.convert
    if getter.literal:
        try:
            known = convert(getter.value)
        except EvaluationError as error:
            raise OttlError(f"{label}: {error}", text, node.at) from error
        return _Bound(Getter(lambda _: known, literal=True, sure=True), known)
    if converter.probe:
        return _Bound(getter)
    get = getter.get
    return _Bound(Getter(lambda frame: convert(get(frame)), getter.fields))


def _many(items: Sequence[_Bound], converter: Converter) -> _Bound:
    fields = frozenset[Field]().union(*(item.getter.fields for item in items))
    gets = [item.getter.get for item in items]
    known = [item.known for item in items] if all(item.known is not UNKNOWN for item in items) else UNKNOWN
    if converter.lazy:
        return _Bound(Getter(lambda frame: [partial(get, frame) for get in gets], fields), known)
    return _Bound(Getter(lambda frame: [get(frame) for get in gets], fields), known)
