"""Policies as people write them, turned into the form of the reference; every turn is a note with its line.

Only what can mean one thing is taken; all else is left for the policy set to refuse at its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from policies.registry import BrokenPolicyError, Registry, UnknownPolicyTypeError
from sampler.config.coercion import coerce
from sampler.config.document import Document
from sampler.config.errors import KeyPath
from sampler.config.notes import Notes
from sampler.config.words import holds_policies

SPEC_KEYS = ("name", "type", "on_error")
"""Keys of a policy beside the block of its type."""

_LISTS = {"and": "and_sub_policy", "drop": "drop_sub_policy"}
_SINGLE = {"not": "not_sub_policy"}
_CONDITIONS = {"ottl_condition": ("span", "spanevent")}
_STATUS = ("OK", "ERROR", "UNSET")


def normalise(specs: list[Any], base: KeyPath, document: Document, registry: Registry, notes: Notes) -> list[Any]:
    """The policies of a list that stands at `base`, in the form of the reference."""
    reader = _Reader(document, registry, notes)
    return [reader.policy(spec, (*base, index)) for index, spec in enumerate(specs)]


def is_spec(value: Any, registry: Registry) -> bool:
    """Whether a value inside a policy's settings is a policy itself."""
    return isinstance(value, Mapping) and isinstance(value.get("type"), str) and value["type"] in registry.names


