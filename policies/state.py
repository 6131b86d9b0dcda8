"""The state of limiters: stored as JSON with every tick that decides, and carried over when the policies change."""

from __future__ import annotations

import hashlib
import json
import reprlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from policies.contract import Limiter
from policies.discovery import code_of

if TYPE_CHECKING:
    from policies.any_set import AnyPolicySet

MAX_STATE_BYTES = 64 * 1024


def state_key(limiter: Limiter) -> str:
    """The key of a limiter's state: its path and a short hash of its type, settings and, of a plugin, code.

    So a state is only ever read by a limiter that means the same by it, also after a restart with another policy file.
    """
    settings = json.dumps([limiter.type, dict(limiter.settings()), code_of(type(limiter))], sort_keys=True)
    return f"{limiter.context.path}@{hashlib.sha256(settings.encode()).hexdigest()[:12]}"


def carry_state(state: Mapping[str, Any], new: AnyPolicySet) -> dict[str, Any]:
    """The state of a partition for the policy set that decides from now on.

    `state` is that under the set before, or one that was recovered, whatever set it was written under. A limiter of
    the new set with the path, type and settings of one that `state` knows goes on from there; every other one starts
    afresh, and what belongs to none is left out. `state` stays as it is; the values are shared with it.
    """
    return {key: state.get(key, initial) for key, initial in new.initial_state().items()}


def check_state(state: object) -> None:
    """ValueError or TypeError where a state is no dict that JSON keeps as it is, or is too large."""
    if type(state) is not dict:
        raise TypeError(f"the state is {reprlib.repr(state)}, not a dict")
    stored = json.dumps(state, allow_nan=False)
    if len(stored) > MAX_STATE_BYTES:
        raise ValueError(f"the state has grown to {len(stored)} bytes, more than {MAX_STATE_BYTES}")
    if json.loads(stored) != state:
        raise ValueError("the state is not the same after it was stored: JSON knows no tuples, and its keys are text")
