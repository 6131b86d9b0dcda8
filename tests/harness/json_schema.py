"""As much of JSON Schema 2020-12 as the committed schemas use, to check documents against them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

KNOWN = {
    "$ref", "$defs", "$schema", "title", "description", "default", "examples", "type", "enum", "const", "properties",
    "patternProperties", "additionalProperties", "required", "items", "anyOf", "oneOf", "not", "minimum", "maximum",
    "exclusiveMinimum", "pattern", "minLength", "maxLength", "minItems", "minProperties", "format", "writeOnly",
}  # fmt: skip
TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "integer": int,
    "number": (int, float),
}  # fmt: skip


def faults(data: Any, schema: Any, root: dict[str, Any], path: str = "$") -> Iterator[str]:
    """What of `data` does not meet a schema; `root` holds the definitions."""
    if isinstance(schema, bool):
        if not schema:
            yield f"{path}: not allowed"
        return
    assert schema.keys() <= KNOWN, f"{path}: the check does not know {sorted(schema.keys() - KNOWN)}"
    if "$ref" in schema:
        yield from faults(data, root["$defs"][schema["$ref"].rsplit("/", 1)[1]], root, path)
    kinds = schema.get("type")
    if kinds is not None and not any(_is(data, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        yield f"{path}: is no {kinds}"
        return
    yield from _value_faults(data, schema, path)
    if isinstance(data, dict):
        yield from _mapping_faults(data, schema, root, path)
    if isinstance(data, list):
        if len(data) < schema.get("minItems", 0):
            yield f"{path}: too few items"
        for index, item in enumerate(data):
            yield from faults(item, schema.get("items", True), root, f"{path}[{index}]")
    for key, most in (("anyOf", len(schema.get("anyOf", ()))), ("oneOf", 1)):
        if key in schema:
            found = [list(faults(data, branch, root, path)) for branch in schema[key]]
            if not 1 <= sum(not each for each in found) <= most:
                yield f"{path}: {key}: {found}"
    if "not" in schema and not list(faults(data, schema["not"], root, path)):
        yield f"{path}: is what it must not be"


def _is(data: Any, kind: str) -> bool:
    if isinstance(data, bool):
        return kind == "boolean"
    return isinstance(data, TYPES[kind]) or (kind == "integer" and isinstance(data, float) and data.is_integer())


def _value_faults(data: Any, schema: dict[str, Any], path: str) -> Iterator[str]:
    if "const" in schema and data != schema["const"]:
        yield f"{path}: is not {schema['const']!r}"
    if "enum" in schema and data not in schema["enum"]:
        yield f"{path}: is none of {schema['enum']}"
    if isinstance(data, str):
        if "pattern" in schema and not re.search(schema["pattern"], data):
            yield f"{path}: does not match {schema['pattern']}"
        if not schema.get("minLength", 0) <= len(data) <= schema.get("maxLength", len(data)):
            yield f"{path}: too short or too long"
    if isinstance(data, int | float) and not isinstance(data, bool):
        if not schema.get("minimum", data) <= data <= schema.get("maximum", data):
            yield f"{path}: out of range"
        if "exclusiveMinimum" in schema and data <= schema["exclusiveMinimum"]:
            yield f"{path}: out of range"


def _mapping_faults(data: dict[str, Any], schema: dict[str, Any], root: dict[str, Any], path: str) -> Iterator[str]:
    yield from (f"{path}: {key} is missing" for key in schema.get("required", ()) if key not in data)
    if len(data) < schema.get("minProperties", 0):
        yield f"{path}: is empty"
    for key, value in data.items():
        place = f"{path}.{key}"
        patterns = [each for pattern, each in schema.get("patternProperties", {}).items() if re.search(pattern, key)]
        if key in schema.get("properties", {}):
            patterns.append(schema["properties"][key])
        for each in patterns or [schema.get("additionalProperties", True)]:
            yield from faults(value, each, root, place)
