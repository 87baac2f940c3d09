"""How to reach a server: its address, credentials and limits, checked before anything is sent.

Secrets stay in files, which are read for every request, so that a rotated one works at once. The
URL, and whatever `describe` returns, may be logged; a secret's value never is.
"""

import base64
import math
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from resources.errors import InvalidInput
from resources.monitoring.server.failures import shown, without_secrets

URL = "source_url"
BEARER_TOKEN_FILE = "source_bearer_token_file"  # noqa: S105 - the name of a setting
USERNAME = "source_username"
PASSWORD_FILE = "source_password_file"  # noqa: S105 - the name of a setting
CA_FILE = "source_ca_file"
HEADERS = "source_headers"
READ_TIMEOUT = "source_read_timeout_seconds"
REQUEST_TIMEOUT = "source_request_timeout_seconds"
ATTEMPTS = "source_attempts"

READ_TIMEOUT_SECONDS = 130
"""Longer than the two minutes that Prometheus gives a query, so that its own words arrive first."""

MAX_SECRET_BYTES = 64 * 1024
# A shorter value of a header, such as a tenant's number, is part of many words that it would garble.
SHORTEST_SECRET = 6
MAX_ATTEMPTS = 20
MAX_TIMEOUT_SECONDS = 86_400

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?")
_TOKEN = re.compile(r"[\x21-\x7e]+")
# The client sets these itself; a second value would change what the request means.
_OWN_HEADERS = frozenset(
    {"accept-encoding", "connection", "content-encoding", "content-length", "content-type", "host", "transfer-encoding"}
)


@dataclass(frozen=True)
class Credentials:
    """What one request sends to be let in, and which text must not appear in any message about it."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    setting: str = ""


@dataclass(frozen=True)
class Connection:
    """A server and how to talk to it.

    `url` is http or https with an optional path prefix (`https://host/prometheus`) and nothing
    else: it is shown in messages. `headers` go with every request (such as `X-Scope-OrgID`); their
    values are not shown. `ca_file` replaces the system's certificate authorities.
    `read_timeout_seconds` is the longest silence, `request_timeout_seconds` the longest time from
    sent request to whole answer, both of one attempt; `attempts` counts all of them. Messages call
    the URL by the name of the setting that it came from, `url_setting`.

    Raises:
        InvalidInput: a value cannot be; the setting is named.
    """

    url: str
    bearer_token_file: Path | None = None
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)
    read_timeout_seconds: float = READ_TIMEOUT_SECONDS
    request_timeout_seconds: float = 600.0
    attempts: int = 5
    url_setting: str = URL

    def __post_init__(self) -> None:
        parts = _checked_url(self.url, self.url_setting)
        object.__setattr__(self, "url", f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}")
        object.__setattr__(self, "headers", _checked_headers(self.headers))
        self._check_credentials()
        if self.ca_file is not None and parts.scheme == "http":
            raise InvalidInput(
                f"{CA_FILE} is set, but {self.url_setting} = {self.url} is not https. Use https, or remove {CA_FILE}."
            )
        for setting, seconds in (
            (READ_TIMEOUT, self.read_timeout_seconds),
            (REQUEST_TIMEOUT, self.request_timeout_seconds),
        ):
            if not (math.isfinite(seconds) and 0 < seconds <= MAX_TIMEOUT_SECONDS):
                raise InvalidInput(f"{setting} = {seconds!r} is not above 0 and at most {MAX_TIMEOUT_SECONDS} seconds.")
        if not 1 <= self.attempts <= MAX_ATTEMPTS:
            raise InvalidInput(f"{ATTEMPTS} = {self.attempts!r} is not 1 to {MAX_ATTEMPTS}.")

    def _check_credentials(self) -> None:
        if (self.username is None) != (self.password_file is None):
            raise InvalidInput(f"{USERNAME} and {PASSWORD_FILE} go together: set both or none.")
        if self.username is not None and (not self.username or not self.username.isprintable() or ":" in self.username):
            raise InvalidInput(f"{USERNAME} is empty, or holds a colon or an invisible character, which HTTP forbids.")
        ways = [
            setting
            for setting, given in (
                (BEARER_TOKEN_FILE, self.bearer_token_file is not None),
                (USERNAME, self.username is not None),
                (f"Authorization in {HEADERS}", _authorization(self.headers) is not None),
            )
            if given
        ]
        if len(ways) > 1:
            raise InvalidInput(f"{' and '.join(ways)} each set the Authorization header. Keep one of them.")

    @property
    def scheme(self) -> str:
        return urlsplit(self.url).scheme

    @property
    def host(self) -> str:
        """The host as a connection wants it: an IPv6 address has no brackets."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or (443 if self.scheme == "https" else 80)

    @property
    def path_prefix(self) -> str:
        """What every path starts with: empty, or such as `/prometheus`."""
        return urlsplit(self.url).path

    def describe(self) -> dict[str, str]:
        """Return what may be shown of it: names of files and headers, never what they hold."""
        described = {"url": self.url}
        for setting, path in (
            (BEARER_TOKEN_FILE, self.bearer_token_file),
            (PASSWORD_FILE, self.password_file),
            (CA_FILE, self.ca_file),
        ):
            if path is not None:
                described[setting.removeprefix("source_")] = str(path)
        if self.headers:
            described["headers"] = ", ".join(sorted(self.headers))
        described["read_timeout_seconds"] = f"{self.read_timeout_seconds:g}"
        described["request_timeout_seconds"] = f"{self.request_timeout_seconds:g}"
        described["attempts"] = str(self.attempts)
        return described

    def credentials(self) -> Credentials:
        """Return what a request sends now; the files are read anew.

        Raises:
            InvalidInput: a file is missing, unreadable, empty or holds what no header can carry.
        """
        secrets = [value for value in self.headers.values() if len(value) >= SHORTEST_SECRET]
        given = _authorization(self.headers)
        if given is not None:
            return Credentials(self.headers, (*secrets, *given.split()[1:]), f"Authorization in {HEADERS}")
        if self.bearer_token_file is not None:
            token = _read_secret(self.bearer_token_file, BEARER_TOKEN_FILE)
            if not _TOKEN.fullmatch(token):
                raise InvalidInput(
                    f"{BEARER_TOKEN_FILE} {self.bearer_token_file} holds spaces, line ends or characters other than "
                    f"ASCII between its first and last character. It must hold the token and nothing else."
                )
            headers = {**self.headers, "Authorization": f"Bearer {token}"}
            return Credentials(headers, (*secrets, token), BEARER_TOKEN_FILE)
        if self.username is not None and self.password_file is not None:
            password = _read_secret(self.password_file, PASSWORD_FILE)
            pair = base64.b64encode(f"{self.username}:{password}".encode()).decode("ascii")
            headers = {**self.headers, "Authorization": f"Basic {pair}"}
            return Credentials(headers, (*secrets, pair, password), f"{USERNAME} with {PASSWORD_FILE}")
        return Credentials(self.headers, tuple(secrets), "")

    def ssl_context(self) -> ssl.SSLContext:
        """Return a context that verifies certificate and host name.

        Raises:
            InvalidInput: the file of authorities is missing, unreadable or holds no certificate.
        """
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except ssl.SSLError as error:
            raise InvalidInput(
                f"{CA_FILE} {self.ca_file} holds no certificate that can be read ({error.reason}). "
                f"Give the authority's certificate in PEM form."
            ) from None
        except OSError as error:
            raise _unreadable(CA_FILE, self.ca_file, error) from error


