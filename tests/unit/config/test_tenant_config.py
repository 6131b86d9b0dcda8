"""Tenants in a policy file."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from policies.tenants import TenantPolicySets
from sampler.config import Config, ConfigError, PolicyFile, load_policies
from sampler.config.policies import parse_policies
from sampler.config.resolved import policies_tree
from sampler.config.schema import schema_of
from sampler.scan_plan import plan_of
from sampler.topic_specs import tenant_topics, topic_specs
from tests.harness.json_schema import faults

ROOT = Path(__file__).parents[3]
FILE = """\
tail_sampling:
  hash_salt: pepper
  policies:
    - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
  tenants:
    attribute: tenant.id
    sets:
      acme:
        match: [acme, acme-eu]
        topic: spans_acme
        policies:
          - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
          - {name: tenth, type: probabilistic, probabilistic: {sampling_percentage: 10}}
      globex:
        sample_on_first_match: true
        policies:
          - {name: limit, type: rate_limiting, rate_limiting: {spans_per_second: 5}}
"""


def load(text: str = FILE) -> PolicyFile:
    return parse_policies(text, "p.yaml")


def told(text: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        load(text)
    return str(raised.value).splitlines()


def test_tenants_become_sets_of_one_randomness() -> None:
    """With values, topics and settings of their own, and the salt of all."""
    file = load()
    policies = file.policy_set
    assert isinstance(policies, TenantPolicySets)
    assert policies.names == ("errors", "acme/errors", "acme/tenth", "globex/limit")
    acme, globex = policies.tenants
    assert (acme.values, acme.output, globex.values, globex.output) == (
        ("acme", "acme-eu"),
        "spans_acme",
        ("globex",),
        "",
    )
    assert {each.policies.randomness.salt for each in policies.tenants} == {policies.randomness.salt} == {"pepper"}
    assert (acme.policies.sample_on_first_match, globex.policies.sample_on_first_match) == (False, True)
    assert file.tenant_topics == {"acme": "spans_acme"}
    assert plan_of(file).conditions == policies.span_conditions
    assert file.identity != load(FILE.replace("spans_acme", "acme_spans")).identity


def test_a_header_may_name_the_tenant() -> None:
    """In place of the attribute."""
    policies = load(FILE.replace("attribute: tenant.id", "header: X-Tenant")).policy_set
    assert policies.by_header.name == "X-Tenant"
    assert policies.by_header.bit_of == {"acme": 0, "acme-eu": 0, "globex": 1}


@pytest.mark.parametrize(
    ("old", "new", "first"),
    [
        ("attribute: tenant.id", "attribute: tenant.id\n    header: X",
         "p.yaml:7: tail_sampling.tenants.header: either attribute or header says which tenant"),
        ("    attribute: tenant.id\n", "",
         "p.yaml:5: tail_sampling.tenants: either attribute or header says which tenant"),
        ("globex:", "acme-eu:",
         "p.yaml:14: tail_sampling.tenants.sets.acme-eu: 'acme-eu' means the tenant 'acme' already"),
        ("acme-eu]", "acme]",
         "p.yaml:9: tail_sampling.tenants.sets.acme.match[1]: 'acme' means the tenant 'acme' already"),
        ("topic:", "topik:", "p.yaml:10: tail_sampling.tenants.sets.acme.topik: unknown key (did you mean topic?)"),
        ("topic: spans_acme", "topic: a b",
         "p.yaml:10: tail_sampling.tenants.sets.acme.topic: has characters that are not allowed here"),
        ("globex:", "glo bex:",
         "p.yaml:14: tail_sampling.tenants.sets.glo bex: has characters that are not allowed here"),
        ("rate_limiting,", "rate_limitin,",
         "p.yaml:17: tail_sampling.tenants.sets.globex.policies[0].type: policy \"limit\": unknown sampling"),
        ("spans_per_second", "spans_per_secnd",
         "p.yaml:17: tail_sampling.tenants.sets.globex.policies[0].rate_limiting.spans_per_secnd: policy \"limit\": "),
        ("sets:", "set:", "p.yaml:5: tail_sampling.tenants.sets: is required"),
        ("sample_on_first_match: true", "sample_on_first_match: maybe",
         "p.yaml:15: tail_sampling.tenants.sets.globex.sample_on_first_match: must be true or false"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_at_its_line(old: str, new: str, first: str) -> None:
    """In words for people, with the name that was probably meant."""
    assert FILE.count(old) == 1
    assert told(FILE.replace(old, new))[0].startswith(first)


def test_mistakes_of_all_sets_are_told_together() -> None:
    """Those of the default policies too, in the order of their lines."""
    lines = [line.split(":")[1] for line in told(FILE.replace("[ERROR]", "[ERR]").replace("5}", "-5}"))]
    assert lines == ["4", "12", "17"]


def test_notes_are_said_at_the_tenants_policy() -> None:
    """Other spellings, and what a policy set has to say."""
    text = FILE.replace("sampling_percentage: 10}", "sampling_percentage: '10', hash_salt: mine}")
    notes = load(text).notes
    assert [note.split(": ")[0] for note in notes] == ["p.yaml:13", "p.yaml:13"]
    assert "tenants.sets.acme.policies[1].probabilistic.sampling_percentage: is text" in notes[0]
    assert any('tenant "acme": policy "tenth": its hash_salt has no effect' in note for note in notes)


def test_what_is_in_force_is_shown() -> None:
    """With the tenants' policies in the form of the reference."""
    sets = policies_tree(load(FILE.replace("rate_limiting, r", "rate-limiting, r")), defaults=False)
    globex = sets["tail_sampling"]["tenants"]["sets"]["globex"]
    assert globex["policies"] == [{"name": "limit", "type": "rate_limiting", "rate_limiting": {"spans_per_second": 5}}]


