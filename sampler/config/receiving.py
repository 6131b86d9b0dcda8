"""Who may send to the agent, on behalf of which tenant, and how much."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from sampler.config.base import Section
from sampler.config.units import Size

Text = Annotated[str, Field(min_length=1)]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,100}$")]


class AgentAuth(Section):
    """What a sender must bring. Without a file anyone who reaches the port may send.

    The files are read again when they change.
    """

    tokens_file: Text | None = None
    """Bearer tokens, one a line. Behind a token and a space its tenant may stand, or `*`: any tenant, named by the
    header of agent.tenant. In place of a token, `sha256:` and the hex digits of its hash."""
    users_file: Text | None = None
    """Users for basic auth, `user:password` or `user:sha256:...` of the password, and behind it a tenant as above."""


class AgentTenant(Section):
    """How spans are marked with the tenant of who sends them: as an attribute of the resource, in place of any that
    the sender wrote itself.
    """

    attribute: Text = "tenant.id"
    """The attribute; `tenants.attribute` of the policy file."""
    header: HeaderName | None = None
    """A header of the request (gRPC metadata) that names the tenant, such as X-Tenant; without, headers name none.
    Where senders have to authenticate it counts only for those whose tenant is `*`."""


class AgentLimits(Section):
    """What is taken at most, so that one sender cannot crowd out the others. 0 is no limit.

    Whoever is beyond a limit is told to try again later, and when.
    """

    max_connections: int = Field(default=0, ge=0)
    """Open connections, of each transport."""
    max_concurrent_requests: int = Field(default=0, ge=0)
    """Requests under way, of both transports together."""
    requests_per_second: float = Field(default=0, ge=0)
    """Requests of one tenant, or of one sender that has none; those of a second may come at once."""
    bytes_per_second: Size = Field(default=0, ge=0)
    """Their size after decompression."""
