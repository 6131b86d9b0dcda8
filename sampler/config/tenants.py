"""`tenants` of a policy file: policy sets of tenants, beside the default one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Protocol

from pydantic import Field, StringConstraints

from policies.budget import BudgetRule
from policies.errors import PolicyConfigError
from policies.policy_set import PolicySet
from policies.registry import Registry
from policies.tenants import Tenant, TenantPolicySets
from sampler.config.aliases import AttributeAliases
from sampler.config.base import Section, TopicName
from sampler.config.budget import Budget, unknown_names
from sampler.config.document import Document, typed
from sampler.config.errors import KeyPath, Problem
from sampler.config.mistakes import all_mistakes
from sampler.config.notes import Notes
from sampler.config.spellings import normalise

TenantName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9._-]{1,100}$")]
Text = Annotated[str, Field(min_length=1)]


class TenantSet(Section):
    """The policies of one tenant. All other settings of the block hold for every tenant."""

    match: tuple[Text, ...] = ()
    """Values of the attribute or header that mean this tenant; without, its name."""
    topic: TopicName | None = None
    """Where its kept traces go; without, kafka.topics.sampled. Made like that one where it is missing."""
    sample_on_first_match: bool | None = None
    """In place of the block's."""
    budget: Budget | None = None
    """What its policies together may keep; without, what they want. The block's is for the default policies."""
    policies: list[dict[str, Any]] = Field(min_length=1)
    """Its policies, in place of the default ones."""


class Tenants(Section):
    """Which tenant a span belongs to, and the tenants that have policies of their own."""

    attribute: Text | None = None
    """A text attribute of the resource that names the tenant; this or `header`."""
    header: Text | None = None
    """A header of the Kafka record that names the tenant of all its spans, in UTF-8."""
    sets: dict[TenantName, TenantSet] = Field(min_length=1)
    """The tenants by name. A trace with spans of several goes to the first of them here."""


class Build(Protocol):
    """Builds a policy set; PolicyConfigError where the list is wrong. The settings go before those of the block."""

    def __call__(
        self,
        specs: list[Any],
        *,
        hash_salt: str | None = None,
        sample_on_first_match: bool | None = None,
        budget: BudgetRule | None = None,
    ) -> PolicySet: ...


class TenantReader:
    """Reads the policies of all tenants in a document, whose block stands at `base`.

    What is wrong goes to `problems`.
    """

    def __init__(self, document: Document, base: KeyPath, notes: Notes, problems: list[Problem]) -> None:
        self._document = document
        self._base = (*base, "tenants")
        self._notes = notes
        self._problems = problems
        self._build: Build | None = None
        self.specs: dict[str, tuple[dict[str, Any], ...]] = {}
        """The policies of each tenant in the form of the reference."""

    def read(self, tenants: Any, registry: Registry, build: Build) -> None:
        """Look at all that is written below `tenants`, also where the model has refused some of it."""
        if not isinstance(tenants, dict):
            return
        self._build = build
        if bool(tenants.get("attribute")) == bool(tenants.get("header")):
            key, what = (("header",), "both are set") if tenants.get("header") else ((), "none is set")
            self._wrong(key, f"either attribute or header says which tenant a span belongs to: {what}")
        sets = tenants.get("sets")
        for name, each in sets.items() if isinstance(sets, dict) else ():
            specs = each.get("policies") if isinstance(each, dict) else None
            if isinstance(specs, list) and specs:
                self._read_policies(str(name), specs, registry, build)

    def joined(
        self, default: PolicySet | None, tenants: Tenants | None, aliases: AttributeAliases
    ) -> PolicySet | TenantPolicySets | None:
        """All sets as one; None where something is wrong."""
        if tenants is None or default is None or self._build is None:
            return default
        self._check_values(tenants)
        self._check_budgets(tenants)
        if self._problems:
            return None
        salt = default.randomness.salt
        members = [
            Tenant(name, each.match or (name,), self._set(self._build, name, each, salt), each.topic or "")
            for name, each in tenants.sets.items()
        ]
        return TenantPolicySets(
            default, members, attribute=tenants.attribute or "", header=tenants.header or "", aliases=aliases.table()
        )

    def place_of(self, note: str) -> KeyPath | None:
        """The place of a note of a tenant's policies; None for any other note."""
        if not note.startswith('tenant "'):
            return None
        name, _, rest = note.removeprefix('tenant "').partition('": ')
        return place_of(rest, self.specs.get(name, ()), (*self._base, "sets", name, "policies"))

    def _read_policies(self, name: str, specs: list[Any], registry: Registry, build: Build) -> None:
        place = (*self._base, "sets", name, "policies")
        specs = typed(normalise(specs, place, self._document, registry, self._notes))
        try:
            build(specs)
        except PolicyConfigError as error:
            for each in all_mistakes(specs, build, error):
                self._problems.append(self._document.problem((*place, *each.loc), each.message, each.suggestion))
        self.specs[name] = tuple(specs)

    def _set(self, build: Build, name: str, tenant: TenantSet, salt: str) -> PolicySet:
        return build(
            list(self.specs[name]),
            hash_salt=salt,
            sample_on_first_match=tenant.sample_on_first_match,
            budget=tenant.budget.rule if tenant.budget is not None else None,
        )

    def _check_budgets(self, tenants: Tenants) -> None:
        for name, each in tenants.sets.items():
            names = [str(spec.get("name")) for spec in self.specs.get(name, ()) if isinstance(spec, dict)]
            place = (*self._base, "sets", name, "budget")
            self._problems += unknown_names(each.budget, names, self._document, place)

    def _check_values(self, tenants: Tenants) -> None:
        owner: dict[str, str] = {}
        for name, each in tenants.sets.items():
            for index, value in enumerate(each.match or (name,)):
                if value in owner:
                    key = ("match", index) if each.match else ()
                    self._wrong(("sets", name, *key), f"{value!r} means the tenant {owner[value]!r} already")
                owner[value] = name

    def _wrong(self, key: KeyPath, message: str) -> None:
        self._problems.append(self._document.problem((*self._base, *key), message))


def place_of(note: str, specs: Sequence[Any], place: KeyPath) -> KeyPath:
    """The policy of the list that a note of the policy set begins with, by its name."""
    name = note.removeprefix('policy "').split('": ')[0]
    names = {str(spec["name"]): index for index, spec in enumerate(specs)}
    while name not in names and "/" in name:
        name = name.rpartition("/")[0]
    return (*place, names[name]) if name in names else place
