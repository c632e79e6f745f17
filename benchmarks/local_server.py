"""Starts the benchmark's server as a process of its own, with HTTPS where asked for."""

from __future__ import annotations

import datetime
import ipaddress
import json
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from typing_extensions import Self

from benchmarks.processes import REPOSITORY, allow_many_files, environment
from tests.harness.processes import free_port


class LocalServer:
    """
    The server on loopback, a context manager.

    :param folder: Its certificate goes there.
    :param https: Whether it speaks HTTPS, with a certificate that only its ``authority`` vouches for.
    """

    def __init__(self, folder: Path, *, https: bool) -> None:
        self.port = free_port()
        self.scheme = "https" if https else "http"
        self.authority = folder / "certificate.pem" if https else None
        self._key = folder / "key.pem"
        self._process: subprocess.Popen[str] | None = None

    @property
    def host(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"{self.scheme}://{self.host}"

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "benchmarks.server", "--port", str(self.port)]
        if self.authority:
            make_certificate(self.authority, self._key)
            command += ["--certificate", str(self.authority), "--key", str(self._key)]
        self._process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=allow_many_files,
        )
        if not self._process.stdout or self._process.stdout.readline().strip() != "ready":
            raise RuntimeError("the benchmark's server did not start")
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(10)

    def counters(self) -> dict[str, Any]:
        """Return what it saw since this was last asked."""
        context = ssl.create_default_context(cafile=str(self.authority)) if self.authority else None
        with urllib.request.urlopen(f"{self.url}/counters", timeout=30, context=context) as response:
            return dict(json.loads(response.read()))


def make_certificate(certificate_file: Path, key_file: Path) -> None:
    """Write a certificate for loopback that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.touch(mode=0o600)
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
