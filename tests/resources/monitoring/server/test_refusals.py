"""What each status means, what messages say, and what they must not say."""

import base64
import html
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from resources.errors import InvalidInput
from resources.monitoring.server.failures import shown
from resources.monitoring.server.http import Refused, ServerUnavailable, TooMuch
from tests.resources.monitoring.server.clients import Waits, client
from tests.resources.monitoring.server.scripted import Close, Script, answer, failure, scripted

BODY = b'{"status":"success","data":[]}'
WHOLE = answer(body=BODY)
PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in\n &amp; go</title></head><body>secret page</body></html>"
VM_ECHO = b'remoteAddr: "127.0.0.1:52538"; requestURI: /api/v1/export?match=' + b"x" * 5000 + b"; "


@pytest.mark.parametrize(
    "script",
    [
        failure(422, "execution", "query processing would load too many samples into memory in query execution"),
        failure(422, "422", "cannot select more than -search.maxSamplesPerQuery=30 samples; possible solutions"),
        failure(422, "422", "the number of matching timeseries exceeds 2; either narrow down the search or increase"),
        failure(422, "422", "too many points for the given step=1000; cannot exceed -search.maxPointsPerTimeseries=3"),
        failure(400, "bad_data", "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the"),
        answer(400, b"exceeded sample limit (50000)\n", "text/plain; charset=utf-8"),
        answer(400, VM_ECHO + b"cannot select more than -search.maxSamplesPerQuery=30 samples", "text/plain"),
        answer(413, b"", "text/plain"),
        failure(500, "internal", "exceeded series limit"),
    ],
)
def test_too_much_is_said_at_once(script: Script) -> None:
    """Stops a question that is too large from being asked five times, and from not being split."""
    with scripted(script) as server, client(server.url) as asking:
        with pytest.raises(TooMuch, match="Ask for less time or for fewer series") as failed:
            asking.send("POST", "/api/v1/query", what="up")
        assert len(server.requests) == 1
    assert server.url in str(failed.value)
    assert "'up'" in str(failed.value)
    assert "requestURI" not in str(failed.value)


@pytest.mark.parametrize(
    "script",
    [
        failure(503, "timeout", "query timed out in expression evaluation"),
        failure(422, "422", "cannot fetch data: timeout exceeded while fetching data block #1 from storage"),
    ],
)
def test_a_question_that_always_times_out_is_too_much(script: Script) -> None:
    """Stops a heavy query from failing for ever where half of it would be answered, and ten minutes before each cut."""
    for attempts, asked in ((1, 1), (2, 2), (5, 2)):
        with scripted(script) as server, client(server.url, attempts=attempts) as asking:
            with pytest.raises(TooMuch, match=f"ran out of time in {asked} attempt"):
                asking.send("POST", "/api/v1/query", what="up")
            assert len(server.requests) == asked


def test_a_server_that_is_busy_meanwhile_is_still_asked_again() -> None:
    """Stops a timeout while the server starts from counting as two, and the other attempts from being lost."""
    late, busy = failure(503, "timeout", "query timed out in expression evaluation"), answer(503, b"", "text/plain")
    with scripted(busy, late, busy, WHOLE) as server, client(server.url, attempts=4) as asking:
        assert asking.send("POST", "/api/v1/query", what="up").body == BODY
    with scripted(late, busy, late, WHOLE) as server, client(server.url, attempts=4) as asking:
        with pytest.raises(TooMuch, match="in 3 attempts"):
            asking.send("POST", "/api/v1/query", what="up")
        assert len(server.requests) == 3


@pytest.mark.parametrize("value", ["1", "e", "many", "samples", "time", "timeout", "execution", "too many samples"])
def test_what_was_sent_does_not_change_what_an_answer_means(value: str) -> None:
    """Stops a tenant whose id is a word of the server's messages from being refused instead of asked for less."""
    too_much = failure(422, "execution", "query processing would load too many samples into memory in query execution")
    late = failure(503, "timeout", "query timed out in expression evaluation")
    for script in (too_much, late):
        with (
            scripted(script) as server,
            client(server.url, headers={"X-Scope-OrgID": value}) as asking,
            pytest.raises(TooMuch) as failed,
        ):
            asking.send("POST", "/api/v1/query", what="up")
        assert ("***" in str(failed.value)) == (len(value) >= 6 and value in str(script))


