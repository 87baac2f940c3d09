"""Which way to read is taken, what is remembered of the others, and what a refusal by all of them says."""

import pytest

from resources.monitoring.prometheus.reader import WAYS, PrometheusReader
from resources.monitoring.selector import parse_selector
from resources.monitoring.server.failures import Refused, ServerUnavailable, TooMuch
from tests.resources.monitoring.prometheus.answers import CHUNKED, SAMPLED, sampled
from tests.resources.monitoring.server.clients import client
from tests.resources.monitoring.server.scripted import Script, answer, failure, scripted, success

T = 1_700_000_000_000
END = T + 86_400_000
UP = parse_selector("up")
NOTHING = success({"resultType": "matrix", "result": []})
CHUNKS, SAMPLES = answer(200, b"", CHUNKED), answer(200, sampled(), SAMPLED)
READ, QUERY = "/api/v1/read", "/api/v1/query"
FORBIDDEN = b"<html><head><title>403 Forbidden</title></head></html>"
LOGIN = b"<html><head><title>Sign in</title></head></html>"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 501])
def test_a_gateway_that_lets_only_queries_through_is_read_by_them(status: int) -> None:
    """Stops `auto` from ending at a gateway that denies the way it does not know, or from asking it each time."""
    closed = answer(status, FORBIDDEN, "text/html")
    with scripted(closed, closed, NOTHING) as server, client(server.url) as asking:
        reader = PrometheusReader(asking)
        assert [reader.read(UP, T, END).method for _ in range(2)] == ["query", "query"]
        assert [request.target for request in server.requests] == [READ, READ, QUERY, QUERY]
    assert list(reader.passed_over) == ["remote-read-chunks", "remote-read-samples"]
    assert all(f"HTTP {status} with an HTML page titled '403 Forb" in why for why in reader.passed_over.values())


def test_the_first_way_is_taken_where_it_is_open() -> None:
    """Stops a slower way from being taken without a need."""
    with scripted(CHUNKS, SAMPLES) as server, client(server.url) as asking:
        reader = PrometheusReader(asking)
        assert [reader.read(UP, T, END).method for _ in range(2)] == ["remote-read chunks", "remote-read samples"]
        assert len(server.requests) == 2
    assert reader.passed_over == {}


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_refuses_every_way_is_told_by_the_first(status: int) -> None:
    """Stops wrong credentials from being reported of the last way, and from closing the better ones for good."""
    closed = [answer(status, f"no {number}".encode(), "text/plain") for number in range(3)]
    with scripted(*closed, CHUNKS) as server, client(server.url) as asking:
        reader = PrometheusReader(asking)
        with pytest.raises(Refused, match=f"HTTP {status}, 'no 0'") as failed:
            reader.read(UP, T, END)
        assert failed.value.status == status
        assert len(server.requests) == len(WAYS)
        assert reader.passed_over == {}
        assert reader.read(UP, T, END).method == "remote-read chunks"


def test_another_reason_of_the_last_way_is_told_too() -> None:
    """Stops a query that the server refuses from being hidden by the remote-read that it does not have."""
    closed = answer(404, b"404 page not found", "text/plain")
    wrong = failure(422, "execution", "found duplicate series")
    with scripted(closed, closed, wrong) as server, client(server.url) as asking:
        with pytest.raises(Refused, match=r"HTTP 404, .* By query it refuses too: .*found duplicate series") as failed:
            PrometheusReader(asking).read(UP, T, END)
        assert failed.value.status == 404


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (answer(200, LOGIN, "text/html"), "HTML page titled 'Sign in'"),
        (answer(302, b"", "text/plain", ["Location: http://login.test/"]), "it redirects to 'http://login.test'"),
    ],
)
def test_a_page_of_a_moment_closes_no_way(shown: Script, said: str) -> None:
    """Stops a login page or a maintenance page of a second from making every later read slow."""
    with scripted(shown, CHUNKS) as server, client(server.url) as asking:
        reader = PrometheusReader(asking)
        with pytest.raises(Refused, match=said):
            reader.read(UP, T, END)
        assert reader.passed_over == {}
        assert reader.read(UP, T, END).method == "remote-read chunks"
        assert [request.target for request in server.requests] == [READ, READ]


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (answer(503, b"", "text/plain"), ServerUnavailable),
        (answer(413, b"", "text/plain"), TooMuch),
    ],
)
def test_a_way_is_closed_only_once_another_is_open(script: Script, kind: type[Exception]) -> None:
    """Stops a proxy whose server is gone for a moment from closing remote-read for good."""
    gone = answer(404, b"default backend - 404", "text/plain")
    with scripted(gone, gone, script, CHUNKS) as server, client(server.url, attempts=1) as asking:
        reader = PrometheusReader(asking)
        with pytest.raises(kind):
            reader.read(UP, T, END)
        assert reader.passed_over == {}
        assert reader.read(UP, T, END).method == "remote-read chunks"


def test_a_chosen_way_is_the_only_one() -> None:
    """Stops a way that was chosen from being replaced by another."""
    with scripted(answer(404, b"", "text/plain"), NOTHING) as server, client(server.url) as asking:
        with pytest.raises(Refused, match="HTTP 404"):
            PrometheusReader(asking, "remote-read-samples").read(UP, T, END)
        assert len(server.requests) == 1
