"""How the tests are shared out where pytest-xdist runs several at once (`make test` does)."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent
ON_KAFKA = tuple(HERE / name for name in ("integration", "faults"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on a real Kafka run one after the other, in one process: they share its brokers, and mostly wait."""
    for item in items:
        if any(folder in item.path.parents for folder in ON_KAFKA):
            item.add_marker(pytest.mark.xdist_group("kafka"))
