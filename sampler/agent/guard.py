"""Who may send, for which tenant, and how much: asked for every request of both transports."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from sampler.agent.credentials import ANY_TENANT, Credentials, Sender
from sampler.agent.limits import Rates
from sampler.agent.stamp import Stamp
from sampler.config.receiving import AgentAuth, AgentLimits, AgentTenant

BUSY_RETRY_S = 1.0
_TENANT = re.compile(r"[!-~]{1,100}")


class UnauthenticatedError(Exception):
    """The sender brings no credential that is known."""


class WrongTenantError(Exception):
    """The header that names a tenant holds something that cannot be one."""


class LimitedError(Exception):
    """Beyond a limit; the same request may be sent again after `retry_after_s` seconds."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """What the guard is made of; with none of it, requests pass without being looked at."""

    auth: AgentAuth = field(default_factory=AgentAuth)
    tenant: AgentTenant = field(default_factory=AgentTenant)
    limits: AgentLimits = field(default_factory=AgentLimits)

    @property
    def wanted(self) -> bool:
        """Whether there is anything to look at."""
        limits = self.limits
        limited = limits.max_concurrent_requests or limits.requests_per_second or limits.bytes_per_second
        return bool(self.auth.tokens_file or self.auth.users_file or self.tenant.header or limited)


@dataclass(frozen=True, slots=True)
class Admission:
    """A request that may come. `tenant` is to be stamped; with `claims` off, what the sender says of it is removed."""

    sender: str
    tenant: str | None
    claims: bool


class Guard:
    """Lives on one event loop. ConfigError where a file of credentials cannot be used."""

    def __init__(self, settings: GuardSettings, clock: Callable[[], float]) -> None:
        auth, limits = settings.auth, settings.limits
        self._clock = clock
        known = bool(auth.tokens_file or auth.users_file)
        self._credentials = Credentials(auth.tokens_file, auth.users_file, clock) if known else None
        self.tenant_header = settings.tenant.header.lower() if settings.tenant.header else None
        self._stamp = Stamp(settings.tenant.attribute)
        limited = limits.requests_per_second or limits.bytes_per_second
        self._rates = Rates(limits.requests_per_second, limits.bytes_per_second) if limited else None
        self._most = limits.max_concurrent_requests
        self._under_way = 0

    def enter(self, authorization: str | None, tenant_header: str | None) -> Admission:
        """Let a request in, or raise why not; `leave` must follow when it is answered."""
        admission = self._admitted(authorization, tenant_header)
        if self._most and self._under_way >= self._most:
            raise LimitedError(
                f"{self._most} requests are under way (agent.limits.max_concurrent_requests)", BUSY_RETRY_S
            )
        if self._rates is not None:
            wait_s = self._rates.take(admission.sender, self._clock())
            if wait_s:
                raise LimitedError(
                    f"{admission.sender or 'senders without a name'}: more than agent.limits allows in a second",
                    wait_s,
                )
        self._under_way += 1
        return admission

    def stamped(self, admission: Admission, request: bytes) -> bytes:
        """The request as it goes on, its bytes charged; ScanError where it is not OTLP."""
        if self._rates is not None:
            self._rates.charge(admission.sender, len(request), self._clock())
        if admission.claims and admission.tenant is None:
            return request
        return self._stamp.set(request, admission.tenant)

    def leave(self) -> None:
        """A request that was let in is answered."""
        self._under_way -= 1

    def _admitted(self, authorization: str | None, tenant_header: str | None) -> Admission:
        if self._credentials is None:
            tenant = self._named(tenant_header)
            return Admission(f"tenant {tenant}" if tenant else "", tenant, claims=True)
        sender = self._credentials.sender(authorization)
        if sender is None:
            what = "no credential that is known here" if authorization else "no credential"
            raise UnauthenticatedError(
                f"the request brings {what}: send the header Authorization, Bearer with a token or Basic "
                "(agent.auth; OTEL_EXPORTER_OTLP_HEADERS of the sender)"
            )
        return self._of_sender(sender, tenant_header)

    def _of_sender(self, sender: Sender, tenant_header: str | None) -> Admission:
        assert self._credentials is not None
        if sender.tenant == ANY_TENANT:
            tenant = self._named(tenant_header)
            return Admission(f"tenant {tenant}" if tenant else sender.name, tenant, claims=True)
        if sender.tenant is not None:
            return Admission(f"tenant {sender.tenant}", sender.tenant, claims=False)
        return Admission(sender.name, None, claims=not self._credentials.assign_tenants)

    def _named(self, header: str | None) -> str | None:
        """The tenant that a header names, where headers may."""
        if self.tenant_header is None or header is None:
            return None
        tenant = header.strip()
        if not _TENANT.fullmatch(tenant):
            raise WrongTenantError(f"the header {self.tenant_header} must hold 1 to 100 printable ASCII characters")
        return tenant
