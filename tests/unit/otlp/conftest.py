"""Every test with a `scanner` runs over both implementations."""

from __future__ import annotations

from typing import Any

import pytest

from sampler.otlp import Scanner, get_scanner, native


@pytest.fixture(params=["compiled", "upb"])
def scanner(request: pytest.FixtureRequest) -> Scanner:
    """One of the two scanners; the compiled one is skipped where it is not built."""
    name: Any = request.param
    if name == "compiled" and not native.COMPILED:
        pytest.skip("the compiled scanner is not built here")
    return get_scanner(name)
