"""Sends requests to one server until a whole answer has come, or says why none can."""

import contextlib
import http.client
import io
import logging
import random
import ssl
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TypeVar
from urllib.parse import quote, urlencode

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
)

from resources.errors import InvalidInput, TransientFailure
from resources.monitoring.server.bounded import BUFFER_BYTES, CONNECT_SECONDS, DeadlinePassed, open_pool
from resources.monitoring.server.compressed import DEFLATE, GZIP, unpacked
from resources.monitoring.server.connection import CA_FILE, READ_TIMEOUT, REQUEST_TIMEOUT, Connection
from resources.monitoring.server.failures import Refused, ServerUnavailable, TooMuch, shown
from resources.monitoring.server.verdict import Question, TryAgain, judge

__all__ = ["Answer", "HttpClient", "Refused", "ServerUnavailable", "TooMuch"]

MAX_BODY_BYTES = 2 * 1024**3
# Enough of an error's body to find the server's words in.
MAX_WORDS_BYTES = 64 * 1024
# A question over which the server runs out of time is cut after so many attempts: the parts are what helps.
HEAVY_ATTEMPTS = 2
FIRST_WAIT_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 30.0
KEPT_CONNECTIONS = 16

_PACKED = GZIP | {DEFLATE}
# Remote-read bodies are snappy by their own protocol and are left as they are.
_ENCODINGS = _PACKED | {"", "identity", "snappy"}
# What reading a body may end in. ValueError: a chunk of negative length.
_BROKEN = (HTTPError, http.client.HTTPException, OSError, ValueError, zlib.error)
# What OpenSSL says of a server that answers a TLS hello with plain text.
_PLAIN_TEXT = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE"})

_log = logging.getLogger(__name__)

Form = Mapping[str, str] | Iterable[tuple[str, str]]
T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """A whole answer with status 200. `body` is unpacked where gzip or deflate packed it on its way."""

    status: int
    content_type: str
    body: bytes = field(repr=False)