def test_topics_of_tenants_are_made_like_the_sampled_one() -> None:
    """One for each name; the sampled topic itself needs no other."""
    text = FILE.replace("sample_on_first_match: true", "topic: otlp_spans_sampled")
    kafka = Config().kafka
    assert tenant_topics(kafka, load(text)) == ("spans_acme",)
    specs = {spec.name: spec for spec in topic_specs(kafka, ("spans_acme",))}
    assert specs["spans_acme"].config == specs["otlp_spans_sampled"].config
    assert specs["spans_acme"].partitions == specs["otlp_spans_sampled"].partitions
    assert len(specs) == 6


@pytest.mark.parametrize("topic", ["otlp_spans", "tailsampler.decisions", "otlp_spans_dead_letter"])
def test_a_topic_with_another_use_is_refused(topic: str) -> None:
    """Kept spans in the span topic would be sampled for ever."""
    with pytest.raises(ConfigError, match=r"p.yaml: tenants.sets.acme.topic: \S+ is the topic of"):
        tenant_topics(Config().kafka, load(FILE.replace("spans_acme", topic)))


def test_too_many_conditions_are_refused() -> None:
    """256 of all sets together."""
    policy = "{name: a, type: string_attribute, string_attribute: {key: k, values: [%dx]}}"
    text = FILE + "".join(f"      t{n}: {{policies: [{policy % n}]}}\n" for n in range(130))
    with pytest.raises(ConfigError, match="at most 256"):
        plan_of(load(text))


@pytest.mark.parametrize(
    ("old", "new", "right"),
    [
        ("acme-eu]", "acme-us]", True),
        ("match: [acme, acme-eu]", "match: acme", False),
        ("topic:", "topik:", False),
        ("rate_limiting, r", "latency, r", False),
        ("spans_per_second: 5", "spans_per_second: many", False),
    ],
)
def test_the_schema_knows_tenants(old: str, new: str, right: bool) -> None:
    """Down to the settings of their policies."""
    assert FILE.count(old) == 1
    schema = schema_of("policies")
    assert (list(faults(yaml.safe_load(FILE.replace(old, new)), schema, schema)) == []) is right


def test_the_example_of_the_page_loads(tmp_path: Path) -> None:
    """Without notes."""
    page = (ROOT / "docs/tenants.md").read_text(encoding="utf-8")
    path = tmp_path / "policies.yaml"
    path.write_text(page.split("```yaml\n")[1].split("```")[0])
    file = load_policies(path, environment={})
    assert file.notes == ()
    assert {"acme", "globex"} <= {each.partition("/")[0] for each in file.policy_set.names}
