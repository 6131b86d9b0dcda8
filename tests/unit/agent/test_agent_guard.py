"""Who may send, for which tenant, and how much."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path

import pytest

from sampler.agent.guard import Guard, GuardSettings, LimitedError, UnauthenticatedError, WrongTenantError
from sampler.config.errors import ConfigError
from sampler.config.receiving import AgentAuth, AgentLimits, AgentTenant


class Clock:
    """Seconds that pass when told to."""

    now_s = 100.0

    def __call__(self) -> float:
        """Now."""
        return self.now_s


def guard(
    clock: Clock | None = None, auth: AgentAuth | None = None, header: str | None = None, **limits: float
) -> Guard:
    """A guard of these settings."""
    settings = GuardSettings(auth or AgentAuth(), AgentTenant(header=header), AgentLimits.model_validate(limits))
    assert settings.wanted
    return Guard(settings, clock or Clock())


def tokens(tmp_path: Path, text: str) -> AgentAuth:
    """A file of tokens."""
    file = tmp_path / "tokens"
    file.write_text(text)
    return AgentAuth(tokens_file=str(file))


def basic(user: str, password: str) -> str:
    """The header of basic auth."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_without_settings_there_is_nothing_to_ask() -> None:
    """Requests then pass without a guard at all."""
    assert not GuardSettings().wanted


def test_tokens_and_their_tenants(tmp_path: Path) -> None:
    """A token lets in and gives its tenant; a header counts only where the file says so, and never over a token's."""
    hashed = hashlib.sha256(b"the-third").hexdigest()
    text = f"# ours\nthe-first acme\nthe-second *\nsha256:{hashed}\n"
    asked = guard(auth=tokens(tmp_path, text), header="X-Tenant")
    assert asked.enter("Bearer the-first", "globex").tenant == "acme"
    assert asked.enter("bearer the-second", "globex").tenant == "globex"
    assert asked.enter("Bearer the-second", None).tenant is None
    third = asked.enter("Bearer the-third", "globex")
    assert (third.tenant, third.claims) == (None, False)
    for wrong in (None, "", "Bearer", "Bearer nobody", f"Bearer sha256:{hashed}", "Basic dGhlLWZpcnN0"):
        with pytest.raises(UnauthenticatedError, match=r"Authorization") as refused:
            asked.enter(wrong, None)
        assert "nobody" not in str(refused.value)


def test_users_and_passwords(tmp_path: Path) -> None:
    """A user comes in with the own password only, written plain or as a hash."""
    hashed = hashlib.sha256(b"wonderland").hexdigest()
    file = tmp_path / "users"
    file.write_text(f"alice:sha256:{hashed} acme\nbob:pass:word\n")
    asked = guard(auth=AgentAuth(users_file=str(file)))
    assert asked.enter(basic("alice", "wonderland"), None).tenant == "acme"
    assert asked.enter(basic("bob", "pass:word"), None).tenant is None
    for user, password in (("alice", "pass:word"), ("bob", "wonderland"), ("", ""), ("alice", f"sha256:{hashed}")):
        with pytest.raises(UnauthenticatedError):
            asked.enter(basic(user, password), None)


def test_a_header_names_the_tenant_where_nobody_authenticates() -> None:
    """Then anyone may name any; what cannot be a tenant is refused."""
    asked = guard(header="X-Tenant")
    assert asked.enter(None, " acme ").tenant == "acme"
    assert asked.enter(None, None).claims
    for wrong in ("", "a b", "ü", "x" * 101):
        with pytest.raises(WrongTenantError, match="x-tenant"):
            asked.enter(None, wrong)


def test_credentials_are_read_again(tmp_path: Path) -> None:
    """A new file counts within seconds; one with a mistake, or none, leaves what was read before."""
    clock, file = Clock(), tmp_path / "tokens"
    asked = guard(clock, tokens(tmp_path, "one\n"))

    def replace(text: str | None, number: int) -> None:
        file.unlink(missing_ok=True)
        if text is not None:
            file.write_text(text)
            os.utime(file, ns=(number, number))
        clock.now_s += 10

    replace("two\n", 1)
    assert asked.enter("Bearer two", None)
    with pytest.raises(UnauthenticatedError):
        asked.enter("Bearer one", None)
    replace("too many words here\n", 2)
    assert asked.enter("Bearer two", None)
    replace(None, 3)
    assert asked.enter("Bearer two", None)
    replace("three\n", 4)
    assert asked.enter("Bearer three", None)


@pytest.mark.parametrize("text", ["", "# nothing\n", "a b c\n", "sha256:12\n", "token ünknown\n"])
def test_a_bad_file_is_refused_at_the_start(tmp_path: Path, text: str) -> None:
    """With its name and line, without what it holds."""
    with pytest.raises(ConfigError, match=r"agent\.auth\.tokens_file") as refused:
        guard(auth=tokens(tmp_path, text))
    assert str(tmp_path / "tokens") in str(refused.value)
    assert "ünknown" not in str(refused.value)


def test_requests_of_a_second() -> None:
    """Those of a second may come at once; then the rate holds, for each tenant alone, and the wait is told."""
    clock = Clock()
    asked = guard(clock, header="X-Tenant", requests_per_second=4)
    for _ in range(4):
        asked.enter(None, "acme")
    with pytest.raises(LimitedError, match="tenant acme") as refused:
        asked.enter(None, "acme")
    assert refused.value.retry_after_s == pytest.approx(0.25)
    asked.enter(None, "globex")
    clock.now_s += 0.25
    asked.enter(None, "acme")
    with pytest.raises(LimitedError):
        asked.enter(None, "acme")
    clock.now_s += 60
    for _ in range(4):
        asked.enter(None, "acme")
    with pytest.raises(LimitedError):
        asked.enter(None, "acme")


def test_bytes_of_a_second() -> None:
    """The request that goes over the limit still comes; the next one waits until that is made up for."""
    clock = Clock()
    asked = guard(clock, bytes_per_second=1000)
    body = b"\x1a\xc2\x13" + b"x" * 2498  # a field that is not known here
    assert asked.stamped(asked.enter(None, None), body) == body
    with pytest.raises(LimitedError) as refused:
        asked.enter(None, None)
    assert refused.value.retry_after_s == pytest.approx(1.502)
    clock.now_s += refused.value.retry_after_s
    asked.enter(None, None)


def test_requests_under_way() -> None:
    """Beyond the bound a request is refused until another one is answered."""
    asked = guard(max_concurrent_requests=2)
    asked.enter(None, None)
    asked.enter(None, None)
    with pytest.raises(LimitedError, match="max_concurrent_requests"):
        asked.enter(None, None)
    asked.leave()
    asked.enter(None, None)