class HttpClient:
    """Asks one server; many threads may share it.

    `sleep` waits between attempts, `max_body_bytes` bounds an answer. `close` ends idle connections.
    Proxies that the environment names are not used.

    Raises:
        InvalidInput: the file of certificate authorities cannot be used.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        sleep: Callable[[float], None] = time.sleep,
        max_body_bytes: int = MAX_BODY_BYTES,
        kept_connections: int = KEPT_CONNECTIONS,
    ) -> None:
        self.connection = connection
        self._sleep = sleep
        self._max_body_bytes = max_body_bytes
        self._pool = open_pool(connection, kept_connections)

    def __enter__(self) -> "HttpClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._pool.close()

    def question(self, what: str) -> Question:
        """Return what words messages about the answer to `what`, and takes the present secrets out of them.

        Raises:
            InvalidInput: a file with credentials cannot be used.
        """
        return Question(self.connection.url, what, self.connection.credentials(), self.connection.url_setting)

    def send(
        self,
        method: str,
        path: str,
        *,
        form: Form | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        what: str,
    ) -> Answer:
        """Return the answer to a request, once its whole body is here; else as `ask`."""
        return self.ask(method, path, _undecoded, form=form, body=body, headers=headers, what=what)

    def ask(
        self,
        method: str,
        path: str,
        decode: Callable[[Answer, Question], T],
        *,
        form: Form | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        what: str,
    ) -> T:
        """Return what `decode` makes of the whole answer to a request.

        `path` follows the server's path prefix. `form` becomes the query of a GET, else the body.
        `headers` are added to the connection's. `what` names the request in messages; it may hold
        anything. A failed attempt is repeated from the start, after a growing and jittered wait.
        An attempt has failed, too, when `decode` raises TransientFailure or TryAgain.

        Raises:
            ServerUnavailable: every attempt failed.
            TooMuch: the server or `max_body_bytes` refuses the amount, or the server ran out of time, at last too.
            Refused: the request will be refused again: credentials, certificate, address or the query itself.
            InvalidInput: a file with credentials cannot be used.
        """
        target, payload, sent = self._prepare(method, path, form, body, headers or {})
        attempts = self.connection.attempts
        heavy = 0
        for attempt in range(1, attempts + 1):
            question = self.question(what)
            try:
                given = _merged(sent, question.credentials.headers)
                # The answer has no name here, so that `decode` can let go of it.
                return decode(self._attempt(question, method, target, payload, given), question)
            except TryAgain as setback:
                heavy += setback.heavy
                if attempt == attempts or heavy == HEAVY_ATTEMPTS:
                    raise _given_up(question, setback, attempt) from setback
                wait = self._announce(attempt, f"{question.server}: {question.clean(setback.cause)}", setback)
            except TransientFailure as failure:  # of `decode`; it names server and request itself
                if attempt == attempts:
                    raise ServerUnavailable(f"{failure} It was so in {_tries(attempts)}.") from failure
                wait = self._announce(attempt, question.clean(str(failure)))
            self._sleep(wait)
        raise AssertionError("attempts is at least 1")

    def _announce(self, attempt: int, cause: str, setback: TryAgain | None = None) -> float:
        """Return how long to wait after an attempt, and log why: what takes long says so, in a run's log too."""
        wait = max(_backoff_seconds(attempt), setback.wait_seconds if setback else 0.0)
        _log.warning("%s; attempt %d of %d, again in %.1f s", cause, attempt, self.connection.attempts, wait)
        return wait

    def _prepare(
        self, method: str, path: str, form: Form | None, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[str, bytes | None, dict[str, str]]:
        if not path.startswith("/") or any(character <= " " or character in "?#" for character in path):
            raise InvalidInput(f"{shown(path)} is no path of a request. It starts with / and has no spaces, ? or #.")
        if form is not None and body is not None:
            raise ValueError("a request has a form or a body, not both")
        sent = {"Accept-Encoding": "identity", "User-Agent": "novacron-performance-analytics"}
        target = self.connection.path_prefix + path
        if form is not None:
            encoded = urlencode(list(form.items() if isinstance(form, Mapping) else form), quote_via=quote)
            if method == "GET":
                target = f"{target}?{encoded}" if encoded else target
            else:
                body = encoded.encode("ascii")
                sent["Content-Type"] = "application/x-www-form-urlencoded"
        return target, body, _merged(sent, headers)

    def _attempt(
        self, question: Question, method: str, target: str, payload: bytes | None, headers: dict[str, str]
    ) -> Answer:
        try:
            response = self._pool.urlopen(
                method, target, body=payload, headers=headers, redirect=False, preload_content=False
            )
        except (HTTPError, http.client.HTTPException, OSError) as error:
            raise self._failed(question, error) from error
        try:
            body = self._read(question, response) if response.status == 200 else _beginning(response)
        except _BROKEN as error:
            raise self._failed(question, error) from error
        finally:
            # A no-op where the whole answer was read and the connection is kept.
            response.close()
        judge(question, response.status, response.headers, body)
        return Answer(response.status, response.headers.get("Content-Type", ""), body)

    def _read(self, question: Question, response: urllib3.BaseHTTPResponse) -> bytes:
        """Return the whole body of an answer to take."""
        encoding = _encoding(response)
        self._check_head(question, response, encoding)
        content = io.BytesIO()
        pieces: Iterable[bytes] = response.stream(BUFFER_BYTES, decode_content=False)
        for piece in unpacked(pieces, encoding) if encoding in _PACKED else pieces:
            content.write(piece)
            if content.tell() > self._max_body_bytes:
                raise self._too_long(question, "its answer is longer")
        response.release_conn()
        return content.getvalue()

    def _check_head(self, question: Question, response: urllib3.BaseHTTPResponse, encoding: str) -> None:
        announced = getattr(response, "length_remaining", None)
        if encoding not in _ENCODINGS:
            raise question.refused(
                f"its answer is encoded as {shown(encoding)}, which was not asked for", "Ask whoever runs the proxy."
            )
        if announced is None and not response.chunked:
            raise question.refused(
                "its answer has neither a length nor chunks, so that a cut one would look whole",
                "It comes from a proxy that speaks HTTP/1.0: let it speak HTTP/1.1 to its clients.",
            )
        if announced is not None and announced > self._max_body_bytes:
            raise self._too_long(question, f"its answer has {announced} bytes, more")

    def _too_long(self, question: Question, cause: str) -> TooMuch:
        return question.too_much(f"{cause} than the {self._max_body_bytes} bytes that are read at once")

    def _failed(self, question: Question, error: Exception) -> Exception:
        """Return what a failure below HTTP means: nearly always TryAgain."""
        tls = next((cause for cause in _causes(error) if isinstance(cause, ssl.SSLError)), None)
        if tls is not None:
            return self._failed_tls(question, tls)
        causes = list(_causes(error))
        if any(isinstance(cause, DeadlinePassed) for cause in causes):
            seconds = self.connection.request_timeout_seconds
            return TryAgain(f"its answer was not whole after {seconds:g} s ({REQUEST_TIMEOUT})")
        if isinstance(error, NameResolutionError):
            return TryAgain(f"the name {shown(self.connection.host)} does not resolve")
        if isinstance(error, NewConnectionError):
            return TryAgain(f"no connection: {_system_words(causes)}")
        if isinstance(error, ConnectTimeoutError):
            seconds = min(CONNECT_SECONDS, self.connection.read_timeout_seconds)
            return TryAgain(f"no connection within {seconds:g} s")
        if isinstance(error, (ReadTimeoutError, TimeoutError)):
            return TryAgain(f"nothing came for {self.connection.read_timeout_seconds:g} s ({READ_TIMEOUT})")
        broken = next((cause for cause in causes if isinstance(cause, http.client.BadStatusLine)), None)
        if broken is not None and str(broken).strip("'\"").startswith(("\x15\x03", "\\x15\\x03")):  # a TLS alert
            return question.refused("it answers plain http with TLS", f"Write https:// in {question.url_setting}.")
        if any(isinstance(cause, http.client.IncompleteRead) for cause in causes):
            return TryAgain("its answer broke off before the end")
        if isinstance(error, ProtocolError) and isinstance(causes[-1], OSError):
            return TryAgain(f"the connection broke: {_system_words(causes)}")
        if isinstance(error, zlib.error):
            return TryAgain(f"its compressed answer is broken: {error}")
        said = question.clean(str(error))
        return TryAgain(f"its answer is broken: {type(error).__name__} {shown(said)}")

    def _failed_tls(self, question: Question, error: ssl.SSLError) -> Exception:
        if isinstance(error, ssl.SSLCertVerificationError):
            return question.refused(
                f"its certificate does not verify: {error.verify_message.rstrip('.')}",
                f"If an authority of your own signed it, set {CA_FILE} to that authority's certificate in PEM form; "
                f"if the name is wrong, use in {question.url_setting} a name that the certificate holds.",
            )
        reason = error.reason or type(error).__name__
        if reason in _PLAIN_TEXT:
            return question.refused(
                f"it does not speak TLS on this port ({reason})",
                f"Write http:// in {question.url_setting}, or name the port of https.",
            )
        if "_ALERT_" in reason and "INTERNAL_ERROR" not in reason:
            return question.refused(
                f"it ended the TLS handshake ({reason})",
                "It wants another TLS version or a client certificate: change its settings or use a proxy.",
            )
        return TryAgain(f"the TLS connection broke ({reason})")


def _undecoded(answer: Answer, question: Question) -> Answer:
    return answer


def _encoding(response: urllib3.BaseHTTPResponse) -> str:
    return response.headers.get("Content-Encoding", "").strip().lower()


def _beginning(response: urllib3.BaseHTTPResponse) -> bytes:
    """Return the beginning of an error's body, as far as it comes: its status says enough without."""
    packed, content = bytearray(), bytearray()
    with contextlib.suppress(*_BROKEN):
        while len(packed) < MAX_WORDS_BYTES:
            # No more than is there, because what follows may never come.
            piece = response.read1(MAX_WORDS_BYTES - len(packed), decode_content=False)
            if not piece:
                response.release_conn()
                break
            packed += piece
    encoding = _encoding(response)
    if encoding not in _PACKED:
        return bytes(packed)
    with contextlib.suppress(*_BROKEN):
        for piece in unpacked([bytes(packed)], encoding):
            content += piece
            if len(content) >= MAX_WORDS_BYTES:
                break
    return bytes(content[:MAX_WORDS_BYTES])


def _merged(first: Mapping[str, str], second: Mapping[str, str]) -> dict[str, str]:
    """Return both sets of headers; where both set one, whatever its case, the second has it."""
    replaced = {name.lower() for name in second}
    return {**{name: value for name, value in first.items() if name.lower() not in replaced}, **second}


def _backoff_seconds(attempt: int) -> float:
    longest = min(LONGEST_BACKOFF_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** (attempt - 1))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads clients, protects nothing


def _given_up(question: Question, setback: TryAgain, attempts: int) -> TooMuch | ServerUnavailable:
    if setback.heavy:
        return question.too_much(f"it ran out of time in {_tries(attempts)}; the last: {setback.cause}")
    return ServerUnavailable(
        f"{question.server} gave no answer to {shown(question.what)} in {_tries(attempts)}; the last: {setback.cause}. "
        f"Check that it runs and that {question.url_setting} is its address, then try again."
    )


def _tries(attempts: int) -> str:
    return f"{attempts} attempts" if attempts > 1 else "1 attempt"


def _causes(error: BaseException) -> Iterable[BaseException]:
    """Yield `error` and all that it was raised from or holds, outermost first."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting:
        current = waiting.pop(0)
        if any(current is known for known in seen):
            continue
        seen.append(current)
        yield current
        waiting += [held for held in (*current.args, current.__cause__) if isinstance(held, BaseException)]


def _system_words(causes: list[BaseException]) -> str:
    """Return what the operating system said, such as `Connection refused`."""
    said = [cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror]
    return said[-1] if said else "it was closed"
