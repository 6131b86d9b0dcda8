"""The `exporter:` block: what may be written, what is refused and how, and that secrets stay secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sampler.config.backend_address import parse_address
from sampler.config.errors import ConfigError
from sampler.config.load import load_config
from sampler.config.models import Config
from sampler.config.resolved import config_tree

WHOLE = """
exporter:
  backends:
    - name: tempo
      endpoint: tempo:4317
      tls: {insecure: true}
    - name: vendor
      endpoint: https://otlp.example.com/api
      protocol: http
      headers: {Authorization: "Bearer ${env:VENDOR_TOKEN}", X-Scope-OrgID: shop}
      tls: {ca_file: ca.pem, cert_file: cert.pem, key_file: key.pem, server_name_override: otlp}
      compression: none
      timeout: 3s
      retry: {initial_interval: 500ms, max_interval: 1m, multiplier: 2, max_elapsed: 1h, also_on: ["500"]}
      sending: {batch_size: 2MiB, batch_spans: 4096, flush_interval: 1s, parallel: 4, max_in_flight: 16MiB}
      route:
        policies: [errors]
        attributes: [{key: deployment.environment, values: [prod]}, {key: user.tier, values: [vip], context: root}]
        exclude: {policies: [health]}
"""


def load(tmp_path: Path, text: str) -> Config:
    """The configuration of a text."""
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return load_config(path, environment={"VENDOR_TOKEN": "top secret"})


def test_a_whole_block(tmp_path: Path) -> None:
    """Everything that can be said of a backend is read; what is not said has the documented default."""
    tempo, vendor = load(tmp_path, WHOLE).exporter.backends
    assert (tempo.protocol, tempo.compression, tempo.timeout.seconds) == ("grpc", "gzip", 10)
    assert tempo.retry.max_elapsed.ms == 0
    assert vendor.headers["Authorization"].get_secret_value() == "Bearer top secret"
    assert vendor.sending.batch_size == 2 << 20
    assert vendor.route.attributes[1].context == "root"


def test_headers_are_never_shown(tmp_path: Path) -> None:
    """What is printed of a configuration has asterisks in place of the values of headers."""
    config = load(tmp_path, WHOLE)
    shown = yaml.safe_dump(config_tree(config, defaults=True))
    assert "top secret" not in shown + repr(config) + str(config.exporter)
    assert "Authorization: '**********'" in shown


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        ({"endpoint": "tempo"}, "endpoint must be host:port for protocol grpc"),
        ({"endpoint": "tempo:0"}, "endpoint must be host:port"),
        ({"endpoint": "tempo:4317/v1/traces"}, "endpoint must be host:port"),
        ({"endpoint": "tempo:4318", "protocol": "http"}, "endpoint must be a URL for protocol http"),
        ({"endpoint": "http://tempo:99999", "protocol": "http"}, "endpoint must be a URL"),
        ({"endpoint": "http://tempo/?a=b", "protocol": "http"}, "must not hold a query"),
        ({"endpoint": "http://user:secret@tempo", "protocol": "http"}, "must not hold a user or password: set headers"),
        ({"tls": {"cert_file": "c.pem"}}, "cert_file and key_file belong together"),
        ({"tls": {"insecure": True, "ca_file": "c.pem"}}, "spoken to in plain text"),
        ({"headers": {"Content-Type": "x"}}, "header Content-Type cannot be set here"),
        ({"headers": {"grpc-timeout": "x"}}, "header grpc-timeout cannot be set here"),
        ({"headers": {"a": "x", "A": "y"}}, "is given twice"),
        ({"headers": {"a": "two\nlines"}}, "must be printable ASCII"),
        ({"retry": {"also_on": ["EXHAUSTED"]}}, "'EXHAUSTED' is neither a gRPC code"),
        ({"retry": {"initial_interval": "1m"}}, "initial_interval (1m) is above max_interval (30s)"),
        ({"topics": ["a"], "route": {"tenants": ["acme"]}}, "topics and route.tenants are both set"),
        ({"compression": "zstd"}, "compression"),
        ({"name": "a b"}, "name"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, backend: dict[str, Any], message: str) -> None:
    """A mistake is an error with its place, and never with the value of a secret."""
    block = {"exporter": {"backends": [{"name": "one", "endpoint": "tempo:4317", **backend}]}}
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, yaml.safe_dump(block))
    text = str(raised.value)
    assert message in text
    assert "exporter.backends[0]" in text
    assert "secret" not in text
    assert "two" not in text


@pytest.mark.parametrize("what", ["name", "group_id"])
def test_backends_are_told_apart(tmp_path: Path, what: str) -> None:
    """Two backends of one name, or of one group, would share what each is to get whole."""
    blocks = [{"name": name, "endpoint": "tempo:4317", "group_id": f"group {name}"} for name in ("one", "two")]
    blocks[1][what] = blocks[0][what]
    with pytest.raises(ConfigError, match=f"two backends have the same {what}: {blocks[0][what]}"):
        load(tmp_path, yaml.safe_dump({"exporter": {"backends": blocks}}))


@pytest.mark.parametrize(
    ("endpoint", "protocol", "insecure", "target", "encrypted"),
    [
        ("tempo:4317", "grpc", False, "tempo:4317", True),
        ("tempo:4317", "grpc", True, "tempo:4317", False),
        ("http://tempo:4317", "grpc", False, "tempo:4317", False),
        ("https://tempo:4317/", "grpc", True, "tempo:4317", True),
        ("[::1]:4317", "grpc", True, "[::1]:4317", False),
        ("http://tempo:4318", "http", False, "http://tempo:4318/v1/traces", False),
        ("https://tempo/otlp/", "http", True, "https://tempo/otlp/v1/traces", True),
        ("https://tempo/otlp/v1/traces", "http", False, "https://tempo/otlp/v1/traces", True),
    ],
)
def test_endpoints(endpoint: str, protocol: Any, insecure: bool, target: str, encrypted: bool) -> None:
    """A scheme decides about encryption; over HTTP /v1/traces is added where it is missing."""
    address = parse_address(endpoint, protocol, insecure=insecure)
    assert (address.target, address.encrypted) == (target, encrypted)
