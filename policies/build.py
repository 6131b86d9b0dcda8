"""From the specs of a policy file to policy objects, with errors that point at the culprit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from policies.conditions import Condition
from policies.contract import Limiter, Policy, Reads, SubPolicy
from policies.discovery import code_of
from policies.errors import PLAIN_WORDS, Loc, PolicyConfigError, nearest
from policies.faults import fault_of
from policies.registry import BrokenPolicyError, Registry, UnknownPolicyTypeError

ON_ERROR = ("skip", "keep")
_PLAIN = {**PLAIN_WORDS, "tuple_type": "must be a list"}


@dataclass(frozen=True, slots=True)
class TopPolicy:
    """A policy of the list, with what the set has to know of its whole tree."""

    name: str
    policy: Policy
    keep_on_error: bool
    reads: Reads
    conditions: frozenset[Condition]
    limiters: tuple[Limiter, ...]


def tree(policy: Policy) -> Iterator[Policy]:
    """A policy and all below it, depth first, in list order."""
    yield policy
    for sub in policy.subs:
        yield from tree(sub.policy)


def build_list(specs: Sequence[Mapping[str, Any]], registry: Registry, on_error: str) -> list[TopPolicy]:
    """The policies of a list, in its order; raises PolicyConfigError."""
    builder = _Builder(registry)
    built: list[TopPolicy] = []
    seen: set[str] = set()
    for index, spec in enumerate(specs):
        top = builder.top(spec, (index,), on_error)
        if top.name in seen:
            raise PolicyConfigError((index, "name"), f'duplicate policy name "{top.name}"')
        seen.add(top.name)
        built.append(top)
        if top.policy.veto is not None:
            built.append(_top(top.name, top.policy.veto, keep_on_error=False))
    if not built:
        raise PolicyConfigError((), "the list of policies is empty: nothing would ever be sampled")
    return built


def _top(name: str, policy: Policy, *, keep_on_error: bool) -> TopPolicy:
    """A policy of the list with what follows from its tree."""
    everything = list(tree(policy))
    return TopPolicy(
        name,
        policy,
        keep_on_error,
        Reads(max(part.reads for part in everything)),
        frozenset(condition for part in everything for condition in part.conditions),
        tuple(_limiters(policy)),
    )


def _limiters(policy: Policy) -> Iterator[Limiter]:
    """The limiters of a tree in the order in which they settle: each knows what those below it have granted."""
    for sub in policy.subs:
        yield from _limiters(sub.policy)
    if isinstance(policy, Limiter):
        yield policy


def normalised(name: str, policy: Policy) -> dict[str, Any]:
    """A policy with its settings, sub-policies and, of a plugin, a hash of its code, as plain JSON data."""
    return {
        "name": name,
        "type": policy.type,
        "settings": dict(policy.settings()),
        "subs": [normalised(sub.name, sub.policy) for sub in policy.subs],
        **({"code": code} if (code := code_of(type(policy))) else {}),
    }


class _Builder:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._paths: set[str] = set()

    def top(self, spec: Mapping[str, Any], loc: Loc, default_on_error: str) -> TopPolicy:
        name = _text(spec, "name", loc)
        if not name:
            raise _missing(spec, "name", loc, "policy name cannot be empty")
        policy = self.build(spec, loc, name, "")
        on_error = spec.get("on_error", default_on_error)
        if on_error not in ON_ERROR:
            raise PolicyConfigError(
                (*loc, "on_error"),
                f'policy "{name}": on_error is one of skip (no vote) and keep (keeps the trace), not {on_error!r}',
                nearest(str(on_error), ON_ERROR),
            )
        if policy.drops and spec.get("on_error") == "keep":
            raise PolicyConfigError(
                (*loc, "on_error"), f'policy "{name}": a drop policy that fails drops nothing, whatever on_error says'
            )
        return _top(name, policy, keep_on_error=on_error == "keep" and not policy.drops)

    def build(self, spec: Mapping[str, Any], loc: Loc, name: str, parent: str) -> Policy:
        """One policy with all below it. `parent` is the path of the policy it stands in, "" at the top."""
        kind = _text(spec, "type", loc)
        label = f'policy "{name}"' if name else f"sub-policy of type {kind}" if kind else "sub-policy"
        if not kind:
            raise _missing(spec, "type", loc, f"{label}: type is missing")
        policy_class = self._class_of(kind, label, (*loc, "type"))
        if policy_class.drops and parent:
            raise PolicyConfigError(
                (*loc, "type"),
                f"{label}: a {kind} policy vetoes whole traces and stands only at the top level of the list; "
                "inside another policy write `not`",
            )
        self._check_keys(spec, kind, label, loc, top=not parent)
        path = self._unique(f"{parent}/{name or kind}" if parent else name)
        block = spec.get(kind)
        config = _validated(policy_class.Config, {} if block is None else block, label, (*loc, kind))
        try:
            policy = policy_class(config, _Context(self, path, (*loc, kind)))
        except PolicyConfigError:
            raise
        except ValueError as error:
            raise PolicyConfigError((*loc, kind), f"{label}: {error}") from error
        except (Exception, SystemExit) as error:
            raise PolicyConfigError(
                (*loc, kind), f"{label}: policy type {kind} failed to start: {type(error).__name__}: {error}"
            ) from error
        fault = fault_of(policy)
        if fault:
            raise PolicyConfigError((*loc, kind), f"{label}: policy type {kind} breaks the contract: {fault}")
        if parent and policy.veto is not None:
            policy.veto = None
            policy.notes += ("inside another policy it drops nothing: what it would drop it does not keep, no more",)
        return policy

    def _class_of(self, kind: str, label: str, loc: Loc) -> type[Policy]:
        try:
            return self._registry.get(kind)
        except UnknownPolicyTypeError as error:
            raise PolicyConfigError(loc, f"{label}: {error}", error.suggestion) from error
        except BrokenPolicyError as error:
            raise PolicyConfigError(loc, f"{label}: {error}") from error

    def _check_keys(self, spec: Mapping[str, Any], kind: str, label: str, loc: Loc, *, top: bool) -> None:
        known = ["name", "type", kind, *(["on_error"] if top else [])]
        for key in spec:
            if key in known:
                continue
            if key == "on_error":
                message, hint = "on_error belongs to the policy of the list that this one is part of", None
            elif key in self._registry.names:
                message, hint = f"the block {key!r} does not belong to a policy of type {kind}", kind
            else:
                message, hint = f"unknown key {key!r}", nearest(str(key), known)
            raise PolicyConfigError((*loc, key), f"{label}: {message}", hint)

    def _unique(self, path: str) -> str:
        unique, number = path, 2
        while unique in self._paths:
            unique, number = f"{path}#{number}", number + 1
        self._paths.add(unique)
        return unique


class _Context:
    """See `policies.contract.Context`."""

    def __init__(self, builder: _Builder, path: str, loc: Loc) -> None:
        self._builder = builder
        self._loc = loc
        self._path = path

    @property
    def path(self) -> str:
        return self._path

    def children(self, field: str, specs: Sequence[Mapping[str, Any]]) -> tuple[SubPolicy, ...]:
        return tuple(self._sub(spec, (*self._loc, field, index)) for index, spec in enumerate(specs))

    def child(self, field: str | tuple[str | int, ...], spec: Mapping[str, Any]) -> SubPolicy:
        return self._sub(spec, (*self._loc, *((field,) if isinstance(field, str) else field)))

    def _sub(self, spec: Mapping[str, Any], loc: Loc) -> SubPolicy:
        name = _text(spec, "name", loc)
        return SubPolicy(name, self._builder.build(spec, loc, name, self._path))


def _text(spec: Mapping[str, Any], key: str, loc: Loc) -> str:
    if not isinstance(spec, Mapping):
        raise PolicyConfigError(loc, f"a policy is a mapping with name and type, not {type(spec).__name__}")
    value = spec.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise PolicyConfigError((*loc, key), f"{key} must be text, not {value!r}; put it in quotes")
    return value


def _missing(spec: Mapping[str, Any], key: str, loc: Loc, message: str) -> PolicyConfigError:
    """The error for a key that is absent or empty; a misspelt one is pointed at instead."""
    if key in spec:
        return PolicyConfigError((*loc, key), message)
    misspelt = nearest(key, [str(other) for other in spec])
    if misspelt is not None and misspelt not in ("name", "type"):
        return PolicyConfigError((*loc, misspelt), f"{message}; unknown key {misspelt!r}", key)
    return PolicyConfigError(loc, message)


def _fields_at(model: type[BaseModel], loc: Loc) -> list[str]:
    """The names of the fields of the model that stands at a place inside a config."""
    for step in loc:
        field = model.model_fields.get(str(step))
        if field is not None:
            model = next(_models_in(field.annotation), model)
    return list(model.model_fields)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that an annotation such as `list[Rule]` speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def _validated(model: type[BaseModel], block: Any, label: str, loc: Loc) -> BaseModel:
    """The config of a policy; one thing that is wrong becomes the error."""
    try:
        return model.model_validate(block)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        # A misspelt key is told rather than that the key it was meant to be is missing.
        first = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
    except (Exception, SystemExit) as error:
        raise PolicyConfigError(loc, f"{label}: its Config fails: {type(error).__name__}: {error}") from error
    inside = first["loc"]
    if first["type"] == "literal_error":
        raise _none_of(block, first, label, loc) from None
    name = str(inside[-1]) if inside else str(loc[-1])
    if first["type"] == "extra_forbidden":
        known = _fields_at(model, inside[:-1])
        raise PolicyConfigError((*loc, *inside), f"{label}: unknown key {name!r}", nearest(name, known)) from None
    if first["type"] == "missing":
        raise PolicyConfigError((*loc, *inside[:-1]), f"{label}: {name} is missing") from None
    text = first["msg"].removeprefix("Value error, ")
    if first["type"] != "value_error":
        text = f"{name} {_PLAIN.get(first['type'], text.replace('Input should', 'must', 1))}, got {first['input']!r}"
    raise PolicyConfigError((*loc, *inside), f"{label}: {text}") from None


def _none_of(block: Any, wrong: Any, label: str, loc: Loc) -> PolicyConfigError:
    """The error for a value that is none of those a key may have."""
    inside, value = _written(block, wrong["loc"]), wrong["input"]
    name = next((step for step in reversed((*loc, *inside)) if isinstance(step, str)), "")
    allowed = [each.strip("'") for each in wrong["ctx"]["expected"].replace(" or ", ", ").split(", ")]
    message = f"{label}: {name} must be one of {', '.join(allowed)}, got {value!r}"
    return PolicyConfigError((*loc, *inside), message, nearest(str(value), allowed))


def _written(block: Any, inside: Loc) -> Loc:
    """The part of a place that stands in the file: a word there may be short for a mapping."""
    for depth, step in enumerate(inside):
        try:
            block = block[step]
        except (KeyError, IndexError, TypeError):
            return inside[:depth]
    return inside
