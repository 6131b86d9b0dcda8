"""A worker behind a TCP proxy, which is cut off and slowed down."""

from __future__ import annotations

import pytest

from tests.faults.stage import PARTITIONS, Stage
from tests.harness.proxy import TcpProxy


@pytest.mark.parametrize(
    ("cut_s", "name"),
    [
        pytest.param(15, "15 s network cut of a worker", marks=pytest.mark.faults_ci),
        (60, "60 s network cut of a worker"),
    ],
)
def test_network_cut_of_a_worker(stage: Stage, cut_s: float, name: str) -> None:
    """One of two workers hears nothing from the brokers: the other takes over, and the first one contradicts nobody."""
    with TcpProxy(stage.kafka.proxy_routes) as proxy, stage.tier() as tier:
        tier.start_worker(brokers=stage.kafka.proxied_bootstrap)
        tier.start_worker()
        with stage.load(cut_s + 20) as load:
            load.until(8)
            stage.crash(0, PARTITIONS // 2)
            stage.strike()
            proxy.cut()
            load.until(8 + cut_s)
            proxy.heal()
        stage.finish(name)


def test_slow_broker(stage: Stage) -> None:
    """Every packet of the only worker takes longer for a while: it falls behind, and catches up."""
    with TcpProxy(stage.kafka.proxy_routes) as proxy, stage.tier() as tier:
        tier.start_worker(brokers=stage.kafka.proxied_bootstrap)
        with stage.load(30) as load:
            load.until(8)
            stage.strike()
            proxy.slow(0.1)
            load.until(23)
            proxy.slow(0)
        stage.finish("slow broker")
