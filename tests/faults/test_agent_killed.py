"""The agent dies with requests in flight."""

from __future__ import annotations

from tests.faults.otlp_load import acknowledged
from tests.faults.stage import Stage
from tests.faults.truth import spans_of


def test_agent_killed_with_requests_in_flight(stage: Stage) -> None:
    """Every span that the agent acknowledged is in the span topic; what it did not is sent again by its client."""
    with stage.tier() as tier:
        agent = tier.start_agent()
        tier.start_worker()
        file = stage.folder / "acknowledged"
        with stage.load(20, through=tier.grpc_endpoint, acknowledged=file) as load:
            for at_s in (6, 10):
                load.until(at_s)
                stage.strike()
                agent.kill()
                agent.start()
        stage.finish("agent killed with requests in flight")
        source = {
            (span.trace_id, span.span_id)
            for record in stage.kafka.read_all(tier.topics["spans"])
            for span in spans_of(record.value or b"")
        }
        promised = {(span.trace_id, span.span_id) for request in acknowledged(file) for span in spans_of(request)}
        assert len(promised) > 100_000
        assert promised - source == set()
        assert "refused 0" not in load.output, "no request was in flight"
