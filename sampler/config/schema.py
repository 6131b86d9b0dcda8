"""The JSON Schemas of the two files, from the models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sampler.config.models import Config
from sampler.config.policies import TailSampling
from sampler.config.policy_types import policy_definitions, settings_definitions
from sampler.config.units import Duration

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FILES = {"config": "schema/config.schema.json", "policies": "schema/policies.schema.json"}
"""Where the committed copies are, from the root of the repository."""

_REFERENCE = {"type": "string", "pattern": r"\$\{"}


def schema_of(which: str) -> dict[str, Any]:
    """The schema of `config` or `policies`."""
    return _config_schema() if which == "config" else _policies_schema()


def schema_text(which: str) -> str:
    """The schema as it is committed."""
    return json.dumps(schema_of(which), indent=2, ensure_ascii=False) + "\n"


def write_schemas(root: Path) -> None:
    """Write the committed copies anew."""
    for which, name in FILES.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(schema_text(which), encoding="utf-8")


def _config_schema() -> dict[str, Any]:
    schema = Config.model_json_schema()
    _admit_references(schema)
    return {"$schema": DIALECT, **schema, "title": "tailsampler config.yaml"}


def _policies_schema() -> dict[str, Any]:
    """The block alone, below `tail_sampling` (or `tail_sampling/name`), or below `processors:` as in a Collector."""
    block = TailSampling.model_json_schema()
    definitions = {**block.pop("$defs", {}), **settings_definitions()}
    for owner in (block, definitions["TenantSet"]):
        owner["properties"]["policies"]["items"] = {"$ref": "#/$defs/policy"}
    definitions["TailSampling"] = block
    _admit_references(definitions)
    definitions.update(policy_definitions())
    reference = {"$ref": "#/$defs/TailSampling"}
    keyed = {"type": "object", "patternProperties": {"^tail_sampling(/.*)?$": reference}, "minProperties": 1}
    return {
        "$schema": DIALECT,
        "title": "tailsampler policies.yaml",
        "anyOf": [
            {**keyed, "additionalProperties": False},
            {"type": "object", "properties": {"processors": keyed}, "required": ["processors"]},
            reference,
        ],
        "$defs": definitions,
    }


def _admit_references(schema: Any) -> None:
    """Let numbers and truth values be written as `${env:NAME}` too; durations are shown in Go's form."""
    if isinstance(schema, list):
        for item in schema:
            _admit_references(item)
        return
    if not isinstance(schema, dict):
        return
    if isinstance(schema.get("default"), dict) and set(schema["default"]) == {"ms"}:
        schema["default"] = str(Duration(schema["default"]["ms"]))
    for name, prop in list(schema.get("properties", {}).items()):
        if isinstance(prop, dict) and "anyOf" in prop and all(map(_refuses_references, prop["anyOf"])):
            prop["anyOf"] = [*prop["anyOf"], _REFERENCE]
        elif isinstance(prop, dict) and _refuses_references(prop):
            kept = {key: prop.pop(key) for key in ("description", "default", "title") if key in prop}
            schema["properties"][name] = {"anyOf": [prop, _REFERENCE], **kept}
    for value in schema.values():
        _admit_references(value)


def _refuses_references(prop: dict[str, Any]) -> bool:
    if prop.get("type") == "string":
        return "enum" in prop or "pattern" in prop
    return prop.get("type") in ("integer", "number", "boolean", "null") or "enum" in prop or "const" in prop


if __name__ == "__main__":
    write_schemas(Path.cwd())
