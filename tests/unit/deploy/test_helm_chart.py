"""The Helm chart as Helm and Kubernetes see it, for every set of values in `ci/`."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.harness.helm import CHART, HelmError, render, run_helm
from tests.harness.manifests import plain_manifests, stray

pytestmark = pytest.mark.timeout(1500)  # where Helm is not there yet, the first test builds it

ROOT = Path(__file__).parents[3]
CI_VALUES = sorted(CHART.glob("ci/*-values.yaml"))
KUBERNETES = ("1.27", kubernetes_validate.latest_version())
"""Releases that the manifests are held against: an old one that is still run, and the newest known."""

# Kinds of operators, whose schemas are not among those of Kubernetes: their shape is checked below.
CUSTOM = {"PodMonitor", "ServiceMonitor", "PrometheusRule", "ScaledObject"}
Manifest = dict[str, Any]


def name_of(path: Path) -> str:
    """The set of values, as the id of its test."""
    return path.name.removesuffix("-values.yaml")


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    """The manifests of one kind."""
    return [each for each in manifests if each["kind"] == kind]


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Component and pod template of everything that runs."""
    for each in manifests:
        if each["kind"] in {"Deployment", "StatefulSet", "DaemonSet"}:
            template = each["spec"]["template"]
            yield template["metadata"]["labels"]["app.kubernetes.io/component"], template


@pytest.fixture(scope="module", params=CI_VALUES, ids=name_of)
def values(request: pytest.FixtureRequest) -> Path:
    """Each set of values in turn."""
    return Path(request.param)


@pytest.fixture(scope="module")
def rendered(values: Path) -> list[Manifest]:
    """What the chart makes of them."""
    return render([values])


def test_lint_accepts_the_values(values: Path) -> None:
    """`helm lint --strict` has nothing to say against them."""
    assert "0 chart(s) failed" in run_helm("lint", "--strict", str(CHART), "--values", str(values))


@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_accepts_the_manifests(rendered: list[Manifest], version: str) -> None:
    """Each is what the schema of its kind says, without unknown fields."""
    for manifest in rendered:
        if manifest["kind"] not in CUSTOM:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_objects_have_names_of_their_own(rendered: list[Manifest]) -> None:
    """No two objects of a kind have one name, and every object carries the labels of the release."""
    names = [(each["kind"], each["metadata"]["name"]) for each in rendered]
    assert len(set(names)) == len(names)
    own = [each for each in rendered if not each["metadata"]["name"].endswith("-note")]
    assert all(each["metadata"]["labels"]["app.kubernetes.io/instance"] == "tailsampler" for each in own)


def test_pods_are_restricted(rendered: list[Manifest]) -> None:
    """They meet the restricted pod security standard, write only to volumes and cannot speak to Kubernetes."""
    assert dict(pods(rendered))
    for _, template in pods(rendered):
        spec = template["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert not spec.get("hostNetwork")
    assert not {each["kind"] for each in rendered} & {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}


def test_pods_have_measures_probes_and_time_to_end(rendered: list[Manifest]) -> None:
    """Requests for CPU and memory, a limit for memory alone, the three probes, and time for a clean end."""
    for component, template in pods(rendered):
        (container,) = template["spec"]["containers"]
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}, component
        assert set(container["resources"]["limits"]) == {"memory"}, component
        ports = {port["name"] for port in container["ports"]}
        probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
        assert {name: probe["path"] for name, probe in probes.items()} == {
            "startup": "/livez", "liveness": "/livez", "readiness": "/readyz",
        }  # fmt: skip
        assert {probe["port"] for probe in probes.values()} == {"web"} <= ports
        assert template["spec"]["terminationGracePeriodSeconds"] >= 30


def test_everything_mounted_is_there(rendered: list[Manifest], values: Path) -> None:
    """Every mount has a volume, and every ConfigMap that is not said to be somebody else's is in the manifests."""
    maps = {each["metadata"]["name"] for each in of_kind(rendered, "ConfigMap")}
    maps.add(yaml.safe_load(values.read_text()).get("existingPolicies", ""))
    claims = {
        claim["metadata"]["name"]
        for each in of_kind(rendered, "StatefulSet")
        for claim in each["spec"].get("volumeClaimTemplates", ())
    }
    for component, template in pods(rendered):
        spec = template["spec"]
        volumes = {volume["name"] for volume in spec["volumes"]} | (claims if component == "worker" else set())
        (container,) = spec["containers"]
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
        assert {volume["configMap"]["name"] for volume in spec["volumes"] if "configMap" in volume} <= maps
        # A file mounted by subPath is not renewed when its ConfigMap changes.
        assert not any("subPath" in mount for mount in container["volumeMounts"])


