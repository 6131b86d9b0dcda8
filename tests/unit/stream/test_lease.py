"""When a worker may decide."""

from __future__ import annotations

from sampler.stream.lease import Lease


def test_the_lease_holds_for_half_a_session_after_the_last_request_that_was_answered() -> None:
    """Before anything was answered there is no lease."""
    lease = Lease(session_timeout_s=10)
    assert not lease.holds(0)
    lease.renew(100)
    assert lease.holds(104.9)
    assert not lease.holds(105)


def test_an_answer_that_comes_late_renews_nothing_that_had_not_been_renewed_before() -> None:
    """An old answer, read after a newer one, does not take the lease back."""
    lease = Lease(session_timeout_s=10)
    lease.renew(100)
    lease.renew(97)
    assert lease.holds(104)
