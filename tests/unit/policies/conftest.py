"""Settings of the property tests: no time limit per example, because the machine may be busy with other things."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("policies", deadline=None)
settings.load_profile("policies")
