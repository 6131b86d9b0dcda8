"""A Kafka that knows who asks: a worker that may not write any more, or only little, until that is put right."""

from __future__ import annotations

import json

from sampler.acls import needs_of
from sampler.config.models import Config
from tests.faults.keeper import Keeper
from tests.faults.stage import Stage
from tests.harness.process import TestProcess, http_ok, wait_until
from tests.harness.secured import Acl, SecuredKafka
from tests.harness.tier import Tier

USER = "worker"
QUOTA_BYTES_PER_S = 8_000
"""A sixth of what the load has the worker write."""
WRITTEN = ("sampled", "decisions", "keyspace", "dead_letter")
FAILURES = "tailsampler_output_failures_total"
PAUSED = "tailsampler_fetching_paused"
REFUSED = '{reason="outputs_refused"}'


def start(kafka: SecuredKafka, tier: Tier) -> TestProcess:
    """A worker that logs in as `USER`, who may do what is listed for a worker and no more."""
    tier.client = kafka.client(USER)
    config = Config.model_validate(json.loads(tier.config("listed", 0).read_text()))
    kafka.allow(USER, [(need.kind, need.name, need.operation) for need in needs_of("worker", config)])
    return tier.start_worker()


def test_outputs_forbidden_and_allowed_again(secured_kafka: SecuredKafka, secured_stage: Stage) -> None:
    """The worker's right to write to the sampled topic is taken away and given back: it waits, and says what for."""
    with secured_stage.tier() as tier:
        worker, sampled = start(secured_kafka, tier), tier.topics["sampled"]
        ready = f"{tier.url(0)}/readyz"
        with secured_stage.load(30) as load:
            load.until(8)
            secured_stage.strike()
            secured_kafka.forbid(USER, [("topic", sampled, "Write")])
            worker.wait_for_log(f"outputs_refused): {sampled}: an output was refused", 30)
            assert f"the ACL Write on topic {sampled} is missing" in worker.output()
            worker.wait_until(lambda: tier.metric(0, PAUSED, REFUSED) == 1 and not http_ok(ready), 10, "no fetching")
            load.until(18)
            secured_kafka.allow(USER, [("topic", sampled, "Write")])
            worker.wait_until(lambda: http_ok(ready), 30, "fetching again")
        secured_stage.finish("outputs forbidden and allowed again")
        assert tier.metric(0, FAILURES, '{error="topic_authorization_failed"}') > 0
        assert "reading again" not in worker.output()


def test_all_rights_to_write_taken_away_and_given_back(secured_kafka: SecuredKafka, secured_stage: Stage) -> None:
    """Without its decision table a worker cannot go on: it ends, and says at each new start which rights it lacks."""
    with secured_stage.tier() as tier:
        worker = start(secured_kafka, tier)
        rights: list[Acl] = [("topic", tier.topics[name], "Write") for name in WRITTEN]
        with Keeper(worker) as keeper, secured_stage.load(30) as load:
            load.until(8)
            secured_stage.crash(0)
            secured_stage.strike()
            secured_kafka.forbid(USER, rights)
            missing = ", ".join(f"Write on topic {tier.topics[name]}" for name in ("decisions", "keyspace", "sampled"))
            wait_until(lambda: f"is needed: {missing}" in worker.output(), 20, "a start without rights", worker.output)
            load.until(18)
            secured_kafka.allow(USER, rights)
            wait_until(lambda: http_ok(f"{tier.url(0)}/readyz"), 30, "a start with rights", worker.output)
        secured_stage.finish("all rights to write taken away and given back")
        assert keeper.ends > 1


def test_outputs_throttled_by_a_quota(secured_kafka: SecuredKafka, secured_stage: Stage) -> None:
    """The broker takes a small part of what the worker has to write, which it says, until the quota is taken away."""
    with secured_stage.tier() as tier:
        worker = start(secured_kafka, tier)
        with secured_stage.load(30) as load:
            load.until(8)
            # What the broker is slow to read may be sent again, and arrive twice.
            secured_stage.crash(0)
            secured_stage.strike()
            secured_kafka.quota(USER, QUOTA_BYTES_PER_S)
            worker.wait_for_log("for a quota on our user or client id", 30)
            load.until(20)
            secured_kafka.quota(USER, None)
        secured_stage.finish("outputs throttled by a quota")
        assert "reading again" not in worker.output()
