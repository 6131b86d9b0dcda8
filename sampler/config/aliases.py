"""`attribute_aliases` of a policy file: attributes that go by several names."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from policies.aliases import SEMCONV_GROUPS, Aliases
from sampler.config.base import Section


def _group(names: list[str]) -> list[str]:
    Aliases([names])
    return names


class AttributeAliases(Section):
    """Attributes that go by several names: a policy that asks for one of them sees all."""

    semconv: bool = False
    """Old and new names of the OpenTelemetry semantic conventions, such as http.status_code and
    http.response.status_code; docs/policies/attribute_aliases.md lists them."""
    groups: list[Annotated[list[str], AfterValidator(_group)]] = Field(default=[])
    """Groups of your own: each lists the names of one thing, such as [tenant, tenant.id, app.tenant_id]."""

    def table(self) -> Aliases:
        """All groups, ready to use."""
        return Aliases((*self.groups, *(SEMCONV_GROUPS if self.semconv else ())))
