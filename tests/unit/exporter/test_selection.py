"""Which traces a route lets through, and which topics a backend reads for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sampler.config.policies import PolicyFile, load_policies
from sampler.config.routes import Route
from sampler.exporter.selection import RouteError, Selection, sources_of
from tests.unit.exporter.exporter_lab import span_ids, trace

SAMPLED = "otlp_spans_sampled"
TENANTS = """
tail_sampling:
  policies: [{name: all, type: always_sample}]
  tenants:
    %s
    sets:
      acme: {match: [acme, acme-eu], topic: sampled_acme, policies: [{name: all, type: always_sample}]}
      globex: {topic: sampled_shared, policies: [{name: all, type: always_sample}]}
      initech: {topic: sampled_shared, policies: [{name: all, type: always_sample}]}
      hooli: {policies: [{name: all, type: always_sample}]}
"""

Policies = Callable[[str], PolicyFile]


@pytest.fixture
def policies(tmp_path: Path) -> Policies:
    """A policy file with four tenants, told apart as is said."""

    def load(how: str = "attribute: service.name") -> PolicyFile:
        path = tmp_path / "policies.yaml"
        path.write_text(TENANTS % how)
        return load_policies(path)

    return load


def select(route: dict[str, Any], value: bytes) -> tuple[bytes, int]:
    """What a route lets through of a record."""
    return Selection(Route.model_validate(route), "sampling.policy").part(value)


ERRORS = trace(1, policy="errors", service="checkout", tier="vip")
BUDGET = trace(2, policy="budget/slow", service="cart", tier="free")


@pytest.mark.parametrize(
    ("route", "kept"),
    [
        ({"policies": ["errors"]}, [ERRORS]),
        ({"policies": ["budget"]}, [BUDGET]),
        ({"policies": ["budget/slow"]}, [BUDGET]),
        ({"policies": ["budget/slo", "bud", "error"]}, []),
        ({"policies": ["errors", "budget"]}, [ERRORS, BUDGET]),
        ({"attributes": [{"key": "service.name", "values": ["cart", "email"]}]}, [BUDGET]),
        ({"attributes": [{"key": "tier", "values": ["vip"], "context": "root"}]}, [ERRORS]),
        ({"attributes": [{"key": "tier", "values": ["vip"]}]}, []),
        ({"attributes": [{"key": "padding", "values": ["vip"], "context": "root"}]}, []),
        ({"policies": ["errors"], "attributes": [{"key": "service.name", "values": ["cart"]}]}, []),
        ({"exclude": {"policies": ["errors"]}}, [BUDGET]),
        ({"exclude": {"attributes": [{"key": "service.name", "values": ["cart"]}]}}, [ERRORS]),
        ({"policies": ["errors", "budget"], "exclude": {"policies": ["budget/slow"]}}, [ERRORS]),
    ],
)
def test_traces_are_chosen_within_a_record(route: dict[str, Any], kept: list[bytes]) -> None:
    """Of a record of several traces those that meet the route are sent, each whole."""
    part, spans = select(route, ERRORS + BUDGET)
    assert span_ids([part]) == span_ids(kept)
    assert spans == 3 * len(kept)


def test_a_record_that_is_sent_whole_is_sent_as_it_is() -> None:
    """Where nothing is left out the very bytes of the record are sent, fields that OTLP does not know included."""
    value = ERRORS + b"\x9a\x06\x03abc"
    part, spans = select({"policies": ["errors"]}, value)
    assert part is value
    assert spans == 3


def test_a_root_attribute_must_stand_on_the_root() -> None:
    """The same attribute on another span does not count."""
    child = trace(3, tier="vip")
    assert select({"attributes": [{"key": "sampling.policy", "values": ["errors"], "context": "root"}]}, child)[1] == 3
    assert select({"attributes": [{"key": "service.name", "values": ["shop"], "context": "root"}]}, child)[1] == 0


def test_without_a_route_all_topics_are_read(policies: Policies) -> None:
    """A backend reads the sampled topic, and with a policy file those of its tenants."""
    assert sources_of((), Route(), SAMPLED, None)[0].topics == (SAMPLED,)
    assert sources_of((), Route(), SAMPLED, policies())[0].topics == (SAMPLED, "sampled_acme", "sampled_shared")
    assert sources_of(("^any.*",), Route(), SAMPLED, policies())[0].topics == ("^any.*",)


def test_a_tenant_with_its_own_topic_needs_no_decoding(policies: Policies) -> None:
    """Its topic is read, as it is."""
    sources, conditions = sources_of((), Route(tenants=("acme",)), SAMPLED, policies())
    assert (sources.topics, sources.filtered, conditions) == (("sampled_acme",), frozenset(), None)


def test_tenants_that_share_a_topic_are_told_apart(policies: Policies) -> None:
    """In a topic of several tenants a trace belongs to the first of them that one of its spans names."""
    route = Route(tenants=("acme", "initech", "hooli"))
    sources, conditions = sources_of((), route, SAMPLED, policies())
    assert sources.topics == ("sampled_acme", "sampled_shared", SAMPLED)
    assert sources.filtered == {"sampled_shared", SAMPLED}
    selection = Selection(route, "sampling.policy", conditions)
    mine, other, nobodys = (trace(n, service=name) for n, name in ((1, "initech"), (2, "globex"), (3, "shop")))
    part, _ = selection.part(mine + other + nobodys, by_tenant=True)
    assert span_ids([part]) == span_ids([mine])
    # One trace of two tenants is the first one's, which is not asked for here.
    both = trace(4, service="initech") + trace(4, service="globex")
    assert selection.part(both, by_tenant=True) == (b"", 0)
    assert selection.part(both)[1] == 6


def test_routes_that_cannot_be_followed_say_why(policies: Policies) -> None:
    """Tenants without a policy file, unknown ones, and those that nothing tells apart are errors with the remedy."""
    with pytest.raises(RouteError, match="--policies"):
        sources_of((), Route(tenants=("acme",)), SAMPLED, None)
    with pytest.raises(RouteError, match="has no tenant umbrella; it has: acme, globex, initech, hooli"):
        sources_of((), Route(tenants=("umbrella",)), SAMPLED, policies())
    by_header = policies("header: X-Tenant")
    assert sources_of((), Route(tenants=("acme",)), SAMPLED, by_header)[0].topics == ("sampled_acme",)
    with pytest.raises(RouteError, match="sampled_shared has traces of others too"):
        sources_of((), Route(tenants=("globex",)), SAMPLED, by_header)
    assert not sources_of((), Route(tenants=("globex", "initech")), SAMPLED, by_header)[0].filtered
