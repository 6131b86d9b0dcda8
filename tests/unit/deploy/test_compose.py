"""deploy/compose: what must hold for it to come up, as far as that can be said without containers."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sampler.config import load_config, load_policies
from tests.harness.command_line import mistakes
from tests.harness.prometheus import promtool

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy/compose"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("agent", "worker", "exporter")

# Every key of the compose specification that is used here; a misspelt one is in neither list.
KEYS = {
    "image", "build", "restart", "environment", "ports", "volumes", "healthcheck", "command", "depends_on",
    "stop_grace_period", "read_only", "tmpfs", "cap_drop", "security_opt",
}  # fmt: skip
HEALTH = {"test", "interval", "timeout", "retries", "start_period"}


def mounts(service: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Source and target of every volume."""
    for each in service.get("volumes", ()):
        source, target, *_ = each.split(":")
        yield source, target


def inside(service: dict[str, Any], path: str) -> Path:
    """The file of the tree that a container sees under a path."""
    for source, target in mounts(service):
        if path == target or path.startswith(f"{target}/"):
            return (FOLDER / source / path.removeprefix(target).lstrip("/")).resolve()
    raise AssertionError(f"nothing is mounted at {path}")


def test_services_say_what_compose_knows() -> None:
    """Known keys only, an image with a version for each, and a dependency that exists and can be healthy."""
    assert set(COMPOSE) == {"name", "x-tailsampler", "services", "volumes"}
    for name, service in SERVICES.items():
        assert service.keys() <= KEYS, name
        assert re.fullmatch(r"[a-z0-9/-]+:v?\d+\.\d+\.\d+", service["image"]), name
        assert service.get("healthcheck", {}).keys() <= HEALTH
        for other, how in service.get("depends_on", {}).items():
            assert "healthcheck" in SERVICES[other]
            assert how == {"condition": "service_healthy"}


def test_what_is_mounted_is_there() -> None:
    """Named volumes are declared and used, and everything else is a file or folder of the tree."""
    named = set()
    for name, service in SERVICES.items():
        for source, target in mounts(service):
            assert target.startswith("/")
            if source.startswith("."):
                assert (FOLDER / source).exists(), f"{name}: {source}"
            else:
                named.add(source)
    assert named == set(COMPOSE["volumes"])


def test_ports_are_of_this_machine_and_do_not_clash() -> None:
    """Nothing listens on other addresses than localhost, and no port is given out twice."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in ports)
    published = [port.split(":")[1] for port in ports]
    assert len(set(published)) == len(published)


@pytest.mark.parametrize("name", OURS)
def test_our_containers_are_restricted(name: str) -> None:
    """Read-only, without capabilities, and built from the Containerfile."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert (FOLDER / service["build"]["context"] / service["build"]["dockerfile"]).resolve().is_file()


@pytest.mark.parametrize("name", OURS)
def test_commands_and_files_are_valid(name: str) -> None:
    """The command line parses, the files it names are mounted, and the product accepts them."""
    service = SERVICES[name]
    command = service["command"]
    assert mistakes(command) == ""
    options = dict(zip(command[1::2], command[2::2], strict=True))
    config = load_config(inside(service, options["--config"]), environment={})
    if "--policies" in options:
        assert load_policies(inside(service, options["--policies"]), environment={}).notes == ()
        assert config.worker.data_dir in {target for _, target in mounts(service)}


def test_the_addresses_are_those_of_the_services() -> None:
    """Kafka, the backend and the scraped processes are named as the services are, with the ports they listen on."""
    config = load_config(FOLDER / "config.yaml", environment={})
    listeners = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"PLAINTEXT://{config.kafka.brokers[0]}" in listeners
    (backend,) = config.exporter.backends
    assert backend.endpoint.partition(":")[0] in SERVICES
    web_port = config.web.endpoint.rpartition(":")[2]
    scrapes = yaml.safe_load((FOLDER / "prometheus.yaml").read_text(encoding="utf-8"))["scrape_configs"]
    targets = {target for scrape in scrapes for each in scrape["static_configs"] for target in each["targets"]}
    assert targets == {f"{name}:{web_port}" for name in OURS}
    published = {port.rpartition(":")[2] for port in SERVICES["agent"]["ports"]}
    assert published == {each.rpartition(":")[2] for each in (
        config.agent.grpc.endpoint, config.agent.http.endpoint, config.web.endpoint)}  # fmt: skip
    for name in OURS:
        assert f"http://localhost:{web_port}/readyz" in SERVICES[name]["healthcheck"]["test"][-1]


def test_prometheus_accepts_its_configuration(tmp_path: Path) -> None:
    """It is checked by promtool, with the rules where the container finds them."""
    shutil.copy(inside(SERVICES["prometheus"], "/etc/prometheus/rules/tailsampler.yaml"), tmp_path / "tailsampler.yaml")
    text = (FOLDER / "prometheus.yaml").read_text(encoding="utf-8").replace("/etc/prometheus/rules", str(tmp_path))
    (tmp_path / "config").write_text(text)
    code, said = promtool(["check", "config", "config"], tmp_path)
    assert code == 0, said
    assert "1 rule files found" in said


def test_grafana_finds_dashboards_and_data() -> None:
    """The provider's folder holds the dashboards, and their data sources are provisioned."""
    grafana = SERVICES["grafana"]
    provisioned = "/etc/grafana/provisioning"
    dashboards = yaml.safe_load(inside(grafana, f"{provisioned}/dashboards/tailsampler.yaml").read_text())
    folder = inside(grafana, dashboards["providers"][0]["options"]["path"])
    files = sorted(folder.rglob("*.json"))
    assert files
    assert all(json.loads(path.read_text(encoding="utf-8"))["panels"] for path in files)
    sources = yaml.safe_load(inside(grafana, f"{provisioned}/datasources/tailsampler.yaml").read_text())["datasources"]
    for source in sources:
        assert source["url"].split("/")[2].partition(":")[0] in SERVICES
