"""Configuration: `config.yaml` and `policies.yaml`, from file to frozen models."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sampler.config.errors import ConfigError, Problem
    from sampler.config.load import load_config
    from sampler.config.models import Config
    from sampler.config.policies import PolicyFile, TailSampling, load_policies, parse_policies

__all__ = [
    "Config",
    "ConfigError",
    "PolicyFile",
    "Problem",
    "TailSampling",
    "load_config",
    "load_policies",
    "parse_policies",
]

# Imported on first use: the command line needs ConfigError at once, but the models only when a command runs.
_HOME = {
    "Config": "models",
    "ConfigError": "errors",
    "PolicyFile": "policies",
    "Problem": "errors",
    "TailSampling": "policies",
    "load_config": "load",
    "load_policies": "policies",
    "parse_policies": "policies",
}


def __getattr__(name: str) -> Any:
    """The names above, from their modules."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
