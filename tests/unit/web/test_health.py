"""Whether a process lives and is ready."""

from __future__ import annotations

import threading

import pytest

from sampler.web.health import Health


def test_a_process_without_parts_is_live_and_ready() -> None:
    """Nothing has anything against it."""
    health = Health()
    assert health.live(0.0).ok
    assert health.ready(0.0).ok


def test_a_part_that_stops_beating_makes_the_process_not_live() -> None:
    """Until it beats again; the limit itself still counts."""
    health = Health()
    health.register("loop", 5.0, now=100.0)
    assert health.live(105.0).ok
    assert not health.live(105.1).ok
    assert not health.ready(105.1).ok
    health.beat("loop", 105.2)
    assert health.live(110.0).ok


def test_a_part_that_is_not_ready_leaves_the_process_live() -> None:
    """With the reason in the answer."""
    health = Health()
    health.register("worker", 5.0, now=0.0)
    health.set_ready("worker", False, "recovering")
    assert health.live(1.0).ok
    status = health.ready(1.0)
    assert not status.ok
    assert status.text("readyz", verbose=False) == "[-]worker failed: recovering\nreadyz failed\n"
    health.set_ready("worker", True)
    assert health.ready(1.0).ok


def test_readiness_needs_no_beat() -> None:
    """A part that never registered is asked for readiness only."""
    health = Health()
    health.set_ready("kafka", False)
    assert health.live(1e9).ok
    assert health.ready(1e9).parts[0].detail == "not ready"


def test_a_beat_of_an_unknown_part_is_a_mistake() -> None:
    """Its limit would be unknown."""
    with pytest.raises(KeyError):
        Health().beat("x", 0.0)


def test_a_part_that_ended_is_forgotten() -> None:
    """It is neither missed nor waited for."""
    health = Health()
    health.register("agent", 1.0, now=0.0)
    health.set_ready("agent", False, "stopping")
    health.unregister("agent")
    health.unregister("agent")
    assert health.ready(100.0).ok


def test_verbose_lists_every_part_by_name() -> None:
    """Those that are well too."""
    health = Health()
    health.register("b", 1.0, now=0.0)
    health.register("a", 100.0, now=0.0)
    text = health.live(2.0).text("livez", verbose=True)
    assert text == "[+]a ok\n[-]b failed: no sign of life for 2.0 s (limit 1 s)\nlivez failed\n"


def test_parts_may_come_and_go_while_others_ask() -> None:
    """Beats from many threads and answers at the same time do not disturb each other."""
    health = Health()
    errors: list[BaseException] = []

    def live_a_while(name: str) -> None:
        try:
            for now in range(500):
                health.register(name, 1.0, float(now))
                health.beat(name, float(now))
                health.ready(float(now))
                health.unregister(name)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=live_a_while, args=(f"part-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert health.live(0.0).parts == ()
