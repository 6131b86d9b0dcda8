"""How the converters of OTTL are declared: a name, parameters, and a plain Python function of their values.

    @converter(target=STRING, prefix=STRING)
    def HasPrefix(target: str, prefix: str) -> bool:
        '''Whether a string begins with another one.'''

The first line of the docstring is what the reference says. A function raises EvaluationError where the Collector's
returns an error. What a policy file or a span can make it do takes time linear in the length of its arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from policies.ottl.getters import Form


class _Unknown:
    """The value of an argument that differs from span to span."""


UNKNOWN: Final = _Unknown()


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter. `form` is None for one that must be written out in the expression as a value of type `static`."""

    name: str = ""
    form: Form | None = None
    static: type | None = None
    optional: bool = False
    many: bool = False


TEXT = Param(static=str)
FLAG = Param(static=bool)
TEXTS = Param(static=str, many=True)


def optional(param: Param | Form) -> Param:
    """A parameter that may be left out: then its value is None."""
    return replace(_param(param), optional=True)


def many(form: Form) -> Param:
    """A parameter written as a list [a, b, …]; its value is a list."""
    return Param(form=form, many=True)


def _param(given: Param | Form) -> Param:
    return given if isinstance(given, Param) else Param(form=given)


Call = Callable[..., Any]
Prepare = Callable[[Sequence[Any]], Call]


@dataclass(frozen=True, slots=True)
class Converter:
    """A converter. `prepare` gets the arguments that are known at load, UNKNOWN for the others, and gives the function
    that is called for a span; what it raises as ValueError is an error of the expression.

    A `probe` gets its one argument as it is, whatever its type: it only asks for the type. A `lazy` one gets, for a
    list of arguments, functions without arguments that give the values.
    """

    name: str
    params: tuple[Param, ...]
    summary: str
    prepare: Prepare
    probe: bool = False
    lazy: bool = False

    @property
    def signature(self) -> str:
        """e.g. `Split(target, delimiter)`; optional parameters in square brackets."""
        names = [f"[{param.name}]" if param.optional else param.name for param in self.params]
        return f"{self.name}({', '.join(names)})"


CONVERTERS: dict[str, Converter] = {}
"""All converters by name, filled when `policies.ottl.functions` is imported."""


def converter(*, probe: bool = False, lazy: bool = False, **params: Param | Form) -> Callable[[Call], Call]:
    """Registers a function under its own name."""

    def register(function: Call) -> Call:
        _register(function, params, lambda _: function, probe=probe, lazy=lazy)
        return function

    return register


def prepared(*, lazy: bool = False, **params: Param | Form) -> Callable[[Prepare], Prepare]:
    """Registers what makes the function from the arguments known at load."""

    def register(prepare: Prepare) -> Prepare:
        _register(prepare, params, prepare, lazy=lazy)
        return prepare

    return register


def _register(
    named: Call, params: dict[str, Param | Form], prepare: Prepare, *, probe: bool = False, lazy: bool = False
) -> None:
    summary = (named.__doc__ or "").strip().partition("\n")[0]
    assert summary, f"{named.__name__} needs a docstring"
    declared = tuple(replace(_param(param), name=name) for name, param in params.items())
    CONVERTERS[named.__name__] = Converter(named.__name__, declared, summary, prepare, probe, lazy)
