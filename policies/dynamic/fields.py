"""The fields of a key: how they are written in a policy file, and how they are read from a trace."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from policies.contract import PolicyConfig
from policies.dynamic.escape import cut, join
from policies.dynamic.texts import text_of
from policies.fields import STATUS_CODES
from policies.trace import TraceView

Word = Literal["service", "root_name", "operation", "status", "error", "span_count"]
Bounds = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False, min_length=1, max_length=64)]
SERVICE = "service.name"
_STATUS_NAMES = {number: name for name, number in STATUS_CODES.items()}


class KeyField(PolicyConfig):
    """Exactly one of these; a word stands for `{is: word}`."""

    is_: Word | None = Field(default=None, alias="is")
    """`service` (of the root span), `root_name`, `operation` (both of them), `status` (of the root span), `error`
    (whether any span has one), `span_count` (1, 2-3, 4-7, ...)."""
    root: Annotated[str, Field(min_length=1)] | None = None
    """An attribute of the root span, else of its resource."""
    any: Annotated[str, Field(min_length=1)] | None = None
    """An attribute of any span, else of its resource: all values that occur in the trace together."""
    resource: Annotated[str, Field(min_length=1)] | None = None
    """An attribute of any resource: all values that occur in the trace together."""
    span_count: Bounds | None = None
    """The number of spans, by these bounds, rising: [10, 100] makes 0-9, 10-99 and 100-."""
    duration_ms: Bounds | None = None
    """The duration of the trace in milliseconds, by these bounds, rising."""

    @model_validator(mode="after")
    def _one(self) -> KeyField:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"a field of a key is exactly one of {', '.join(_NAMES)}, not {len(given)} of them")
        for bounds in (self.span_count, self.duration_ms):
            if bounds is not None and list(bounds) != sorted(set(bounds)):
                raise ValueError(f"bounds must rise: {list(bounds)}")
        return self

    def text(self) -> str:
        """As `describe` says it."""
        if self.is_ is not None:
            return self.is_.replace("_", " ")
        for kind in ("root", "any", "resource"):
            if name := getattr(self, kind):
                return f"{kind} {name}"
        return "span count" if self.span_count else "duration"


_NAMES = tuple(field.alias or name for name, field in KeyField.model_fields.items())


def _word(value: Any) -> Any:
    return {"is": value} if isinstance(value, str) else value


KeyFields = Annotated[
    tuple[Annotated[KeyField, BeforeValidator(_word, json_schema_input_type=Word | KeyField)], ...],
    Field(strict=False, min_length=1, max_length=16),
]
"""The fields of a key, in their order."""

_Values = list[set[str]]


class KeyReader:
    """Makes the key of a trace. The order of spans, roots and attributes does not matter."""

    def __init__(self, fields: Sequence[KeyField], max_characters: int) -> None:
        self._limit = max_characters
        self._whole: list[tuple[int, Callable[[TraceView], str]]] = []
        self._resource: list[tuple[int, str]] = []
        self._any: list[tuple[int, str]] = []
        self._root: list[tuple[int, str]] = []
        self._root_names: list[int] = []
        self._statuses: list[int] = []
        self.count = 0
        for field in fields:
            self._add(field)
        self.needs_spans = len(self._whole) < self.count
        self._keys = frozenset(name for _, name in (*self._resource, *self._any, *self._root))

    def _add(self, field: KeyField) -> None:
        place = self.count
        self.count += 2 if field.is_ == "operation" else 1
        if field.is_ in {"service", "operation"}:
            self._root.append((place, SERVICE))
        if field.is_ in {"root_name", "operation"}:
            self._root_names.append(self.count - 1)
        if field.is_ == "status":
            self._statuses.append(place)
        if field.is_ == "error":
            self._whole.append((place, _error))
        if field.is_ == "span_count":
            self._whole.append((place, _power_of_two))
        for attributes, name in ((self._root, field.root), (self._any, field.any), (self._resource, field.resource)):
            if name is not None:
                attributes.append((place, name))
        if field.span_count is not None:
            self._whole.append((place, _in_bounds(field.span_count, lambda trace: trace.span_count)))
        if field.duration_ms is not None:
            self._whole.append((place, _in_bounds(field.duration_ms, lambda trace: trace.duration_ms)))

    def read(self, trace: TraceView) -> str:
        """The key."""
        values: _Values = [set() for _ in range(self.count)]
        for place, of in self._whole:
            values[place].add(of(trace))
        if self.needs_spans:
            for unit in trace.spans:
                self._read_unit(unit, values)
        return cut(join(values), self._limit)

    def _read_unit(self, unit: Any, values: _Values) -> None:
        wanted: list[tuple[Any, bool]] = []
        every, spans = bool(self._any), False
        for scope in unit.scope_spans:
            for span in scope.spans:
                spans = True
                parent = span.parent_span_id
                root = not parent or not any(parent)
                if root or every:
                    wanted.append((span, root))
        # Without spans a resource is part of no trace.
        if not (wanted or (spans and self._resource)):
            return
        shared = self._attributes(unit.resource.attributes)
        for place, name in self._resource:
            if name in shared:
                values[place].add(shared[name])
        for span, root in wanted:
            self._read_span(span, shared, values, root=root)

    def _read_span(self, span: Any, shared: Mapping[str, str], values: _Values, *, root: bool) -> None:
        own = self._attributes(span.attributes)
        for place, name in (*self._any, *self._root) if root else self._any:
            if name in own:
                values[place].add(own[name])
            elif name in shared:
                values[place].add(shared[name])
        if root:
            for place in self._root_names:
                values[place].add(span.name)
            for place in self._statuses:
                code = int(span.status.code)
                values[place].add(_STATUS_NAMES.get(code, str(code)))

    def _attributes(self, attributes: Iterable[Any]) -> dict[str, str]:
        """Those that are asked for, as text; of several with one name the first counts."""
        found: dict[str, str] = {}
        if keys := self._keys:
            for attribute in attributes:
                key = attribute.key
                if key in keys and key not in found:
                    found[key] = text_of(attribute.value)
        return found


def _error(trace: TraceView) -> str:
    return "error" if trace.summary.has_error else "ok"


def _power_of_two(trace: TraceView) -> str:
    low = 1 << max(0, trace.span_count.bit_length() - 1)
    return f"{low}-{2 * low - 1}" if trace.span_count > 1 else str(trace.span_count)


def _in_bounds(bounds: Sequence[int], of: Callable[[TraceView], int]) -> Callable[[TraceView], str]:
    lows = (0, *bounds)
    names = [f"{low}-{high - 1}" for low, high in zip(lows, bounds, strict=False)] + [f"{bounds[-1]}-"]
    return lambda trace: names[bisect_right(bounds, of(trace))]
