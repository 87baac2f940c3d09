"""What an HTTP answer means: take it, try again, ask for less, or give up and say why."""

import html
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from urllib.parse import quote, quote_plus, urlsplit

import orjson

from resources.monitoring.server.connection import (
    BEARER_TOKEN_FILE,
    PASSWORD_FILE,
    URL,
    USERNAME,
    Credentials,
)
from resources.monitoring.server.failures import Refused, TooMuch, shown

MAX_WAIT_SECONDS = 60.0

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TRANSIENT = frozenset({408, 425, 429, 499})
_NOT_OFFERED = frozenset({501, 505})
# Words of a server that has no time now; the question may be small.
_BUSY = re.compile(r"query queue|maxconcurrentrequests|maxqueueduration|couldn't start executing|too many outstanding")
_TIMED_OUT = re.compile(r"timed out|timeout exceeded|deadline exceeded")
# Words of a server that counted, and found the answer too large.
_TOO_MUCH = re.compile(
    r"too many (samples|series|points|data)|exceed|cannot select more than|-search\.max|sample limit"
)
_TLS_EXPECTED = re.compile(r"http request (was sent )?to (an )?https (server|port)")
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_WINDOW = r"(?:for|on the time range) \([^)]{0,200}\)"
# VictoriaMetrics repeats the whole request and query, often thousands of characters, before the cause.
_ECHO = re.compile(
    rf"remoteAddr: {_QUOTED}; requestURI: \S*; "
    rf"|(?:error when|cannot) [a-z ]{{1,40}}(?:query=)?{_QUOTED}(?: {_WINDOW})?: "
    rf"|error when [a-z ]{{1,40}} {_WINDOW}: "
    r"|error when searching for tagFilters=\[(?s:.){0,5000}?\] on the time range \[[^\]]{0,100}\]: "
)


class TryAgain(Exception):
    """This attempt failed in a way that the next may not. `heavy`: the server ran out of time over the question."""

    def __init__(self, cause: str, wait_seconds: float = 0.0, heavy: bool = False) -> None:
        super().__init__(cause)
        self.cause = cause
        self.wait_seconds = wait_seconds
        self.heavy = heavy


@dataclass(frozen=True)
class Question:
    """Who was asked for what, and with which credentials; it words the messages."""

    server: str
    what: str
    credentials: Credentials = field(default_factory=Credentials)
    url_setting: str = URL

    def clean(self, text: str) -> str:
        """Return the server's `text` without the secrets that were sent to it."""
        for secret in sorted(self.credentials.secrets, key=len, reverse=True):
            for form in {
                secret,
                quote(secret, safe=""),
                quote_plus(secret),
                json.dumps(secret)[1:-1],
                html.escape(secret),
            }:
                text = text.replace(form, "***")
        return text

    def refused(self, cause: str, advice: str, status: int | None = None) -> Refused:
        return Refused(f"{self.server} refused {shown(self.what)}: {cause}. {advice}", status)

    def too_much(self, cause: str) -> TooMuch:
        return TooMuch(
            f"{self.server} finds {shown(self.what)} too large: {cause}. Ask for less time or for fewer series at once."
        )


@dataclass(frozen=True)
class Words:
    """What an answer says went wrong, in the server's own words.

    These decide what it means, and may repeat secrets; `as_cause` quotes them without any.
    """

    status: int
    text: str = field(repr=False)
    error_type: str = field(default="", repr=False)
    page: bool = False

    def as_cause(self, question: Question) -> str:
        said = shown(question.clean(f"{self.error_type}: {self.text}" if self.error_type else self.text))
        if self.page:
            return f"HTTP {self.status} with an HTML page titled {said}, so it came from a proxy or another server"
        return f"HTTP {self.status}, {said}" if self.text else f"HTTP {self.status} without a word"


