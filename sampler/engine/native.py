"""The compiled part of the engine, where it could be built."""

from __future__ import annotations

import importlib
from typing import Any


def _compiled(name: str) -> Any:
    try:
        return importlib.import_module(f"sampler.engine._compiled.{name}")
    except ImportError:
        return None


compiled = _compiled("gathering")
"""The module of the gatherer, or None."""
remembered = _compiled("remembered")
"""The module of remembered verdicts, or None."""
