"""From the sampled topic to a backend: everything arrives, once, and offsets follow."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.otlp_backend import OtlpBackend
from tests.unit.exporter.exporter_lab import OpenExporter, backend_block, span_ids, trace


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize("compression", ["gzip", "none"])
async def test_everything_arrives_once(
    open_exporter: OpenExporter, backend: OtlpBackend, write: Any, eventually: Any, protocol: str, compression: str
) -> None:
    """Every record of the topic is accepted by the backend once, with the configured headers, and then committed."""
    values = [trace(number) for number in range(100)]
    write(values)
    block = backend_block(backend, protocol=protocol, compression=compression, headers={"X-Scope-OrgID": "shop"})
    async with open_exporter(block) as running:
        await eventually(lambda: running.committed() == 100)
        assert backend.spans == span_ids(values)
        assert running.metric("sent_spans_total") == 300
        assert running.metric("sent_records_total") == 100
        assert running.metric("sent_bytes_total") == sum(map(len, values))
    assert {each.headers["x-scope-orgid"] for each in backend.received} == {"shop"}
    # Many records share a request.
    assert len(backend.received) < 50
