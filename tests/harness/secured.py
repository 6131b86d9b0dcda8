"""A Kafka that lets nobody in without credentials, and the certificates and tokens to get in with."""

from __future__ import annotations

import base64
import http.server
import json
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import trustme
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # the package does not mark all of them as its own
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives import serialization

from tests.harness.kafka import ADMIN_S, KafkaCluster

Acl = tuple[str, str, str]
"""Resource type (topic, group), name and operation, in kafka-acls.sh's words."""

PEM = serialization.Encoding.PEM
PKCS8 = serialization.PrivateFormat.PKCS8
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
LISTENERS = {"TLS": "SSL", "MTLS": "SSL", "SASL": "SASL_SSL", "OAUTH": "SASL_SSL"}


class Certificates:
    """A certificate authority of a test; what it issues are files in `folder`."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self.authority = trustme.CA()
        self.ca_file = str(folder / f"{name}.pem")
        self.authority.cert_pem.write_to_path(self.ca_file)

    def issue(self, name: str, *hosts: str, **more: Any) -> dict[str, str]:
        """`cert_file` and `key_file` of a certificate with that common name, for these hosts (without: localhost)."""
        issued = self.authority.issue_cert(*(hosts or ("localhost", "127.0.0.1")), common_name=name, **more)
        cert, key = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        plain = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
        # The one form that all of Java, OpenSSL and BoringSSL read.
        key.write_bytes(plain.private_bytes(PEM, PKCS8, serialization.NoEncryption()))
        return {"cert_file": str(cert), "key_file": str(key)}


class SecuredKafka(KafkaCluster):
    """One broker with the listeners TLS, MTLS, SASL (PLAIN, SCRAM) and OAUTH beside the open one of the tests.

    What is not allowed by an ACL is forbidden, but for the tests themselves on the open listener. `plain` are users of
    PLAIN and their passwords; those of SCRAM are made with `add_scram_user`. The user of a certificate is its common
    name, that of a token its subject; tokens need no signature.
    """

    def __init__(self, certificates: Certificates, folder: Path, plain: Mapping[str, str]) -> None:
        self._certificates = certificates
        server = certificates.issue("broker")
        store = folder / "broker-store.pem"
        store.write_text("".join(Path(server[key]).read_text() for key in ("key_file", "cert_file")))
        users = " ".join(f'user_{name}="{password}"' for name, password in plain.items())
        oauth = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required"
        settings = {
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(store),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": certificates.ca_file,
            "ssl.principal.mapping.rules": r"RULE:^.*CN=([^,]+).*$/$1/,DEFAULT",
            "listener.name.mtls.ssl.client.auth": "required",
            "listener.name.sasl.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            "listener.name.sasl.plain.sasl.jaas.config": (
                f"org.apache.kafka.common.security.plain.PlainLoginModule required {users};"
            ),
            "listener.name.sasl.scram-sha-256.sasl.jaas.config": SCRAM,
            "listener.name.sasl.scram-sha-512.sasl.jaas.config": SCRAM,
            "listener.name.oauth.sasl.enabled.mechanisms": "OAUTHBEARER",
            "listener.name.oauth.oauthbearer.sasl.jaas.config": f'{oauth} unsecuredLoginStringClaim_sub="broker";',
        }
        # A backslash begins an escape in a properties file.
        escaped = {key: value.replace("\\", "\\\\") for key, value in settings.items()}
        super().__init__(settings=escaped, listeners=LISTENERS)

    def client(self, user: str) -> dict[str, Any]:
        """The `kafka:` block of a user that shows a certificate."""
        certificates = self._certificates
        return {"brokers": self.listener("MTLS"), "tls": {"ca_file": certificates.ca_file, **certificates.issue(user)}}

    def quota(self, user: str, bytes_per_s: int | None) -> None:
        """Limit what the broker takes from a user, all clients of it together; None for no limit any more."""
        change = ("--delete-config", "producer_byte_rate")
        if bytes_per_s is not None:
            change = ("--add-config", f"producer_byte_rate={bytes_per_s}")
        who = ("--entity-type", "users", "--entity-name", user)
        self.tool("kafka.admin.ConfigCommand", "--alter", *change, *who)

    def add_scram_user(self, name: str, password: str) -> None:
        """Give a user this password in both SCRAM mechanisms."""
        for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
            change = UserScramCredentialUpsertion(name, ScramCredentialInfo(mechanism, 4096), password.encode())
            # One request for each: the controller takes a user once in a request.
            self.admin_client.alter_user_scram_credentials([change])[name].result(ADMIN_S)

    def allow(self, user: str, acls: Sequence[Acl]) -> None:
        """Allow a user these operations; the broker knows them on return."""
        bindings = [_binding(user, acl) for acl in acls]
        for done in self.admin_client.create_acls(bindings).values():
            done.result(ADMIN_S)

    def forbid(self, user: str, acls: Sequence[Acl]) -> None:
        """Take back what `allow` gave."""
        from confluent_kafka.admin import AclBindingFilter  # type: ignore[attr-defined]

        filters = [
            AclBindingFilter(each.restype, each.name, each.resource_pattern_type, each.principal, each.host,
                             each.operation, each.permission_type)
            for each in (_binding(user, acl) for acl in acls)
        ]  # fmt: skip
        for done in self.admin_client.delete_acls(filters).values():
            done.result(ADMIN_S)


def _binding(user: str, acl: Acl) -> AclBinding:
    kind, name, operation = acl
    operations = {each.name.replace("_", "").lower(): each for each in AclOperation}
    return AclBinding(
        ResourceType[kind.upper()], name, ResourcePatternType.LITERAL, f"User:{user}", "*",
        operations[operation.lower()], AclPermissionType.ALLOW,
    )  # fmt: skip


def token(subject: str, lifetime_s: float = 600.0) -> str:
    """A JSON Web Token without signature."""
    now = int(time.time())
    parts = ({"alg": "none", "typ": "JWT"}, {"sub": subject, "iat": now - 60, "exp": now + int(lifetime_s)})
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts) + "."


class TokenServer:
    """A token endpoint on loopback: knows one client and its secret, and gives it tokens for one subject.

    With `moved_to` it only sends everyone there.
    """

    def __init__(self, client_id: str, secret: str, subject: str, moved_to: str | None = None) -> None:
        self._moved_to = moved_to
        self._login = "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()
        self._subject = subject
        self.given = 0

    def __enter__(self) -> Self:
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = self.rfile.read(int(self.headers["Content-Length"]))
                allowed = self.headers["Authorization"] == owner._login and b"grant_type=client_credentials" in form
                answer = {"access_token": token(owner._subject), "token_type": "Bearer", "expires_in": 600}
                body = json.dumps(answer if allowed else {"error": "invalid_client"}).encode()
                owner.given += allowed
                self.send_response(302 if owner._moved_to else 200 if allowed else 401)
                if owner._moved_to:
                    self.send_header("Location", owner._moved_to)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/token"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
