"""Policy types by name: from the entry-point group `tailsampler.policies`, built-ins and plugins by the same door, and
from folders, files and dotted paths that somebody named (`policies.discovery`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points

from policies.contract import Policy
from policies.discovery import Plugin, PluginError, class_fault
from policies.errors import nearest

GROUP = "tailsampler.policies"


class UnknownPolicyTypeError(LookupError):
    """No policy has this type; `suggestion` is the nearest that exists."""

    def __init__(self, name: str, suggestion: str | None) -> None:
        super().__init__(f"unknown sampling policy type {name}")
        self.suggestion = suggestion


class BrokenPolicyError(RuntimeError):
    """A policy type that exists but cannot be used; the text names the distribution to mend."""


class Registry:
    """Looks policy types up; a plugin is imported when the first policy of its type is built, not before."""

    def __init__(
        self,
        points: Iterable[EntryPoint] = (),
        extra: Mapping[str, type[Policy]] | None = None,
        plugins: Iterable[Plugin] = (),
    ) -> None:
        """`extra` are types given as classes, for tests and embedding; they win over all others.

        `plugins` are types that `policies.discovery` found; PluginError where one has the name of another one.
        """
        self._points: dict[str, list[EntryPoint]] = {}
        for point in points:
            known = self._points.setdefault(point.name, [])
            if all(other.value != point.value for other in known):
                known.append(point)
        self._loaded: dict[str, type[Policy]] = {}
        self._origins: dict[str, str] = {}
        for plugin in plugins:
            self._add(plugin)
        self._loaded.update(extra or {})

    @property
    def names(self) -> tuple[str, ...]:
        """All policy types, sorted."""
        return tuple(sorted({*self._points, *self._loaded}))

    def origin(self, name: str) -> str:
        """Where a policy type comes from: "built-in", the distribution that brings it, or the place of a plugin."""
        if name in self._origins:
            return self._origins[name]
        points = self._points.get(name)
        if not points:
            return "given as a class" if name in self._loaded else "unknown"
        if len(points) == 1 and _is_built_in(points[0]):
            return "built-in"
        return " and ".join(_origin(point) for point in points)

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
        except (Exception, SystemExit) as error:
            raise BrokenPolicyError(
                f"policy type {name} comes from {_origin(point)}, which cannot be imported: "
                f"{type(error).__name__}: {error}; mend or uninstall it"
            ) from error
        fault = class_fault(loaded)
        if fault:
            raise BrokenPolicyError(f"policy type {name} from {_origin(point)} {fault}")
        if getattr(loaded, "type", None) != name:
            raise BrokenPolicyError(
                f"policy type {name} from {_origin(point)} calls itself {getattr(loaded, 'type', None)!r}: "
                "its `type` must equal its entry-point name"
            )
        return loaded  # type: ignore[no-any-return]  # class_fault has looked

    def _add(self, plugin: Plugin) -> None:
        name = plugin.policy.type
        path = f"{plugin.policy.__module__}:{plugin.policy.__qualname__}"
        if all(point.value == path for point in self._points.get(name, [])) and name in self._points:
            return  # an installed type that is named once more
        if name in self._origins or name in self._points:
            raise PluginError(
                f"{plugin.origin}: policy type {name} exists already ({self.origin(name)}): give one of them another "
                "name"
            )
        self._loaded[name] = plugin.policy
        self._origins[name] = plugin.origin


def installed(extra: Mapping[str, type[Policy]] | None = None, plugins: Iterable[Plugin] = ()) -> Registry:
    """The policy types of all installed distributions, as they are now, with `extra` and `plugins` as in `Registry`."""
    return Registry(entry_points(group=GROUP), extra, plugins)


def _is_built_in(point: EntryPoint) -> bool:
    return point.value.startswith("policies.builtin.")


def _origin(point: EntryPoint) -> str:
    owner = f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown distribution"
    return f"{owner} ({point.value})"
