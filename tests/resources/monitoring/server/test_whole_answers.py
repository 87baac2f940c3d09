"""An answer is whole or it is not an answer: cuts, silence, dribbling, and what is tried again."""

import gzip
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from resources.errors import InvalidInput
from resources.monitoring.server.http import Refused, ServerUnavailable, TooMuch
from tests.resources.monitoring.server.clients import QUICK_SECONDS, Waits, client
from tests.resources.monitoring.server.scripted import Close, Hang, Pause, Reset, answer, chunked, scripted
from tests.servers.process import free_port

BODY = b'{"status":"success","data":[1,2,3]}'
WHOLE = answer(body=BODY)


def test_a_chunked_answer_cut_at_any_byte_is_asked_for_again() -> None:
    """Stops a cut answer from being returned: Python takes the `0` of a cut `00000a` for the last chunk."""
    whole = chunked(BODY[:10], BODY[10:], size="%06x")
    cuts = [[whole[:end], Close()] for end in range(len(whole))]
    scripts = [script for cut in cuts for script in (cut, [whole])]
    with scripted(*scripts) as server, client(server.url) as asking:
        for number, cut in enumerate(cuts):
            assert asking.send("POST", "/read", what="up").body == BODY, cut
            assert len(server.requests) == 2 * (number + 1), f"{cut} passed for a whole answer"


def test_an_answer_with_a_length_cut_at_any_byte_is_asked_for_again() -> None:
    """Stops a cut `Content-Length: 12` from being read as 1, and a short body from being returned."""
    [whole] = WHOLE
    assert isinstance(whole, bytes)
    cuts = [[whole[:end], Close()] for end in range(len(whole))]
    with scripted(*[script for cut in cuts for script in (cut, [whole])]) as server, client(server.url) as asking:
        for number, cut in enumerate(cuts):
            assert asking.send("GET", "/x", what="up").body == BODY, cut
            assert len(server.requests) == 2 * (number + 1), f"{cut} passed for a whole answer"


@pytest.mark.parametrize(
    "broken",
    [
        [b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort", Close()],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort", Reset()],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabcde\r\n0\r\n\r\n", Close()],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", Close()],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nabcdefg", Close()],
        [b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nabcde"],
        [b"\r\n\r\n", Close()],
        [b"nonsense\r\n", Close()],
        [Reset()],
        [Close()],
    ],
)
def test_a_broken_answer_is_asked_for_again(broken: list[object]) -> None:
    """Stops a length that is too long, a reset or a bad chunk from ending a collection."""
    waits = Waits()
    with scripted(broken, WHOLE) as server, client(server.url, waits) as asking:  # type: ignore[arg-type]
        assert asking.send("POST", "/read", what="up").body == BODY
    assert len(waits) == 1
    with scripted(broken) as server, client(server.url) as asking:  # type: ignore[arg-type]
        with pytest.raises(ServerUnavailable, match=r"'up' in 2 attempts") as failed:
            asking.send("POST", "/read", what="up")
        assert server.url in str(failed.value)
        assert len(server.requests) == 2


def test_a_refused_port_is_tried_again_with_growing_waits() -> None:
    """Stops a restart of the server from failing a collection, and a storm of retries."""
    waits = Waits()
    url = f"http://127.0.0.1:{free_port()}"
    with client(url, waits, attempts=5) as asking:
        with pytest.raises(ServerUnavailable, match=r"5 attempts.*Connection refused") as failed:
            asking.send("GET", "/x", what="up")
        assert url in str(failed.value)
    assert len(waits) == 4
    for wait, longest in zip(waits, (0.5, 1, 2, 4), strict=True):
        assert longest / 2 <= wait <= longest
    assert len(set(waits)) == 4


def test_a_name_that_does_not_resolve_is_named() -> None:
    """Stops a wrong host name from being shown as a timeout."""
    with (
        client("http://metrics.invalid:9090", attempts=1) as asking,
        pytest.raises(ServerUnavailable, match=r"'metrics\.invalid' does not resolve"),
    ):
        asking.send("GET", "/x", what="up")


def test_a_server_that_is_not_ready_is_waited_for() -> None:
    """Stops a collection right after a restart from failing: Prometheus says 503 in plain text until it is ready."""
    starting = answer(503, b"Service Unavailable", "text/plain")
    with scripted(starting, starting, WHOLE) as server, client(server.url, attempts=5) as asking:
        assert asking.send("GET", "/x", what="up").body == BODY
        assert server.connections == 1  # the connection is used again


