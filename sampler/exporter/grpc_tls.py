"""What grpc needs to speak to a backend encrypted."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any, Final

import grpc

from sampler.config.backend_address import BackendAddress
from sampler.config.exporter import BackendTls

CONNECT_S: Final = 5.0


def read_files(tls: BackendTls) -> tuple[bytes | None, bytes | None, bytes | None]:
    """Certificates to trust, our key and our certificate; OSError where a file cannot be read."""
    files = (tls.ca_file or _system_roots(), tls.key_file, tls.cert_file)
    root, key, chain = (Path(path).read_bytes() if path else None for path in files)
    return root, key, chain


def _system_roots() -> str | None:
    """The file of the certificates that the system trusts; None for those that grpc brings along."""
    path = ssl.get_default_verify_paths().cafile
    return path if path and Path(path).is_file() else None


def credentials(tls: BackendTls, address: BackendAddress) -> tuple[Any, str]:
    """The credentials for grpc, and the name that the backend's certificate must be for (empty for the host's).

    OSError where a file cannot be read, or where any certificate will do and the backend shows none.
    """
    root, key, chain = read_files(tls)
    name = tls.server_name_override or ""
    if tls.insecure_skip_verify:
        # grpc cannot leave the check out; it passes with the very certificate that the backend shows.
        shown = _shown(tls, address)
        root, name = shown.encode(), _name_in(shown, tls, address) or name
    return grpc.ssl_channel_credentials(root, key, chain), name


def _shown(tls: BackendTls, address: BackendAddress) -> str:
    """The certificate that the backend shows, PEM."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with _connected(context, tls, address) as connection:
        certificate = connection.getpeercert(binary_form=True)
    if not certificate:
        raise OSError(f"{address.target} shows no certificate")
    return ssl.DER_cert_to_PEM_cert(certificate)


def _name_in(certificate: str, tls: BackendTls, address: BackendAddress) -> str:
    """A name that a certificate is for, empty where it has none; Python tells names only of what it has verified."""
    context = ssl.create_default_context(cadata=certificate)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    with _connected(context, tls, address) as connection:
        decoded: dict[str, Any] = connection.getpeercert() or {}
    for kind, value in decoded.get("subjectAltName", ()):
        if kind in {"DNS", "IP Address"}:
            return str(value).replace("*.", "any.")
    return next((value for part in decoded.get("subject", ()) for key, value in part if key == "commonName"), "")


def _connected(context: ssl.SSLContext, tls: BackendTls, address: BackendAddress) -> ssl.SSLSocket:
    if tls.cert_file and tls.key_file:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    plain = socket.create_connection((address.host, address.port), timeout=CONNECT_S)
    try:
        return context.wrap_socket(plain, server_hostname=tls.server_name_override or address.host)
    except BaseException:
        plain.close()
        raise
