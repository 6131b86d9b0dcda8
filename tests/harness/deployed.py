"""What the files under deploy/ start, as processes of this machine: their own commands, files, environment and probes.

Only paths and addresses are other ones: a container has a root and a network of its own, a process has not. Names of
topics are the test's, because all tests share one Kafka.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.harness.helm import render
from tests.harness.process import REPOSITORY, TestProcess, free_ports, http_ok

COMPOSE = REPOSITORY / "deploy/compose"
SYSTEMD = REPOSITORY / "deploy/systemd"
PORTS = {"4317": "otlp-grpc", "4318": "otlp-http", "8483": "web", "8484": "web", "8485": "web"}
"""What listens at the ports that the files name."""


@dataclass
class Part:
    """One process as its file describes it, with its own folder in place of a root and its own ports."""

    name: str
    folder: Path
    command: list[str]
    env: dict[str, str]
    stop_s: float
    """How long it may take to end."""
    ports: dict[str, int] = field(default_factory=dict)
    health_command: list[str] = field(default_factory=list)

    def start(self) -> TestProcess:
        """Start it, in a working folder of its own in which nothing must ever appear."""
        for each in ("cwd", "tmp"):
            (self.folder / each).mkdir(exist_ok=True)
        env = {"HOME": "/nonexistent", "TMPDIR": str(self.folder / "tmp"), **self.env}
        return TestProcess(self.command, self.folder / "log", env, self.folder / "cwd").start()

    def url(self, path: str) -> str:
        """Where its web server answers."""
        return f"http://127.0.0.1:{self.ports['web']}{path}"

    def healthy(self) -> bool:
        """Whether it is ready, asked with the file's own command where it has one."""
        if self.health_command:
            return subprocess.run(self.health_command, capture_output=True, check=False, timeout=30).returncode == 0
        return http_ok(self.url("/livez")) and http_ok(self.url("/readyz"))

    @property
    def written(self) -> list[Path]:
        """What it wrote where it may not."""
        return sorted((self.folder / "cwd").rglob("*"))


@dataclass(frozen=True)
class Place:
    """Where the test wants things: its Kafka, its backend, its topics, its folder."""

    folder: Path
    bootstrap: str
    backend: str
    prefix: str

    @property
    def kafka(self) -> dict[str, Any]:
        """The `kafka:` block of the test, over the file's."""
        names = ("spans", "sampled", "decisions", "keyspace", "dead_letter")
        return {
            "brokers": [self.bootstrap],
            "topics": {name: f"{self.prefix}-{name}" for name in names},
            "group_id": f"{self.prefix}-group",
            "partitions": 4,
            "replication_factor": 1,
            "min_insync_replicas": 1,
        }

    def config(self, text: str) -> str:
        """The configuration of a file with the test's Kafka and backend."""
        config = yaml.safe_load(text)
        config["kafka"] = {**config.get("kafka", {}), **self.kafka}
        for backend in config["exporter"]["backends"]:
            backend["endpoint"] = self.backend
        return yaml.safe_dump(config)

    def policies(self, text: str) -> str:
        """The policies of a file with a wait that a test can await."""
        return re.sub(r"decision_wait: \d+s", "decision_wait: 2s", text)

    def root(self, name: str) -> Path:
        """A folder in place of a container's root."""
        path = self.folder / name
        path.mkdir()
        return path


def on_free_ports(text: str, ports: dict[str, int]) -> str:
    """The text with every address to listen on, and every one of this machine, on a free port; noted in `ports`."""

    def free(found: re.Match[str]) -> str:
        what = PORTS[found[1]]
        if what not in ports:
            ports[what] = free_ports(1)[0]
        return f"127.0.0.1:{ports[what]}"

    return re.sub(r"(?:0\.0\.0\.0|localhost):(\d{4})\b", free, text)


def write_mounted(folder: Path, files: Mapping[str, str]) -> None:
    """Files as the kubelet mounts a ConfigMap: behind a link to a folder that is exchanged as a whole."""
    folder.mkdir(parents=True, exist_ok=True)
    number = len(list(folder.glob("..20*")))
    version = folder / f"..20{number}"
    version.mkdir()
    for name, text in files.items():
        (version / name).write_text(text)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    fresh = folder / "..data_tmp"
    fresh.symlink_to(version.name)
    fresh.replace(folder / "..data")