def test_selectors_find_the_pods(rendered: list[Manifest]) -> None:
    """What a Service, a budget or a policy selects are pods of the release."""
    labels = [template["metadata"]["labels"] for _, template in pods(rendered)]

    def selected(selector: dict[str, str]) -> int:
        return sum(selector.items() <= each.items() for each in labels)

    for each in of_kind(rendered, "Service"):
        assert selected(each["spec"]["selector"])
    for kind in ("PodDisruptionBudget", "Deployment", "StatefulSet", "DaemonSet"):
        for each in of_kind(rendered, kind):
            assert selected(each["spec"]["selector"]["matchLabels"]) == 1
    for each in of_kind(rendered, "NetworkPolicy"):
        assert selected(each["spec"]["podSelector"]["matchLabels"]) == 1


def test_the_processes_accept_their_files(rendered: list[Manifest], tmp_path: Path) -> None:
    """The rendered config.yaml and policies.yaml are valid, and say what only the chart can know."""
    from sampler.config import load_config, load_policies

    environment = {"POD_NAME": "tailsampler-worker-0", "KAFKA_PASSWORD": "secret", "WEB_TOKEN": "secret-token"}
    environment |= {"BACKEND_TOKEN": "secret"}
    files = {name: text for each in of_kind(rendered, "ConfigMap") for name, text in each["data"].items()}
    (tmp_path / "config.yaml").write_text(files["config.yaml"])
    config = load_config(tmp_path / "config.yaml", environment=environment)
    assert config.worker.group_instance_id == "tailsampler-worker-0"
    assert config.worker.data_dir == "/var/lib/tailsampler"
    assert config.web.endpoint == "0.0.0.0:8484"
    if "policies.yaml" in files:
        (tmp_path / "policies.yaml").write_text(files["policies.yaml"])
        assert load_policies(tmp_path / "policies.yaml", environment=environment).policy_set.names


def test_operators_find_what_they_look_for(rendered: list[Manifest]) -> None:
    """Monitors name a port that exists, rules have expressions, and a ScaledObject names what it scales."""
    ports = {port["name"] for _, template in pods(rendered) for port in template["spec"]["containers"][0]["ports"]}
    for each in [*of_kind(rendered, "PodMonitor"), *of_kind(rendered, "ServiceMonitor")]:
        assert each["apiVersion"] == "monitoring.coreos.com/v1"
        endpoints = each["spec"].get("podMetricsEndpoints") or each["spec"]["endpoints"]
        assert all(endpoint["port"] in ports and endpoint["path"] == "/metrics" for endpoint in endpoints)
        assert each["spec"]["selector"]["matchLabels"]
    for each in of_kind(rendered, "PrometheusRule"):
        rules = [rule for group in each["spec"]["groups"] for rule in group["rules"]]
        assert rules
        assert all(rule["expr"] and ("alert" in rule) != ("record" in rule) for rule in rules)
    for each in of_kind(rendered, "ScaledObject"):
        (worker,) = of_kind(rendered, "StatefulSet")
        assert each["apiVersion"] == "keda.sh/v1alpha1"
        assert each["spec"]["scaleTargetRef"]["name"] == worker["metadata"]["name"]
        assert "replicas" not in worker["spec"]
        assert 1 <= each["spec"]["minReplicaCount"] <= each["spec"]["maxReplicaCount"]
        for trigger in each["spec"]["triggers"]:
            # KEDA takes texts only.
            assert all(isinstance(value, str) for value in trigger["metadata"].values())


def test_monitoring_carries_all_alerts_and_dashboards() -> None:
    """The rules of deploy/prometheus with runbooks where they are published, and each dashboard in a ConfigMap."""
    manifests = render([CHART / "ci/monitoring-values.yaml"])
    (rule,) = of_kind(manifests, "PrometheusRule")
    rules = yaml.safe_load((ROOT / "deploy/prometheus/rules.yaml").read_text(encoding="utf-8"))
    assert [group["name"] for group in rule["spec"]["groups"]] == [group["name"] for group in rules["groups"]]
    alerts = [each for group in rule["spec"]["groups"] for each in group["rules"] if "alert" in each]
    assert alerts
    assert all(each["annotations"]["runbook_url"].startswith("https://docs.example.com/") for each in alerts)
    boards = [each for each in of_kind(manifests, "ConfigMap") if "grafana_dashboard" in each["metadata"]["labels"]]
    found = {name: json.loads(text) for each in boards for name, text in each["data"].items()}
    committed = sorted((ROOT / "deploy/grafana").rglob("*.json"))
    assert committed
    assert found == {path.name: json.loads(path.read_text(encoding="utf-8")) for path in committed}