def test_silence_ends() -> None:
    """Stops a hung server from holding a run for ever."""
    with scripted([Hang()]) as server, client(server.url, read_timeout_seconds=QUICK_SECONDS) as asking:
        begun = time.monotonic()
        with pytest.raises(ServerUnavailable, match=r"nothing came for 0\.3 s \(source_read_timeout_seconds\)"):
            asking.send("GET", "/x", what="up")
        assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    ("script", "failure", "said"),
    [
        ([b"HTTP/1.1 401 X\r\nContent-Length: 50\r\n\r\nbad token", Close()], Refused, "HTTP 401, 'bad token'"),
        ([b"HTTP/1.1 401 X\r\nContent-Length: 50\r\n\r\nbad token", Reset()], Refused, "HTTP 401"),
        ([b"HTTP/1.1 401 X\r\nContent-Length: 50\r\n\r\n", Close()], Refused, "HTTP 401 without a word"),
        ([b"HTTP/1.1 404 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwh", Close()], Refused, "HTTP 404, 'wh'"),
        (
            [b"HTTP/1.1 404 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwhere\r\n-1", Close()],
            Refused,
            "HTTP 404, 'where'",
        ),
        (
            [b"HTTP/1.1 422 X\r\nContent-Length: 99\r\n\r\ntoo many samples", Hang()],
            TooMuch,
            "HTTP 422, 'too many sampl",
        ),
        ([b"HTTP/1.1 413 X\r\nContent-Length: 99\r\n\r\n", Hang()], TooMuch, "HTTP 413 without a word"),
    ],
)
def test_an_error_is_one_even_if_its_body_breaks(script: list[object], failure: type[Exception], said: str) -> None:
    """Stops the status and the server's words from being lost, and a refusal from being asked for five times."""
    with scripted(script) as server, client(server.url, read_timeout_seconds=QUICK_SECONDS) as asking:  # type: ignore[arg-type]
        with pytest.raises(failure, match=said):
            asking.send("GET", "/x", what="up")
        assert len(server.requests) == 1


def test_an_error_that_may_pass_is_asked_for_again_though_its_body_breaks() -> None:
    """Stops a cut 503 from being taken for a refusal, or its status from being lost."""
    broken = [b"HTTP/1.1 503 X\r\nRetry-After: 7\r\nContent-Length: 99\r\n\r\nstarting", Close()]
    waits = Waits()
    with scripted(broken, WHOLE) as server, client(server.url, waits) as asking:
        assert asking.send("GET", "/x", what="up").body == BODY
    assert waits == [7]
    with (
        scripted(broken) as server,
        client(server.url) as asking,
        pytest.raises(ServerUnavailable, match="in 2 attempts; the last: HTTP 503, 'starting'"),
    ):
        asking.send("GET", "/x", what="up")


def test_silence_within_the_body_ends() -> None:
    """Stops a timeout that covers the headers only."""
    head = chunked(BODY)[:-20]
    with (
        scripted([head, Hang()]) as server,
        client(server.url, read_timeout_seconds=QUICK_SECONDS) as asking,
        pytest.raises(ServerUnavailable, match="source_read_timeout_seconds"),
    ):
        asking.send("GET", "/x", what="up")


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"])
def test_dribbling_ends(start: bytes) -> None:
    """Stops a server that sends a byte now and then, in headers or body, from resetting the timeout each time."""
    dribble = [start] + [b"x", Pause(0.05)] * 200
    with scripted(dribble) as server, client(server.url, request_timeout_seconds=QUICK_SECONDS) as asking:
        begun = time.monotonic()
        with pytest.raises(ServerUnavailable, match=r"not whole after 0\.3 s \(source_request_timeout_seconds\)"):
            asking.send("GET", "/x", what="up")
        assert time.monotonic() - begun < 2


def test_a_slow_answer_within_its_limits_is_taken() -> None:
    """Stops the limits from ending an answer that keeps coming."""
    whole = chunked(BODY)
    slow = [step for byte in range(0, len(whole), 20) for step in (whole[byte : byte + 20], Pause(0.02))]
    with scripted(slow) as server, client(server.url, read_timeout_seconds=QUICK_SECONDS) as asking:
        assert asking.send("GET", "/x", what="up").body == BODY


