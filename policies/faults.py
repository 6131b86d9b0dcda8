"""What is wrong with a policy object that can be seen before the first trace comes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import get_args

from policies.conditions import Condition
from policies.contract import Limiter, Policy, Reads, SubPolicy
from policies.state import check_state

_CONDITIONS = tuple(each for each in get_args(Condition) if isinstance(each, type))


def fault_of(policy: Policy) -> str | None:
    """The first thing in which a policy breaks the contract, as half a sentence; None where nothing is seen."""
    for what, look in _LOOKS.items():
        try:
            fault = next(look(policy), None)
        except (Exception, SystemExit) as error:
            return f"{what} fails: {type(error).__name__}: {error}"
        if fault:
            return f"{what} {fault}"
    return None


def _reads(policy: Policy) -> Iterator[str]:
    if not isinstance(policy.reads, Reads):
        yield f"must be one of Reads.CONDITIONS, Reads.SUMMARY and Reads.SPANS, not {policy.reads!r}"


def _conditions(policy: Policy) -> Iterator[str]:
    if not isinstance(policy.conditions, tuple):
        yield f"must be a tuple, not {type(policy.conditions).__name__}"
    for condition in policy.conditions:
        if not isinstance(condition, _CONDITIONS):
            yield f"must be made of policies.conditions, not of {condition!r}"
        hash(condition)  # a list where a tuple or frozenset belongs


def _subs(policy: Policy) -> Iterator[str]:
    if not (isinstance(policy.subs, tuple) and all(isinstance(sub, SubPolicy) for sub in policy.subs)):
        yield "must be a tuple of what context.child and context.children gave"


def _notes(policy: Policy) -> Iterator[str]:
    if not (isinstance(policy.notes, tuple) and all(isinstance(note, str) for note in policy.notes)):
        yield "must be a tuple of sentences"


def _notes_beside_others(policy: Policy) -> Iterator[str]:
    notes = policy.notes_beside_others
    if not (isinstance(notes, tuple) and all(isinstance(note, str) for note in notes)):
        yield "must be a tuple of sentences"


def _veto(policy: Policy) -> Iterator[str]:
    veto = policy.veto
    if veto is not None and not (isinstance(veto, Policy) and veto.drops and not isinstance(veto, Limiter)):
        yield "must be a policy with `drops = True`, and no limiter"


def _hash_salt(policy: Policy) -> Iterator[str]:
    if not isinstance(policy.hash_salt, str):
        yield "must be text"


def _settings(policy: Policy) -> Iterator[str]:
    settings = policy.settings()
    if not isinstance(settings, Mapping):
        yield f"gives {type(settings).__name__}, not a mapping"
    json.dumps(dict(settings), sort_keys=True)


def _describe(policy: Policy) -> Iterator[str]:
    text = policy.describe()
    if not isinstance(text, str):
        yield f"gives {type(text).__name__}, not text"
    elif not text.strip() or "\n" in text:
        yield f"must be one line of text, not {text!r}"


def _initial_state(policy: Policy) -> Iterator[str]:
    if isinstance(policy, Limiter):
        check_state(policy.initial_state())
    yield from ()


_LOOKS: dict[str, Callable[[Policy], Iterator[str]]] = {
    "`reads`": _reads,
    "`conditions`": _conditions,
    "`subs`": _subs,
    "`notes`": _notes,
    "`notes_beside_others`": _notes_beside_others,
    "`veto`": _veto,
    "`hash_salt`": _hash_salt,
    "settings()": _settings,
    "describe()": _describe,
    "initial_state()": _initial_state,
}