def test_a_change_of_policies_restarts_nothing() -> None:
    """Only config.yaml is part of the pods; workers take a new policy file while they run."""
    one, other = (dict(pods(render(settings={"policies.decision_wait": json.dumps(wait)}))) for wait in ("10s", "20s"))
    assert one == other
    changed = dict(pods(render(settings={"config.log.level": '"debug"'})))
    assert all(changed[component] != one[component] for component in one)


def test_the_daemonset_has_the_ports_of_the_node() -> None:
    """Senders reach the agent of their own node, at its address or through the Service."""
    manifests = render(settings={"agent.mode": '"daemonset"'})
    (daemon,) = of_kind(manifests, "DaemonSet")
    ports = {
        port["name"]: port.get("hostPort") for port in daemon["spec"]["template"]["spec"]["containers"][0]["ports"]
    }
    assert ports == {"otlp-grpc": 4317, "otlp-http": 4318, "web": None}
    (service,) = (each for each in of_kind(manifests, "Service") if each["metadata"]["name"].endswith("-agent"))
    assert service["spec"]["internalTrafficPolicy"] == "Local"
    assert not any(each["metadata"]["name"].endswith("-agent") for each in of_kind(manifests, "PodDisruptionBudget"))


def test_lag_of_the_group_is_that_of_the_watermark() -> None:
    """The ScaledObject asks for the workers' group and topic under the names that the configuration gives them."""
    settings = {"keda.enabled": "true", "config.kafka.group_id": '"sampling"', "config.kafka.topics": '{"spans": "in"}'}
    (scaled,) = of_kind(render(settings=settings), "ScaledObject")
    (trigger,) = scaled["spec"]["triggers"]
    assert (trigger["type"], trigger["metadata"]["consumerGroup"], trigger["metadata"]["topic"]) == (
        "kafka",
        "sampling",
        "in",
    )
    assert trigger["metadata"]["bootstrapServers"] == "kafka:9092"


@pytest.mark.parametrize("wrong", ["agnt=1", 'agent.mode="sidecar"', "worker.replicas=-1", 'ports.grpc="otlp"'])
def test_values_that_cannot_be_meant_are_refused(wrong: str) -> None:
    """Unknown keys, unknown words and values out of bounds are mistakes, said with their place."""
    key, value = wrong.split("=")
    with pytest.raises(HelmError, match=key.rpartition(".")[2]):
        render(settings={key: value})


BACKENDS = '[{"name": "tempo", "endpoint": "tempo:4317"}]'


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "or set exporter.enabled and config.exporter.backends"),
        ({"exporter.enabled": "true"}, "WARNING: exporter.enabled is true, but config.exporter.backends names no"),
        ({"config.exporter.backends": BACKENDS}, "names backends, but exporter.enabled is false"),
        ({"exporter.enabled": "true", "config.exporter.backends": BACKENDS}, "and from there to the backends"),
    ],
)
def test_the_notes_say_whether_kept_traces_are_sent_on(settings: dict[str, str], said: str) -> None:
    """Exporter off, without backends, or left out though there are some: `helm install` tells each."""
    notes = "{{ include (print .Template.BasePath `/NOTES.txt`) . | b64enc }}"
    probe = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "the-notes"}, "data": {"notes": notes}}
    manifests = render(settings={**settings, "extraManifests": json.dumps([probe])})
    (found,) = (each for each in manifests if each["metadata"]["name"] == "the-notes")
    text = b64decode(found["data"]["notes"]).decode()
    assert said in text
    warned = ("exporter.enabled" in settings) != ("config.exporter.backends" in settings)
    assert ("backend" in text.partition("WARNING")[2]) == warned


def test_the_schema_knows_every_value() -> None:
    """At every level of values.yaml; what is open there is open on purpose."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))

    def walk(data: Any, node: dict[str, Any], path: str) -> Iterator[str]:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node
        if isinstance(data, dict) and node.get("additionalProperties") is False:
            yield from (f"{path}.{key}: only in the schema" for key in node["properties"] if key not in data)
            for key, value in data.items():
                yield from walk(value, node["properties"][key], f"{path}.{key}")

    data = {"global": {}, **yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))}
    left = [each for each in walk(data, schema, "") if not each.startswith((".agent.resources", ".exporter.resources"))]
    assert left == []


def test_plain_manifests_are_current() -> None:
    """Write them anew with `make manifests`."""
    for path, text in plain_manifests().items():
        assert path.read_text(encoding="utf-8") == text, path
    assert stray() == []


def test_plain_manifests_are_what_kubernetes_takes() -> None:
    """They meet the same schemas as the chart's, and the kustomization names each."""
    for path, text in plain_manifests().items():
        if path.name == "kustomization.yaml":
            assert all((path.parent / each).is_file() for each in yaml.safe_load(text)["resources"])
            continue
        for manifest in yaml.safe_load_all(text):
            kubernetes_validate.validate(manifest, KUBERNETES[-1], strict=True)
