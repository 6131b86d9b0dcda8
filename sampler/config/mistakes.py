"""All that is wrong in a list of policies: the policy set tells the first mistake only."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

from policies.errors import Loc, PolicyConfigError

MAX_MISTAKES = 20
"""Of one policy."""

Build = Callable[[list[Any]], object]


def all_mistakes(specs: Sequence[Any], build: Build, whole: PolicyConfigError) -> list[PolicyConfigError]:
    """The mistakes of every policy, built alone, and of the list; `whole`, where nothing else is found."""
    by_policy = [_of_one(spec, index, build) for index, spec in enumerate(specs)]
    found = [error for errors in by_policy for error in errors]
    found += _of_the_list([_sound(spec, index) if errors else spec for index, (spec, errors) in
                           enumerate(zip(specs, by_policy, strict=True))], build)  # fmt: skip
    return found or [whole]


def _sound(spec: Any, index: int) -> Any:
    """A policy with nothing wrong in place of one, under the same name."""
    name = spec.get("name") if isinstance(spec, dict) else None
    return {"name": name if isinstance(name, str) and name else f"policy {index}", "type": "always_sample"}


def _of_the_list(specs: list[Any], build: Build) -> list[PolicyConfigError]:
    """What is wrong between policies that are right alone, such as a name that two have."""
    found: list[PolicyConfigError] = []
    for _ in range(MAX_MISTAKES):
        try:
            build(specs)
        except PolicyConfigError as error:
            found.append(error)
            if not error.loc or not isinstance(error.loc[0], int) or error.loc[0] >= len(specs):
                break
            specs[error.loc[0]] = _sound(None, error.loc[0])
        else:
            break
    return found


def _of_one(spec: Any, index: int, build: Build) -> list[PolicyConfigError]:
    """A policy is built again without what is wrong until nothing is; what comes of that alone is not told."""
    found: list[PolicyConfigError] = []
    consequence: Loc | None = None
    for _ in range(MAX_MISTAKES):
        try:
            build([spec])
        except PolicyConfigError as error:
            inside = error.loc[1:]
            if inside != consequence:
                error.loc = (index, *inside)
                if any((error.loc, error.message) == (other.loc, other.message) for other in found):
                    break
                found.append(error)
            mended = _without(spec, inside) if inside != consequence else _with_sound_policy(spec, inside)
            if mended is None and isinstance(spec, dict) and not spec.get("name") and not inside:
                mended = {**spec, "name": f"policy {index}"}, None
            if mended is None:
                break
            spec, consequence = mended
        else:
            break
    return found


def _without(spec: Any, loc: Loc) -> tuple[Any, Loc | None] | None:
    """The policy without what is at a place, and where what follows from that would be told; None where it is all."""
    while loc and isinstance(loc[-1], int) and not _is_policy(spec, loc):
        loc = loc[:-1]
    parent = _at(spec, loc[:-1])
    if not loc or not isinstance(parent, dict) or loc[-1] not in parent:
        return None
    if _is_policy(spec, loc) or loc[-1] in ("name", "type", parent.get("type")):
        return _with_sound_policy(spec, loc)
    changed = copy.deepcopy(spec)
    del _at(changed, loc[:-1])[loc[-1]]
    return changed, loc[:-1]


def _with_sound_policy(spec: Any, loc: Loc) -> tuple[Any, Loc | None] | None:
    """With nothing wrong in the sub-policy that a place lies in; None where that is the policy itself."""
    while loc and not _is_policy(spec, loc):
        loc = loc[:-1]
    if not loc:
        return None
    changed = copy.deepcopy(spec)
    _at(changed, loc[:-1])[loc[-1]] = {"type": "always_sample"}
    return changed, None


def _is_policy(spec: Any, loc: Loc) -> bool:
    """Whether a policy stands there, its `type` perhaps forgotten, and no rule of a `first_match`."""
    value = _at(spec, loc)
    return isinstance(value, dict) and ("type" in value or ("name" in value and loc[-2:-1] != ("rules",)))


def _at(data: Any, loc: Loc) -> Any:
    for part in loc:
        if isinstance(data, dict):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            return None
    return data