def _checked_url(url: str, setting: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:  # its text may hold the credentials
        raise InvalidInput(f"{setting} is no URL. Write it as http://HOST:PORT or https://HOST/PREFIX.") from None
    if "@" in url:
        raise InvalidInput(
            f"{setting} = {shown(without_secrets(url))} holds credentials, and URLs are logged. "
            f"Set {BEARER_TOKEN_FILE}, or {USERNAME} and {PASSWORD_FILE}, and remove them from the URL."
        )
    if "?" in url or "#" in url:
        raise InvalidInput(
            f"{setting} = {shown(without_secrets(url))} holds a query or fragment (`?` or `#`). "
            f"Give scheme, host, port and path prefix only; what identifies you belongs in {HEADERS}."
        )
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise InvalidInput(
            f"{setting} = {shown(url)} is no address of a server. Write it as http://HOST:PORT or https://HOST/PREFIX."
        )
    if not re.fullmatch(r"[\x21-\x7e]+", url) or re.search(r'["<>\\^`{|}]', url):
        raise InvalidInput(
            f"{setting} = {shown(url)} holds spaces or characters that a URL cannot hold. "
            f"Encode a path as %XX, and a host name outside ASCII as xn--."
        )
    return parts


def _checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    seen: set[str] = set()
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise InvalidInput(f"{HEADERS}: {shown(name)} is no name of an HTTP header.")
        if name.lower() in seen:
            raise InvalidInput(f"{HEADERS}: {name} is set twice, in different case.")
        if name.lower() in _OWN_HEADERS:
            raise InvalidInput(f"{HEADERS}: {name} is set by this software and cannot be chosen. Remove it.")
        if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
            raise InvalidInput(
                f"{HEADERS}: the value of {name} is empty, starts or ends with a space, "
                f"or holds a line end or a character outside ASCII."
            )
        seen.add(name.lower())
    return dict(headers)


def _authorization(headers: Mapping[str, str]) -> str | None:
    return next((value for name, value in headers.items() if name.lower() == "authorization"), None)


def _read_secret(path: Path, setting: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise _unreadable(setting, path, error) from error
    if len(content) > MAX_SECRET_BYTES:
        raise InvalidInput(f"{setting} {path} is longer than {MAX_SECRET_BYTES} bytes. It must hold one secret.")
    try:
        secret = content.decode("utf-8").strip("\r\n\t ")
    except UnicodeDecodeError:  # its text holds the bytes
        raise InvalidInput(f"{setting} {path} is not UTF-8 text. It must hold one secret.") from None
    if not secret:
        raise InvalidInput(f"{setting} {path} is empty. Write the secret into it.")
    return secret


def _unreadable(setting: str, path: Path | None, error: OSError) -> InvalidInput:
    return InvalidInput(f"{setting} {path} cannot be read: {error.strerror}. Mend the path or its permissions.")
