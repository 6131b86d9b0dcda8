"""What is in force, as it would be written in a file: variables and defaults filled in, secrets as asterisks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from policies.registry import Registry
from sampler.config.base import dump_public
from sampler.config.models import Config
from sampler.config.policies import PolicyFile
from sampler.config.spellings import SPEC_KEYS, is_spec

_DOLLAR = re.compile(r"\$(?=[{$])")


def config_tree(config: Config, *, defaults: bool) -> dict[str, Any]:
    """`config.yaml`; without `defaults` only what somebody has set."""
    tree: dict[str, Any] = _escaped(dump_public(config, only_set=not defaults))
    return tree


def policies_tree(file: PolicyFile, *, defaults: bool) -> dict[str, Any]:
    """The `tail_sampling` block in the form of the reference; without `defaults` only what the file sets."""
    block = dump_public(file.tail_sampling, only_set=not defaults)
    block["policies"] = [_policy(spec, file.registry, defaults=defaults) for spec in file.specs]
    for name, specs in file.tenant_specs.items():
        block["tenants"]["sets"][name]["policies"] = [_policy(spec, file.registry, defaults=defaults) for spec in specs]
    for name, specs in file.tenant_specs.items():
        block["tenants"]["sets"][name]["policies"] = [_policy(each, file.registry, defaults=defaults) for each in specs]
    return {"tail_sampling": _escaped(block)}


def _escaped(value: Any) -> Any:
    """Values in which no dollar sign is taken for a variable when they are read back."""
    if isinstance(value, str):
        return _DOLLAR.sub("$$", value)
    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    return [_escaped(item) for item in value] if isinstance(value, list) else value


def _policy(spec: Mapping[str, Any], registry: Registry, *, defaults: bool) -> dict[str, Any]:
    kind = str(spec["type"])
    model = registry.get(kind).Config
    config = model.model_validate(spec.get(kind) or {})
    settings: dict[str, Any] = config.model_dump(mode="json", exclude_unset=not defaults, exclude_none=True)
    shown = {key: spec[key] for key in SPEC_KEYS if key in spec}
    if settings:
        shown[kind] = {key: _inside(value, registry, defaults=defaults) for key, value in settings.items()}
    return shown


def _inside(value: Any, registry: Registry, *, defaults: bool) -> Any:
    if is_spec(value, registry):
        return _policy(value, registry, defaults=defaults)
    if isinstance(value, dict):
        return {key: _inside(item, registry, defaults=defaults) for key, item in value.items()}
    if isinstance(value, list):
        return [_inside(item, registry, defaults=defaults) for item in value]
    return value
