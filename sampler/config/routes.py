"""`route` of a backend: which traces are sent there."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sampler.config.base import Section

Text = Annotated[str, Field(min_length=1)]


class AttributeRoute(Section):
    """Traces with a text attribute that has one of the values."""

    key: Text
    """Its name."""
    values: tuple[Text, ...] = Field(min_length=1)
    """What it may be, any of them; values that are no text do not count."""
    context: Literal["resource", "root"] = "resource"
    """Where it stands: on the resource of any span, or on the root span."""


class Exclude(Section):
    """What is not sent although the rest of the route lets it through."""

    policies: tuple[Text, ...] = ()
    """Traces kept by one of these policies."""
    attributes: tuple[AttributeRoute, ...] = ()
    """Traces with one of these attributes."""


class Route(Section):
    """Which traces are sent; without settings, all. Where several are set, all must hold."""

    tenants: tuple[Text, ...] = ()
    """Traces of one of these tenants of the policy file, which the exporter has to be given (`--policies`)."""
    policies: tuple[Text, ...] = ()
    """Traces kept by one of these policies, as the spans' attribute sampling.policy says: a name, or the beginning of a
    path (`budget` means `budget/errors` too)."""
    attributes: tuple[AttributeRoute, ...] = ()
    """Traces with one of these attributes."""
    exclude: Exclude = Exclude()