def read_words(question: Question, status: int, content_type: str, body: bytes) -> Words:
    """Return what the body of an answer says: the API's error, the title of a page, or plain text."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = None
    if isinstance(answer, dict) and isinstance(answer.get("error"), str):
        error_type = answer.get("errorType")
        return Words(status, _ECHO.sub("", answer["error"]), error_type if isinstance(error_type, str) else "")
    text = body.decode("utf-8", "replace")
    if is_page(content_type, body):
        # A secret is looked for as the page writes it, before escapes and spaces of the title go.
        title = re.search(r"<title[^>]*>([^<]*)", question.clean(text), re.IGNORECASE)
        return Words(status, " ".join(html.unescape(title[1]).split()) if title else "", page=True)
    return Words(status, _ECHO.sub("", text).strip())


def is_page(content_type: str, body: bytes) -> bool:
    """Return whether this is an HTML page, which the API of no metrics server answers with."""
    start = body[:200].lstrip().lower()
    return content_type.lower().startswith("text/html") or start.startswith((b"<!doctype html", b"<html"))


def judge(question: Question, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Return if the answer is one to take: 200 and no page.

    Raises:
        TryAgain: the same request may be answered later.
        TooMuch: the server finds the question too large.
        Refused: it will be refused again until somebody changes something.
    """
    content_type = headers.get("Content-Type", "")
    if status == 200:
        if is_page(content_type, body):
            words = read_words(question, status, content_type, body)
            raise question.refused(
                words.as_cause(question),
                f"Is {question.url_setting} the metrics server? Does a proxy want a login?",
                status,
            )
        return
    if status in _REDIRECTS:
        target = question.clean(_target(headers.get("Location", "")))
        raise question.refused(
            f"HTTP {status}, it redirects to {target}, and redirects are not followed",
            f"If that is the metrics server, set {question.url_setting} to it.",
            status,
        )
    words = read_words(question, status, content_type, body)
    judge_words(question, words, _wait_seconds(headers))
    raise question.refused(words.as_cause(question), _advice(question, words), status)


def judge_words(question: Question, words: Words, wait_seconds: float = 0.0) -> None:
    """Raise TryAgain or TooMuch where status or words mean that; return where they mean neither."""
    text, status, cause = words.text.lower(), words.status, words.as_cause(question)
    if status not in (401, 403, 404, 407, 429) and not words.page:
        if _BUSY.search(text):
            raise TryAgain(cause, wait_seconds)
        if words.error_type == "timeout" or (words.error_type != "bad_data" and _TIMED_OUT.search(text)):
            raise TryAgain(cause, wait_seconds, heavy=True)
        if status == 413 or _TOO_MUCH.search(text):
            raise question.too_much(cause)
    if status in _TRANSIENT or (status >= 500 and status not in _NOT_OFFERED):
        raise TryAgain(cause, wait_seconds)


def _advice(question: Question, words: Words) -> str:
    if words.status in (401, 403):
        used = question.credentials.setting
        if used:
            return f"The credentials came from {used}: check that they are valid and may read."
        return f"No credentials are set: set {BEARER_TOKEN_FILE}, or {USERNAME} and {PASSWORD_FILE}."
    if words.status == 407:
        return "A proxy in between wants credentials of its own: reach the server without it."
    if _TLS_EXPECTED.search(words.text.lower()):
        return f"The server speaks https: write https:// in {question.url_setting}."
    if words.status == 404 and not words.error_type:
        return f"Is {question.url_setting} the server's address? Does it need a path prefix, such as /prometheus?"
    if words.page:
        return f"Is {question.url_setting} the metrics server? Ask whoever runs the proxy in between."
    return "Mend the request; the same one will be refused again."


def _target(location: str) -> str:
    """Return scheme and host of a redirect's target; the rest of it may hold a session's secrets."""
    try:
        parts = urlsplit(location)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "an address that is no URL"
    if not host:
        return "another path of itself"
    place = f"[{host}]" if ":" in host else host
    return shown(f"{parts.scheme or 'https'}://{place}{f':{port}' if port else ''}")


def _wait_seconds(headers: Mapping[str, str]) -> float:
    """Return how long the server asks to wait, at most `MAX_WAIT_SECONDS`; 0 where it says nothing usable.

    A date counts from the server's own `Date`, so that no clock of this machine comes in.
    """
    given = headers.get("Retry-After", "").strip()
    try:
        seconds = float(given)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(given) - parsedate_to_datetime(headers.get("Date", ""))).total_seconds()
        except (ValueError, TypeError):  # no dates, or one without a time zone
            return 0.0
    return min(max(seconds, 0.0), MAX_WAIT_SECONDS) if math.isfinite(seconds) else 0.0
