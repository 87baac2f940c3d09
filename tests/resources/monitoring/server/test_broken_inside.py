"""Answers that are whole for HTTP and broken inside: what may pass is asked for again, what will not is not."""

import json
from collections.abc import Callable

import pytest

from resources.errors import AnalyticsError, PermanentFailure
from resources.monitoring.prometheus.range_selector import RangeSelector
from resources.monitoring.prometheus.remote_read import RemoteRead
from resources.monitoring.selector import parse_selector
from resources.monitoring.server.api import PrometheusApi
from resources.monitoring.server.http import HttpClient, Refused, ServerUnavailable, TooMuch
from resources.monitoring.server.reader import Reader
from resources.monitoring.victoriametrics.export import Export
from tests.resources.monitoring.prometheus.answers import CHUNKED, SAMPLED, chunked, frame, sampled
from tests.resources.monitoring.prometheus.chunks import encode
from tests.resources.monitoring.server.clients import Waits, client
from tests.resources.monitoring.server.scripted import Script, answer, failure, scripted, success

T = 1_700_000_000_000
END = T + 86_400_000
UP = parse_selector("up")
A = {"__name__": "up", "vm_id": "a"}
ONE = 0x3FF0000000000000

CHUNKS = chunked((A, [encode([T], [ONE])]))
SAMPLES = sampled((A, [(T, ONE)]))
LINE = b'{"metric":{"__name__":"up","vm_id":"a"},"values":[1],"timestamps":[%d]}\n' % T
MATRIX = json.dumps(
    {"status": "success", "data": {"resultType": "matrix", "result": [{"metric": A, "values": [[T / 1000, "1"]]}]}}
).encode()

Open = Callable[[HttpClient], Reader]
STREAM = "application/stream+json"
QUEUE = "query timed out in query queue"


def error(kind: str, words: str) -> bytes:
    return json.dumps({"status": "error", "errorType": kind, "error": words}).encode()


@pytest.mark.parametrize(
    ("opened", "content_type", "whole", "broken", "said"),
    [
        (RemoteRead, CHUNKED, CHUNKS, CHUNKS + frame(b"", crc=1), "the checksum of frame 2"),
        (RemoteRead, CHUNKED, CHUNKS, CHUNKS[:-1], "ends in the middle of frame 1"),
        (RemoteRead, CHUNKED, CHUNKS, CHUNKS + b"expanding series: killed\n", "begins with 'expanding series: killed"),
        (RemoteRead, SAMPLED, SAMPLES, SAMPLES[:-1], "is not whole snappy data"),
        (Export, STREAM, LINE, LINE + LINE[:20], "ends in the middle of line 2"),
        (Export, STREAM, LINE, LINE + b"cannot search: disk on fire\n", "begins with 'cannot search: disk on fire'"),
        (RangeSelector, "application/json", MATRIX, error("timeout", QUEUE), QUEUE),
        (RangeSelector, "application/json", MATRIX, error("internal", "too many outstanding requests"), "outstanding"),
    ],
)
def test_what_is_broken_inside_is_asked_for_again(
    opened: Open, content_type: str, whole: bytes, broken: bytes, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Stops an answer that was damaged on its way, or ends with the server's error, from costing a day at once."""
    bad, good = answer(200, broken, content_type), answer(200, whole, content_type)
    waits = Waits()
    with scripted(bad, bad, good) as server, client(server.url, waits, attempts=3) as asking:
        read = opened(asking).read(UP, T, END)
        assert (read.series.labels, read.series.ts_ms.tolist()) == ((A,), [T])
        assert len(server.requests) == 3
    assert 0.25 <= waits[0] <= 0.5 <= waits[1] <= 1
    assert [said in line and server.url in line for line in caplog.messages] == [True, True]
    assert "attempt 2 of 3" in caplog.messages[1]
    with scripted(bad) as server, client(server.url, attempts=3) as asking:
        with pytest.raises(ServerUnavailable) as failed:
            opened(asking).read(UP, T, END)
        assert len(server.requests) == 3
    for part in (said, server.url, "'up from", "in 3 attempts"):
        assert part in str(failed.value)


LATE = 'remoteAddr: "x"; requestURI: /api; cannot search: timeout exceeded: 30s\n'


@pytest.mark.parametrize(
    ("opened", "script", "kind", "asked"),
    [
        (Export, answer(200, LINE + LATE.encode(), STREAM), TooMuch, 2),
        (RangeSelector, failure(200, "timeout", "query timed out in expression evaluation"), TooMuch, 2),
        (Export, answer(200, LINE + b"cannot process more, -search.maxSamplesPerSeries\n", STREAM), TooMuch, 1),
        (RangeSelector, failure(200, "execution", "query would load too many samples"), TooMuch, 1),
        (RangeSelector, failure(200, "bad_data", "parse error"), Refused, 1),
        (RemoteRead, answer(200, chunked((A, [b"\0\2x"])), CHUNKED), PermanentFailure, 1),
        (RemoteRead, answer(200, CHUNKS, "text/plain"), Refused, 1),
        (Export, answer(200, b"no series\n" + LINE, STREAM), Refused, 1),
    ],
)
def test_what_will_not_pass_is_not(opened: Open, script: Script, kind: type[AnalyticsError], asked: int) -> None:
    """Stops corrupt storage, or a question that is too large, from being asked for five times."""
    with scripted(script) as server, client(server.url, attempts=5) as asking:
        with pytest.raises(kind):
            opened(asking).read(UP, T, END)
        assert len(server.requests) == asked


def test_a_busy_error_inside_a_success_of_the_api_is_asked_for_again() -> None:
    """Stops a proxy that turns every status into 200 from making a short rush fail a listing."""
    busy = failure(200, "timeout", QUEUE)
    with scripted(busy, busy, success(["a"])) as server, client(server.url, attempts=3) as asking:
        assert PrometheusApi(asking).label_values("vm_id", [], T, END).values == ["a"]
        assert len(server.requests) == 3
    with scripted(busy) as server, client(server.url, attempts=3) as asking:
        with pytest.raises(ServerUnavailable, match="query queue"):
            PrometheusApi(asking).instant("up")
        assert len(server.requests) == 3