def test_a_short_secret_of_a_file_is_masked_all_the_same(tmp_path: Path) -> None:
    """Stops a short password from being shown, and a tenant's number from making every message unreadable."""
    file = tmp_path / "secret"
    file.write_text("xyz")
    script = answer(400, b"xyz: tenant 1 has 11 of 100", "text/plain")
    for changes in ({"bearer_token_file": file}, {"username": "me", "password_file": file}):
        text = _failure_text(script, {**changes, "headers": {"X-Scope-OrgID": "1"}})
        assert "'***: tenant 1 has 11 of 100'" in text
        assert "xyz" not in text


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (failure(503, "timeout", "query timed out in query queue"), "query queue"),
        (
            answer(
                503, b"couldn't start executing the request in 10s, since -search.maxConcurrentRequests=1", "text/plain"
            ),
            "maxConcurrentRequests",
        ),
        (answer(503, b"Service Unavailable", "text/plain"), "HTTP 503, 'Service Unavailable'"),
        (answer(502, PAGE, "text/html"), "HTML page titled 'Sign in & go'"),
        (answer(504, b"", "text/plain"), "HTTP 504 without a word"),
        (failure(500, "internal", "disk on fire"), "internal: disk on fire"),
        (answer(429, b"slow down", "text/plain"), "HTTP 429, 'slow down'"),
        (answer(408, b"", "text/plain"), "HTTP 408"),
    ],
)
def test_what_may_pass_is_tried_again(script: Script, said: str) -> None:
    """Stops an overloaded server from failing a collection at once, or from being asked for smaller parts."""
    with scripted(script, WHOLE) as server, client(server.url) as asking:
        assert asking.send("POST", "/api/v1/query", what="up").body == BODY
    with scripted(script) as server, client(server.url, attempts=3) as asking:
        with pytest.raises(ServerUnavailable, match="3 attempts") as failed:
            asking.send("POST", "/api/v1/query", what="up")
        assert len(server.requests) == 3
    assert said in str(failed.value)


def test_the_cause_is_found_behind_a_repeated_query() -> None:
    """Stops the cause from being cut off behind what VictoriaMetrics repeats, and the query's words from deciding."""
    query = json.dumps("m{a=" + json.dumps("exceeds \\ timed out" * 300) + "}")
    said = (
        f"error when executing query={query} on the time range (start=1, end=2, step=3): cannot execute query: "
        f"cannot evaluate {query}: duplicate timestamp"
    )
    with (
        scripted(failure(422, "422", said)) as server,
        client(server.url) as asking,
        pytest.raises(Refused, match="'422: cannot execute query: duplicate timestamp'"),
    ):
        asking.send("GET", "/x", what="up")


