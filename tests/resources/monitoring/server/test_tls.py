"""Certificates: what verifies, what does not, and what the messages advise."""

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from resources.monitoring.server.http import Refused, ServerUnavailable
from tests.resources.monitoring.server.clients import QUICK_SECONDS, client
from tests.resources.monitoring.server.scripted import Close, Hang, answer, scripted

WHOLE = answer(body=b"{}")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with certificates that sign themselves: right.pem for 127.0.0.1, wrong.pem for another name."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed, so that no certificate can be made")
    folder = tmp_path_factory.mktemp("certificates")
    for name, alternative in (("right", "IP:127.0.0.1"), ("wrong", "DNS:elsewhere.example")):
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName={alternative}"]
        command += ["-addext", "keyUsage=critical,digitalSignature,keyCertSign"]
        command += ["-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem")]
        subprocess.run(command, check=True, capture_output=True)
    return folder


def served(folder: Path, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return context


def test_the_right_authority_verifies(certificates: Path) -> None:
    """Stops ca_file from being ignored, and whole answers over TLS from being refused."""
    with (
        scripted(WHOLE, WHOLE, tls=served(certificates, "right")) as server,
        client(server.url, ca_file=certificates / "right.pem") as asking,
    ):
        assert asking.send("GET", "/x", what="up").body == b"{}"
        assert asking.send("GET", "/x", what="up").body == b"{}"
        assert server.connections == 1


def test_an_unknown_authority_is_refused_with_advice(certificates: Path) -> None:
    """Stops a connection to whoever answers, and five attempts at it."""
    with scripted(WHOLE, tls=served(certificates, "right")) as server, client(server.url) as asking:
        with pytest.raises(Refused, match=r"does not verify.*set source_ca_file"):
            asking.send("GET", "/x", what="up")
        assert (server.connections, server.requests) == (1, [])


def test_a_certificate_for_another_name_is_refused(certificates: Path) -> None:
    """Stops a valid certificate of another host from being taken."""
    with (
        scripted(WHOLE, tls=served(certificates, "wrong")) as server,
        client(server.url, ca_file=certificates / "wrong.pem") as asking,
    ):
        with pytest.raises(Refused, match=r"127\.0\.0\.1.*the name is wrong"):
            asking.send("GET", "/x", what="up")
        assert server.requests == []


def test_https_to_a_server_of_plain_http_is_refused(certificates: Path) -> None:
    """Stops a wrong scheme from being taken for a server that is down."""
    with scripted([b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", Close()]) as server:
        url = server.url.replace("http://", "https://")
        with (
            client(url, ca_file=certificates / "right.pem") as asking,
            pytest.raises(Refused, match="does not speak TLS"),
        ):
            asking.send("GET", "/x", what="up")


def test_http_to_a_server_of_tls_is_refused() -> None:
    """Stops a TLS alert in answer to plain http from being taken for a broken connection."""
    alert = b"\x15\x03\x01\x00\x02\x02\x46\n"
    with (
        scripted([alert, Close()]) as server,
        client(server.url) as asking,
        pytest.raises(Refused, match="Write https://"),
    ):
        asking.send("GET", "/x", what="up")


def test_a_cut_answer_over_tls_is_asked_for_again(certificates: Path) -> None:
    """Stops the end of a TLS connection from counting as the end of an answer."""
    [whole] = answer(body=b'{"a":1}')
    assert isinstance(whole, bytes)
    with (
        scripted([whole[:-3], Close()], [whole], tls=served(certificates, "right")) as server,
        client(server.url, ca_file=certificates / "right.pem") as asking,
    ):
        assert asking.send("GET", "/x", what="up").body == b'{"a":1}'
        assert len(server.requests) == 2


def test_a_handshake_that_hangs_ends_soon(certificates: Path) -> None:
    """Stops a port that accepts and says nothing from taking the time that a long query may have."""
    with scripted([Hang()]) as server:
        url = server.url.replace("http://", "https://")
        with (
            client(url, ca_file=certificates / "right.pem", read_timeout_seconds=QUICK_SECONDS) as asking,
            pytest.raises(ServerUnavailable, match=r"no connection within 0\.3 s"),
        ):
            asking.send("GET", "/x", what="up")
