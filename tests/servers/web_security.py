"""TLS and basic authentication for a Prometheus: a certificate for 127.0.0.1, a user, the web configuration file."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.servers.packages import program
from tests.servers.process import Access

USERNAME = "analytics"
PASSWORD = "correct horse battery staple"  # noqa: S105 - of servers that live as long as a test
PASSWORD_HASH = "$2b$05$rOSBkDu4CndebNyB6dw4q.O4km0WeCawjh2fk/bbRYWuNzxuNgraa"  # noqa: S105
"""bcrypt of `PASSWORD`: the web configuration wants it hashed, and hashing takes a package that is not needed else."""


@dataclass(frozen=True)
class WebSecurity:
    """The web configuration `file`, and how to reach a server that has it."""

    file: Path
    access: Access


def secure(folder: Path, *, tls: bool = True, basic_auth: bool = True) -> WebSecurity:
    """Write a web configuration to `folder`; with `tls` also a certificate, which is its own authority."""
    folder.mkdir(parents=True, exist_ok=True)
    content: dict[str, object] = {}
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    if tls:
        subprocess.run(
            [
                program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                "-nodes", "-days", "3650", "-subj", "/CN=novacron-test",
                "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
                "-addext", "keyUsage=critical,digitalSignature,keyCertSign",
                "-keyout", str(key), "-out", str(certificate),
            ],
            check=True,
            capture_output=True,
        )  # fmt: skip
        content["tls_server_config"] = {"cert_file": str(certificate), "key_file": str(key)}
    if basic_auth:
        content["basic_auth_users"] = {USERNAME: PASSWORD_HASH}
    file = folder / "web.yml"
    file.write_text(yaml.safe_dump(content))
    return WebSecurity(
        file,
        Access(certificate if tls else None, USERNAME if basic_auth else "", PASSWORD if basic_auth else ""),
    )