DATES = ["Date: Wed, 21 Oct 2015 07:28:00 GMT", "Retry-After: Wed, 21 Oct 2015 07:28:20 GMT"]


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        (["Retry-After: 7"], 7, 7),
        (["Retry-After: 100000"], 60, 60),
        (["Retry-After: inf"], 0, 0.5),
        (["Retry-After: -5"], 0, 0.5),
        (["Retry-After: soon"], 0, 0.5),
        (DATES, 20, 20),
        (DATES[1:], 0, 0.5),
        ([], 0.25, 0.5),
    ],
)
def test_a_server_may_say_when(headers: list[str], least: float, most: float) -> None:
    """Stops hammering a server that asked for a pause, and a pause of a day."""
    waits = Waits()
    with scripted(answer(429, b"", "text/plain", headers), WHOLE) as server, client(server.url, waits) as asking:
        asking.send("GET", "/x", what="up")
    [wait] = waits
    assert least <= wait <= most


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (failure(422, "execution", "found duplicate series for the match group"), "execution: found duplicate series"),
        (failure(400, "bad_data", 'parse error: timed out of "exp'), "parse error"),
        (answer(404, b"404 page not found\n", "text/plain"), "path prefix"),
        (answer(400, VM_ECHO + b'unsupported path requested: "/x"', "text/plain"), "'unsupported path requested: "),
        (answer(400, b"Client sent an HTTP request to an HTTPS server.\n", "text/plain"), "write https://"),
        (answer(407, PAGE, "text/html"), "A proxy in between wants credentials"),
        (answer(403, PAGE, "text/html"), "HTML page titled 'Sign in & go'"),
        (answer(200, PAGE, "text/html; charset=utf-8"), "HTML page titled 'Sign in & go'"),
        (answer(200, PAGE, "application/json"), "HTML page"),
        (answer(204, b"", "text/plain"), "HTTP 204"),
        (answer(206, BODY), "HTTP 206"),
        (answer(501, b"", "text/plain"), "HTTP 501"),
        (answer(418, b"x" * 70_000, "text/plain"), "and 65336 more characters"),
    ],
)
def test_what_will_not_pass_is_refused_at_once(script: Script, said: str) -> None:
    """Stops a wrong address, a login page or a bad query from being tried five times or read as no data."""
    with scripted(script) as server, client(server.url) as asking:
        with pytest.raises(Refused) as failed:
            asking.send("POST", "/api/v1/query", what="up")
        assert len(server.requests) == 1
    assert said in str(failed.value)
    assert server.url in str(failed.value)
    assert len(str(failed.value)) < 900


def test_an_error_without_a_length_is_still_understood() -> None:
    """Stops Go's bare answer to http on an https port from being taken for a broken connection."""
    bare = [b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"]
    with (
        scripted([*bare, Close()]) as server,
        client(server.url) as asking,
        pytest.raises(Refused, match="https://"),
    ):
        asking.send("GET", "/x", what="up")


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("https://elsewhere.example:8443/login?session=topsecret#topsecret", "'https://elsewhere.example:8443'"),
        ("https://user:topsecret@elsewhere.example/", "'https://elsewhere.example'"),
        ("/topsecret", "another path of itself"),
        ("http://[::1", "no URL"),
        ("//elsewhere.example/x", "'https://elsewhere.example'"),
    ],
)
def test_redirects_are_named_and_not_followed(location: str, said: str) -> None:
    """Stops credentials from being sent to another host."""
    script = answer(302, b"", "text/plain", [f"Location: {location}"])
    with scripted(script, WHOLE) as server, client(server.url) as asking:
        with pytest.raises(Refused, match="redirects are not followed") as failed:
            asking.send("GET", "/x", what="up")
        assert len(server.requests) == 1
    assert said in str(failed.value)
    assert "topsecret" not in str(failed.value)


def test_a_rotated_token_is_used_at_once(tmp_path: Path) -> None:
    """Stops a token that was read once from being sent after its rotation, within the attempts of one request too."""
    file = tmp_path / "token"
    file.write_text("first\n")

    class Rotating(Waits):
        def sleep(self, seconds: float) -> None:
            file.write_text("third")

    scripts = [WHOLE, answer(503, b"", "text/plain"), WHOLE]
    with scripted(*scripts) as server, client(server.url, Rotating(), bearer_token_file=file) as asking:
        asking.send("GET", "/x", what="up")
        file.write_text("second")
        asking.send("GET", "/x", what="up")
        file.unlink()
        with pytest.raises(InvalidInput, match="source_bearer_token_file"):
            asking.send("GET", "/x", what="up")
        sent = [request.headers["authorization"] for request in server.requests]
    assert sent == ["Bearer first", "Bearer second", "Bearer third"]