def chart_parts(place: Place) -> Iterator[Part]:
    """The pods of the chart, exporter included: commands, mounts, environment, probes and time to end as rendered."""
    settings = {
        "exporter.enabled": "true",
        "config.exporter": '{"backends": [{"name": "b", "endpoint": "b:4317", "tls": {"insecure": true}}]}',
    }
    manifests = render(settings=settings)
    maps = {each["metadata"]["name"]: each["data"] for each in manifests if each["kind"] == "ConfigMap"}
    for manifest in manifests:
        if manifest["kind"] not in {"Deployment", "StatefulSet"}:
            continue
        pod = manifest["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        root, ports = place.root(container["name"]), dict[str, int]()
        sources = {volume["name"]: volume for volume in pod["volumes"]}
        for mount in container["volumeMounts"]:
            inside = root / mount["mountPath"].lstrip("/")
            inside.mkdir(parents=True, exist_ok=True)
            if name := sources.get(mount["name"], {}).get("configMap", {}).get("name"):
                write_mounted(inside, {key: _mapped(place, key, text, root, ports) for key, text in maps[name].items()})
        fields = {
            "metadata.name": f"{manifest['metadata']['name']}-0",
            "metadata.namespace": "tracing",
            "spec.nodeName": "n1",
        }
        env = {each["name"]: fields[each["valueFrom"]["fieldRef"]["fieldPath"]] for each in container["env"]}
        probes = {container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
        assert probes == {"/livez", "/readyz"}
        command = [*container["command"], *container["args"]]
        yield Part(container["name"], root, _rooted(command, root), env, pod["terminationGracePeriodSeconds"], ports)


def compose_parts(place: Place) -> Iterator[Part]:
    """The three services of the compose file that are ours, behind the Containerfile's entry point."""
    services = yaml.safe_load((COMPOSE / "compose.yaml").read_text(encoding="utf-8"))["services"]
    for name in ("agent", "worker", "exporter"):
        service = services[name]
        root, ports = place.root(name), dict[str, int]()
        for each in service["volumes"]:
            source, target, *_ = each.split(":")
            inside = root / target.lstrip("/")
            for file in [COMPOSE / source] if (COMPOSE / source).is_file() else (COMPOSE / source).glob("*"):
                path = inside if (COMPOSE / source).is_file() else inside / file.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(_mapped(place, file.name, file.read_text(encoding="utf-8"), root, ports))
            if not source.startswith("."):
                inside.mkdir(parents=True)
        health = [sys.executable, *(on_free_ports(each, ports) for each in service["healthcheck"]["test"][2:])]
        stop_s = float(service["stop_grace_period"].removesuffix("s"))
        yield Part(name, root, _rooted(["tailsampler", *service["command"]], root), {}, stop_s, ports, health)


def systemd_parts(place: Place) -> Iterator[Part]:
    """The units of agent, worker and exporter, with the example configuration beside them."""
    for unit in ("tailsampler-agent", "tailsampler-worker@", "tailsampler-exporter"):
        text = (SYSTEMD / f"{unit}.service").read_text(encoding="utf-8").replace("\\\n", " ")
        settings = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
        name = unit.removeprefix("tailsampler-").rstrip("@")
        root, ports = place.root(name), dict[str, int]()
        etc = root / "etc/tailsampler"
        etc.mkdir(parents=True)
        files = {"config.yaml": SYSTEMD / "config.yaml", "policies.yaml": COMPOSE / "policies/policies.yaml"}
        for file, source in files.items():
            (etc / file).write_text(_mapped(place, file, source.read_text(encoding="utf-8"), root, ports))
        line = settings["ExecStart"].replace("%i", "8485").replace("${STATE_DIRECTORY}", str(root / "state"))
        command = shlex.split(on_free_ports(line.replace("/opt/tailsampler/bin/", ""), ports))
        env = dict([settings["Environment"].replace("%i", "8485").split("=")]) if "Environment" in settings else {}
        yield Part(name, root, _rooted(command, root), env, float(settings["TimeoutStopSec"]), ports)


def _mapped(place: Place, name: str, text: str, root: Path, ports: dict[str, int]) -> str:
    """A file of a part for this machine."""
    if name == "policies.yaml":
        return place.policies(text)
    return on_free_ports(place.config(text), ports).replace("/var/lib/", f"{root}/var/lib/")


def _rooted(command: list[str], root: Path) -> list[str]:
    """A command of ours with the program of this environment, and paths below the part's root."""
    program, *arguments = command
    assert program == "tailsampler"
    return [
        str(Path(sys.executable).with_name(program)),
        *(each.replace("/etc/", f"{root}/etc/") for each in arguments),
    ]