class _Reader:
    def __init__(self, document: Document, registry: Registry, notes: Notes) -> None:
        self._document = document
        self._registry = registry
        self._known = frozenset(registry.names)
        self._notes = notes

    def policy(self, spec: Any, path: KeyPath) -> Any:
        """One policy; what is no mapping stays as it is."""
        if not isinstance(spec, dict):
            return spec
        spec = {key: value for key, value in spec.items() if value is not None}
        for key in ("name", "type"):
            if isinstance(spec.get(key), int | float | bool):
                spec[key] = self._text(spec[key], (*path, key))
            elif isinstance(spec.get(key), str):
                spec[key] = str(spec[key])  # a name from a variable stays text, whatever it is written like
        kind = self._kind(spec, path)
        model = self._model(kind) if kind else None
        if kind is None or model is None:
            return spec
        self._gather(spec, kind, model, path)
        self._forget_strangers(spec, kind, model, path)
        if kind in spec:
            spec[kind] = self._block(kind, model, spec[kind], (*path, kind))
        return spec

    def _text(self, value: object, path: KeyPath) -> str:
        text = str(value).lower() if isinstance(value, bool) else str(value)
        self._notes.add(path, f"is not in quotes: taken as the text {text!r}")
        return text

    def _kind(self, spec: dict[str, Any], path: KeyPath) -> str | None:
        """The type of a policy, set right in `spec`: in another spelling, or left out beside the one block it has."""
        kind = spec.get("type")
        if kind is None:
            blocks = [key for key in spec if key in self._known and isinstance(spec[key], dict | list)]
            if len(blocks) != 1:
                return None
            self._notes.add(path, f"has no type: taken as {blocks[0]}, the one block it has; write 'type: {blocks[0]}'")
            spec["type"] = blocks[0]
            return blocks[0]
        if not isinstance(kind, str):
            return None
        kind = str(kind)
        plain = kind.strip().lower().replace("-", "_")
        if kind not in self._known and plain in self._known:
            self._notes.add((*path, "type"), f"{kind!r} is written {plain}")
            if kind in spec and plain not in spec:
                spec[plain] = spec.pop(kind)
                self._document.move((*path, kind), (*path, plain))
            kind = plain
        spec["type"] = kind
        return kind

    def _model(self, kind: str) -> type[BaseModel] | None:
        try:
            return self._registry.get(kind).Config
        except (UnknownPolicyTypeError, BrokenPolicyError):
            return None

    def _gather(self, spec: dict[str, Any], kind: str, model: type[BaseModel], path: KeyPath) -> None:
        """Settings that stand beside `type` go below the type's key."""
        beside = [key for key in spec if key in model.model_fields and key not in SPEC_KEYS and key not in self._known]
        if kind in spec or not beside:
            return
        self._notes.add(
            (*path, beside[0]), f"{', '.join(beside)}: taken as if below '{kind}:', where a Collector looks"
        )
        spec[kind] = {key: spec.pop(key) for key in beside}
        for key in beside:
            self._document.move((*path, key), (*path, kind, key))

    def _forget_strangers(self, spec: dict[str, Any], kind: str, model: type[BaseModel], path: KeyPath) -> None:
        """Blocks of other types have no effect, as in the Collector, once the policy has its own."""
        strangers = [key for key in spec if key in self._known and key != kind]
        if not strangers or not (kind in spec or not model.model_fields):
            return
        self._notes.add((*path, strangers[0]), f"{', '.join(strangers)}: no effect in a policy of type {kind}")
        for key in strangers:
            del spec[key]

    def _block(self, kind: str, model: type[BaseModel], block: Any, path: KeyPath) -> Any:
        block = self._combinator(kind, block, path)
        if not isinstance(block, dict):
            return block
        block = {key: value for key, value in block.items() if value is not None}
        for key in _CONDITIONS.get(kind, ()):
            if isinstance(block.get(key), str):
                self._notes.add((*path, key), "is a text where a list is expected: taken as one condition")
                block[key] = [str(block[key])]
        block = coerce(model, block, path, self._notes)
        if "status_codes" in model.model_fields:
            block = self._status(block, path)
        return {key: self._inside(value, (*path, key), key) for key, value in block.items()}

    def _combinator(self, kind: str, block: Any, path: KeyPath) -> Any:
        """The block of a combinator from the bare sub-policies."""
        if kind in _LISTS and isinstance(block, list):
            field = _LISTS[kind]
            self._notes.add(path, f"is a list of sub-policies: taken as its {field}; write '{field}:' above it")
            self._document.move(path, (*path, field))
            return {field: block}
        if kind not in _SINGLE:
            return block
        field = _SINGLE[kind]
        if isinstance(block, list) and len(block) == 1:
            self._document.move((*path, 0), (*path, field))
            block = block[0]
        elif isinstance(block, dict) and field not in block and "type" in block:
            self._document.move(path, (*path, field))
        elif isinstance(block, dict) and isinstance(block.get(field), list) and len(block[field]) == 1:
            self._notes.add((*path, field), "is a list of one: taken as that sub-policy")
            self._document.move((*path, field, 0), (*path, field))
            return {**block, field: block[field][0]}
        else:
            return block
        self._notes.add(path, f"is the sub-policy itself: taken as its {field}; write '{field}:' above it")
        return {field: block}

    def _inside(self, value: Any, path: KeyPath, key: str) -> Any:
        """Settings with the policies in them turned too, however deep they stand."""
        if isinstance(value, list):
            return [self._inside(item, (*path, index), key) for index, item in enumerate(value)]
        if not isinstance(value, dict):
            return value
        kind = value.get("type")
        if holds_policies(key) or (isinstance(kind, str) and kind.lower().replace("-", "_") in self._known):
            return self.policy(value, path)
        return {name: self._inside(item, (*path, name), str(name)) for name, item in value.items()}

    def _status(self, block: dict[str, Any], path: KeyPath) -> dict[str, Any]:
        """Status codes in lower case or with OpenTelemetry's prefix."""
        codes = block.get("status_codes")
        if not isinstance(codes, list):
            return block
        told = []
        for index, code in enumerate(codes):
            plain = code.strip().upper().removeprefix("STATUS_CODE_") if isinstance(code, str) else code
            if plain != code and plain in _STATUS:
                self._notes.add((*path, "status_codes", index), f"{code!r} is written {plain}")
                told.append(plain)
            else:
                told.append(code)
        return {**block, "status_codes": told}
