"""What a connection refuses, and that it never shows a secret."""

from pathlib import Path

import pytest

from resources.errors import InvalidInput
from resources.monitoring.server.connection import Connection

SECRET = "hunter2-token"  # noqa: S105


def secret_file(folder: Path, content: str | bytes = SECRET) -> Path:
    path = folder / "secret"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("url", "prefix", "port"),
    [
        ("http://prometheus:9090", "", 9090),
        ("http://prometheus:9090/", "", 9090),
        ("HTTPS://host/prometheus/", "/prometheus", 443),
        ("http://[::1]/a/b", "/a/b", 80),
    ],
)
def test_addresses_with_a_path_prefix(url: str, prefix: str, port: int) -> None:
    """Stops a double slash, and a port that is taken from the wrong scheme."""
    connection = Connection(url)
    assert (connection.path_prefix, connection.port) == (prefix, port)
    assert not connection.url.endswith("/")


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{SECRET}@host:9090",
        f"https://{SECRET}@host/prometheus",
        f"http://host:9090/?token={SECRET}",
        f"http://host:9090/#{SECRET}",
        f"user:{SECRET}@host:9090",
        f"//u:{SECRET}@host",
        f"http://u:{SECRET}@[::1",
        f"http://u:p@{SECRET}@host",
        f"http://x:{SECRET}@host:99999",
        f"http://x:{SECRET}?x@host",
        f"http://x:a/{SECRET}@host",
    ],
)
def test_a_url_with_a_secret_is_refused_without_showing_it(url: str) -> None:
    """Stops credentials in URLs, which are logged, and the refusal itself from logging them."""
    with pytest.raises(InvalidInput) as refused:
        Connection(url)
    assert "source_url" in str(refused.value)
    assert SECRET not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    "url",
    ["", "prometheus:9090", "ftp://host", "http://", "http://host:0", "http://ho st", "http://host/\n", "http://hôst"],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    """Stops an address without a scheme from being taken for a path."""
    with pytest.raises(InvalidInput, match="source_url"):
        Connection(url)


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        ({"X-Org": "a\r\nX-Admin: 1"}, "X-Org"),
        ({"X-Org": "a\nb"}, "X-Org"),
        ({"X Org": "a"}, "X Org"),
        ({"X-Org:": "a"}, "X-Org:"),
        ({"": "a"}, "''"),
        ({"X-Org": ""}, "X-Org"),
        ({"X-Org": " a"}, "X-Org"),
        ({"X-Org": "é"}, "X-Org"),
        ({"X-Org": "1", "x-org": "2"}, "x-org"),
        ({"Host": "other"}, "Host"),
        ({"content-length": "0"}, "content-length"),
    ],
)
def test_headers_that_would_change_the_request_are_refused(headers: dict[str, str], named: str) -> None:
    """Stops a line end in a header's value from adding a header of its own."""
    with pytest.raises(InvalidInput, match="source_headers") as refused:
        Connection("http://host", headers=headers)
    assert named in str(refused.value)


def test_authorization_has_one_origin(tmp_path: Path) -> None:
    """Stops two Authorization headers, of which servers and proxies take different ones."""
    file = secret_file(tmp_path)
    for given in (
        {"bearer_token_file": file, "headers": {"authorization": "Basic x"}},
        {"username": "u", "password_file": file, "headers": {"Authorization": "Basic x"}},
        {"username": "u", "password_file": file, "bearer_token_file": file},
    ):
        with pytest.raises(InvalidInput, match="Keep one"):
            Connection("http://host", **given)  # type: ignore[arg-type]
    for half in ({"username": "u"}, {"password_file": file}, {"username": "a:b", "password_file": file}):
        with pytest.raises(InvalidInput, match="source_username"):
            Connection("http://host", **half)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"read_timeout_seconds": 0}, "source_read_timeout_seconds"),
        ({"read_timeout_seconds": float("nan")}, "source_read_timeout_seconds"),
        ({"request_timeout_seconds": float("inf")}, "source_request_timeout_seconds"),
        ({"attempts": 0}, "source_attempts"),
        ({"attempts": 1000}, "source_attempts"),
        ({"ca_file": Path("ca.pem")}, "source_ca_file"),
    ],
)
def test_limits_out_of_range_are_named(changes: dict[str, object], named: str) -> None:
    """Stops a client that never ends, never asks, or verifies nothing although told to."""
    with pytest.raises(InvalidInput, match=named):
        Connection("http://host", **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "content", [b"", b" \n", b"two words", b"a\nb", b"a\x00b", "tökén".encode(), b"\xff\xfe", b"x" * 70_000]
)
def test_a_file_that_holds_no_token_is_refused(tmp_path: Path, content: bytes) -> None:
    """Stops an empty Authorization header, and a token with a line end from breaking the request."""
    file = secret_file(tmp_path, content)
    with pytest.raises(InvalidInput, match="source_bearer_token_file") as refused:
        Connection("http://host", bearer_token_file=file).credentials()
    assert str(file) in str(refused.value)
    assert refused.value.__cause__ is None  # its text would hold the bytes


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """Stops a request without credentials where the file is missing."""
    missing = tmp_path / "not there"
    for setting, connection in (
        ("source_bearer_token_file", Connection("http://host", bearer_token_file=missing)),
        ("source_password_file", Connection("http://host", username="u", password_file=missing)),
        ("source_bearer_token_file", Connection("http://host", bearer_token_file=tmp_path)),
    ):
        with pytest.raises(InvalidInput, match=setting) as refused:
            connection.credentials()
        assert str(tmp_path) in str(refused.value)
    with pytest.raises(InvalidInput, match=r"source_ca_file.*not there"):
        Connection("https://host", ca_file=missing).ssl_context()
    with pytest.raises(InvalidInput, match=r"source_ca_file.*PEM"):
        Connection("https://host", ca_file=secret_file(tmp_path)).ssl_context()


def test_nothing_that_can_be_shown_holds_a_secret(tmp_path: Path) -> None:
    """Stops secrets in reprs and in what `describe` gives to logs and metadata."""
    file = secret_file(tmp_path, SECRET + "\n")
    for connection in (
        Connection("https://host", bearer_token_file=file, headers={"X-Api-Key": SECRET}),
        Connection("https://host", username="u", password_file=file),
        Connection("https://host", headers={"Authorization": f"Bearer {SECRET}"}),
    ):
        credentials = connection.credentials()
        assert SECRET in credentials.secrets
        assert SECRET not in f"{connection!r} {connection.describe()} {credentials!r}"
    assert connection.describe()["headers"] == "Authorization"
    assert credentials.headers["Authorization"] == f"Bearer {SECRET}"


def test_a_connection_can_be_a_key_and_goes_to_other_processes() -> None:
    """Stops a cache of clients from failing on the mapping of headers."""
    import pickle

    connection = Connection("http://host", headers={"X-Scope-OrgID": "acme"})
    assert {connection: 1}[pickle.loads(pickle.dumps(connection))] == 1  # noqa: S301