def test_an_answer_without_length_or_chunks_is_refused() -> None:
    """Stops answers whose end nobody can know: a cut one looks whole."""
    with (
        scripted([b"HTTP/1.0 200 OK\r\n\r\n" + BODY, Close()]) as server,
        client(server.url) as asking,
        pytest.raises(Refused, match="neither a length nor chunks"),
    ):
        asking.send("GET", "/x", what="up")


def test_an_answer_that_is_too_long_is_too_much() -> None:
    """Stops an answer from filling the memory, announced or not, and compressed ones from hiding their size."""
    bomb = gzip.compress(b"x" * 2000)
    packed = [f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode() + bomb]
    for script in (answer(body=b"x" * 2000), [chunked(b"x" * 1001)], packed):
        with scripted(script) as server, client(server.url, max_body_bytes=1000) as asking:
            with pytest.raises(TooMuch, match="than the 1000 bytes"):
                asking.send("GET", "/x", what="up")
            assert len(server.requests) == 1
    with scripted([chunked(b"x" * 1000)]) as server, client(server.url, max_body_bytes=1000) as asking:
        assert len(asking.send("GET", "/x", what="up").body) == 1000


def test_compression_is_only_by_request() -> None:
    """Stops the gzip default, which costs the server more than the whole query."""
    packed = gzip.compress(BODY)
    script = [f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n".encode() + packed]
    strange = [b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\nx"]
    with scripted(WHOLE, script, strange) as server, client(server.url) as asking:
        asking.send("GET", "/x", what="up")
        assert asking.send("GET", "/x", headers={"accept-encoding": "gzip"}, what="up").body == BODY
        assert [request.headers["accept-encoding"] for request in server.requests] == ["identity", "gzip"]
        with pytest.raises(Refused, match="encoded as 'br'"):
            asking.send("GET", "/x", what="up")


def test_forms_bodies_and_prefixes() -> None:
    """Stops a form from going where the server does not look, and characters from being lost on the way."""
    form = [("match[]", 'a{b="é&=+ %\n"}'), ("match[]", "c")]
    encoded = "match%5B%5D=a%7Bb%3D%22%C3%A9%26%3D%2B%20%25%0A%22%7D&match%5B%5D=c"
    with scripted(WHOLE) as server, client(f"{server.url}/prom", headers={"X-Scope-OrgID": "acme"}) as asking:
        asking.send("GET", "/api", form=form, what="up")
        asking.send("POST", "/api", form=form, what="up")
        asking.send("POST", "/read", body=b"\x00\xff", headers={"Content-Type": "application/x-protobuf"}, what="up")
        get, post, raw = server.requests
    assert (get.method, get.target, get.body) == ("GET", f"/prom/api?{encoded}", b"")
    assert (post.target, post.body) == ("/prom/api", encoded.encode())
    assert post.headers["content-type"] == "application/x-www-form-urlencoded"
    assert (raw.body, raw.headers["content-type"]) == (b"\x00\xff", "application/x-protobuf")
    assert {request.headers["x-scope-orgid"] for request in (get, post, raw)} == {"acme"}
    with client("http://127.0.0.1:1") as asking:
        for path in ("api", "/a b", "/a?x=1", "/a\r\nX: 1"):
            with pytest.raises(InvalidInput, match="no path"):
                asking.send("GET", path, what="up")


def test_many_threads_share_a_client() -> None:
    """Stops answers from being swapped between threads."""
    seen = threading.Barrier(8)
    scripts = [answer(body=BODY)] * 64
    with scripted(*scripts) as server, client(server.url) as asking, ThreadPoolExecutor(8) as pool:

        def ask(_: int) -> bytes:
            seen.wait(5)
            return b"".join(asking.send("GET", "/x", what="up").body for _ in range(8))

        assert list(pool.map(ask, range(8))) == [BODY * 8] * 8
        assert len(server.requests) == 64
        assert server.connections <= 8


def test_waiting_for_a_server_says_why(caplog: pytest.LogCaptureFixture) -> None:
    """Stops minutes of silence while a server that is down is tried again."""
    with client(f"http://127.0.0.1:{free_port()}") as asking, pytest.raises(ServerUnavailable):
        asking.send("GET", "/x", what="up")
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == asking.connection.attempts - 1
    assert all("no connection" in line and asking.connection.url in line for line in said)
    assert "attempt 1 of" in said[0]