def test_basic_authentication(tmp_path: Path) -> None:
    """Stops a password with a colon or outside ASCII from being cut or refused."""
    file = tmp_path / "password"
    file.write_text("pä:ss wörd\n", encoding="utf-8")
    with scripted(WHOLE) as server, client(server.url, username="me", password_file=file) as asking:
        asking.send("GET", "/x", what="up")
        [request] = server.requests
    assert request.headers["authorization"] == "Basic " + base64.b64encode("me:pä:ss wörd".encode()).decode()


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 422, 503])
@pytest.mark.parametrize("kind", ["json", "text", "page"])
def test_no_message_holds_a_secret(tmp_path: Path, status: int, kind: str) -> None:
    """Stops a server that repeats what it was sent from putting credentials into logs."""
    token, key, password = "Tok-en.123+/=", "key&<9>", 'pass"word\\'
    file = tmp_path / "secret"
    pair = base64.b64encode(f"me:{password}".encode()).decode()
    for secrets, changes in (
        ((token, key), {"bearer_token_file": file, "headers": {"X-Api-Key": key}}),
        ((password, pair), {"username": "me", "password_file": file}),
        ((token,), {"headers": {"Authorization": f"Bearer {token}"}}),
    ):
        file.write_text(secrets[0])
        forms = {form for secret in secrets for form in (secret, quote(secret, safe=""), html.escape(secret))}
        echo = " ".join(sorted(forms)) + json.dumps(secrets)
        body, content_type = {
            "json": (
                json.dumps({"status": "error", "errorType": "execution", "error": echo}).encode(),
                "application/json",
            ),
            "text": (echo.encode(), "text/plain"),
            "page": (f"<html><title>{echo}</title>".encode(), "text/html"),
        }[kind]
        if status == 200 and kind != "page":
            continue
        text = _failure_text(answer(status, body, content_type, [f"Location: http://{secrets[-1]}/"]), changes)
        assert not [form for form in forms | {repr(form)[1:-1] for form in forms} if form in text]
        if status in (401, 403):
            assert "source_" in text


def _failure_text(script: Script, changes: dict[str, Any]) -> str:
    """Return the message of the failure and of all that it came from."""
    with (
        scripted(script) as server,
        client(server.url, **changes) as asking,
        pytest.raises((Refused, ServerUnavailable, TooMuch)) as failed,
    ):
        asking.send("GET", "/x", what="up")
    texts: list[str] = []
    error: BaseException | None = failed.value
    while error is not None:
        texts.append(f"{error} {error!r}")
        error = error.__cause__ or error.__context__
    return " ".join(texts)


def test_refused_credentials_name_the_setting(tmp_path: Path) -> None:
    """Stops "401" without a word on which of the settings to look at."""
    file = tmp_path / "secret"
    file.write_text("s")
    for changes, said in (
        ({}, "No credentials are set: set source_bearer_token_file"),
        ({"bearer_token_file": file}, "came from source_bearer_token_file"),
        ({"username": "me", "password_file": file}, "came from source_username with source_password_file"),
        ({"headers": {"authorization": "Bearer x1"}}, "came from Authorization in source_headers"),
    ):
        assert said in _failure_text(answer(401, b"no", "text/plain"), changes)


HOSTILE = 'novacron_vm{vm_id="a\\"b\\\\c{}\n\r\x1b[31m\u202e\u0000é日本"}'


@pytest.mark.parametrize("what", [HOSTILE, HOSTILE * 300, "\U000e0001" * 10_000, "x" * 10_000])
def test_hostile_text_is_shown_safely(what: str) -> None:
    """Stops labels from writing lines, colours or ten thousand characters into a log."""
    script = answer(400, what.encode(), "text/plain")
    with scripted(script) as server, client(server.url) as asking, pytest.raises(Refused) as failed:
        asking.send("GET", "/x", what=what)
    message = str(failed.value)
    assert message.isprintable()
    assert len(message) < 1400
    assert ("more characters" in message) == (len(what) > 200)
    assert shown("é日本") == "'é日本'"
