"""Policy types by name, from the entry-point group `tailsampler.policies`: built-ins and plugins by the same door."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points

from policies.contract import Policy
from policies.errors import nearest

GROUP = "tailsampler.policies"


NOT_YET = frozenset({"trace_state", "trace_flags", "rate_limiting", "bytes_limiting", "ottl_condition", "composite"})
"""Types of the Collector that are no misspelling."""


class UnknownPolicyTypeError(LookupError):
    """No policy has this type; `suggestion` is the nearest that exists."""

    def __init__(self, name: str, suggestion: str | None) -> None:
        later = " (the Collector has it, tailsampler does not yet)" if name in NOT_YET else ""
        super().__init__(f"unknown sampling policy type {name}{later}")
        self.suggestion = suggestion


class BrokenPolicyError(RuntimeError):
    """A policy type that exists but cannot be used; the text names the distribution to mend."""


class Registry:
    """Looks policy types up; a plugin is imported when the first policy of its type is built, not before."""

    def __init__(self, points: Iterable[EntryPoint] = (), extra: Mapping[str, type[Policy]] | None = None) -> None:
        """`extra` are types given as classes, for tests and embedding; they win over entry points."""
        self._points: dict[str, list[EntryPoint]] = {}
        for point in points:
            known = self._points.setdefault(point.name, [])
            if all(other.value != point.value for other in known):
                known.append(point)
        self._loaded: dict[str, type[Policy]] = dict(extra or {})

    @property
    def names(self) -> tuple[str, ...]:
        """All policy types, sorted."""
        return tuple(sorted({*self._points, *self._loaded}))

    def get(self, name: str) -> type[Policy]:
        """The class of a policy type; raises UnknownPolicyTypeError or BrokenPolicyError."""
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def _load(self, name: str) -> type[Policy]:
        points = self._points.get(name)
        if not points:
            raise UnknownPolicyTypeError(name, nearest(name, self.names))
        if len(points) > 1:
            owners = " and ".join(_origin(point) for point in points)
            raise BrokenPolicyError(f"policy type {name} is offered by {owners}: uninstall one of them")
        point = points[0]
        try:
            loaded = point.load()
        except Exception as error:
            raise BrokenPolicyError(
                f"policy type {name} comes from {_origin(point)}, which cannot be imported: "
                f"{type(error).__name__}: {error}; mend or uninstall it"
            ) from error
        if not (isinstance(loaded, type) and issubclass(loaded, Policy)):
            raise BrokenPolicyError(f"policy type {name} from {_origin(point)} is no subclass of policies.Policy")
        if getattr(loaded, "type", None) != name:
            raise BrokenPolicyError(
                f"policy type {name} from {_origin(point)} calls itself {getattr(loaded, 'type', None)!r}: "
                "its `type` must equal its entry-point name"
            )
        return loaded


def installed(extra: Mapping[str, type[Policy]] | None = None) -> Registry:
    """The policy types of all installed distributions, as they are now, and `extra` ones before them."""
    return Registry(entry_points(group=GROUP), extra)


def _origin(point: EntryPoint) -> str:
    owner = f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown distribution"
    return f"{owner} ({point.value})"
