"""`POST /rescue` of a worker: `{"where": "...", "since": "3m", "dry_run": false}` in, what was found out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import asdict
from typing import Any

from policies.ottl import OttlError
from sampler.config.units import parse_duration
from sampler.otlp import PlanError
from sampler.stream.rescue import RescueDesk, RescueRefusedError, RescueRequest
from sampler.stream.rescue_where import where_plan

LONGEST_S = 900.0
FOREVER_MS = 1 << 62
_KEYS = frozenset({"where", "since", "dry_run"})


class RescueAction:
    """Answers requests to rescue, in the thread of whoever asks."""

    def __init__(self, desk: RescueDesk) -> None:
        self._desk = desk

    def __call__(self, body: bytes) -> tuple[int, Mapping[str, Any]]:
        """(HTTP status, answer as JSON): 400 for a request that cannot be meant, 409 where it cannot be taken now."""
        try:
            request = parsed(body)
        except ValueError as error:
            return 400, {"error": str(error)}
        try:
            answer = self._desk.ask(request).result(LONGEST_S)
        except RescueRefusedError as error:
            return 409, {"error": str(error)}
        except FutureTimeoutError:
            return 504, {"error": f"not done after {LONGEST_S:g} s; it goes on, and the worker's log tells its end"}
        return 200, asdict(answer)


def parsed(body: bytes) -> RescueRequest:
    """The request in a body; ValueError with what is wrong with it."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the request is no JSON: {error}") from error
    if not isinstance(given, dict) or not set(given) <= _KEYS or not isinstance(given.get("where"), str):
        raise ValueError('expected {"where": "...", "since": "3m", "dry_run": false}; only `where` must be there')
    dry_run, since = given.get("dry_run", False), given.get("since")
    if not isinstance(dry_run, bool):
        raise ValueError("dry_run must be true or false")
    try:
        since_ms = FOREVER_MS if since is None else parse_duration(since).ms
    except ValueError as error:
        raise ValueError(f"since {error}") from error
    try:
        plan = where_plan(given["where"])
    except (OttlError, PlanError) as error:
        raise ValueError(f"where: {error}") from error
    return RescueRequest(given["where"], plan, since_ms, dry_run)
