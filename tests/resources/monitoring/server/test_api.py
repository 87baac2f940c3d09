"""The JSON API against a scripted server: requests that are sent, and answers that are none."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest

from resources.errors import InvalidInput
from resources.monitoring.server.api import DAY_MS, MAX_POINTS, PrometheusApi, check_window
from resources.monitoring.server.http import Refused, ServerUnavailable, TooMuch
from tests.resources.monitoring.server.clients import client
from tests.resources.monitoring.server.scripted import Script, ScriptedServer, answer, failure, scripted, success

START = 1_700_000_000_000
END = START + 3_600_000


@contextmanager
def api(*scripts: Script, **changes: Any) -> Iterator[tuple[PrometheusApi, ScriptedServer]]:
    with scripted(*scripts) as server, client(server.url, **changes) as asking:
        yield PrometheusApi(asking), server


def sent(server: ScriptedServer) -> list[list[tuple[str, str]]]:
    """Return the form of each request, from its URL or its body."""
    return [
        parse_qsl(request.body.decode() if request.method == "POST" else urlsplit(request.target).query)
        for request in server.requests
    ]


def vector(*rows: tuple[dict[str, str], float, str], **more: object) -> Script:
    result = [{"metric": labels, "value": [ts, value]} for labels, ts, value in rows]
    return success({"resultType": "vector", "result": result}, **more)


def matrix(*rows: tuple[dict[str, str], list[list[object]]], **more: object) -> Script:
    result = [{"metric": labels, "values": values} for labels, values in rows]
    return success({"resultType": "matrix", "result": result}, **more)


def test_a_cluster_without_some_of_its_nodes_is_a_warning() -> None:
    """Stops VictoriaMetrics' own way to say that a part is missing from being overlooked."""
    with api(success(["a"], isPartial=True), success(["a"], isPartial=False)) as (asking, _):
        [warning] = asking.label_values("vm_id", [], START, END).warnings
        assert warning == "isPartial: some of the storage nodes did not answer"
        assert asking.label_values("vm_id", [], START, END).warnings == ()


def test_label_values_are_sorted_and_asked_for_in_the_window() -> None:
    """Stops values outside the half-open window, and an order that differs between runs."""
    with api(success(["b", "a"], warnings=["partial"])) as (asking, server):
        found = asking.label_values("tenant_id", ['up{job="a b"}', "x"], START, END)
        assert (found.values, found.warnings) == (["a", "b"], ("partial",))
        [request] = server.requests
        assert request.method == "GET"  # POST is not allowed for this
        assert urlsplit(request.target).path == "/api/v1/label/tenant_id/values"
        assert sent(server) == [
            [("match[]", 'up{job="a b"}'), ("match[]", "x"), ("start", "1700000000.000"), ("end", "1700003599.999")]
        ]
        for label in ("a/b", "", "../x", "a\n", "é"):
            with pytest.raises(InvalidInput, match="name of a label"):
                asking.label_values(label, [], START, END)


def test_many_selectors_are_asked_for_in_parts() -> None:
    """Stops a request line that a proxy refuses, and values that are lost or doubled by splitting."""
    selectors = [f'up{{vm_id="{number:05d}"}}' for number in range(500)]
    with api(success(["a", "b"]), success(["b", "c"], warnings=["w"]), success([])) as (asking, server):
        found = asking.label_values("vm_id", selectors, START, END)
        assert (found.values, found.warnings) == (["a", "b", "c"], ("w",))
        assert [value for form in sent(server) for name, value in form if name == "match[]"] == selectors
        assert max(len(request.target) for request in server.requests) < 8000


def test_a_list_that_may_have_been_cut_is_said_so() -> None:
    """Stops VictoriaMetrics' silent limit of 100,000 values from hiding VMs."""
    with api(success([str(number) for number in range(100_000)])) as (asking, _):
        [warning] = asking.label_values("vm_id", [], START, END).warnings
        assert "may have cut the list" in warning


def test_an_instant_query() -> None:
    """Stops a time in milliseconds from being sent, and infinities from being lost."""
    labels = {"__name__": "m", "quote": '"\\\n{}é'}
    script = vector((labels, 1700000000.5, "1.5"), ({}, 1700000000.5, "+Inf"), ({"a": "b"}, 1700000000.5, "NaN"))
    with api(script, vector(warnings=["remote_read: error"])) as (asking, server):
        found = asking.instant("sum(m)", START + 500)
        assert found.rows[:2] == [(labels, 1.5), ({}, math.inf)]
        assert math.isnan(found.rows[2][1])
        assert (found.ts_ms, [*found]) == (START + 500, found.rows)
        empty = asking.instant("m")
        assert (empty.rows, empty.ts_ms, empty.warnings) == ([], None, ("remote_read: error",))
        assert sent(server) == [
            [("query", "sum(m)"), ("nocache", "1"), ("time", "1700000000.500")],
            [("query", "m"), ("nocache", "1")],
        ]


def test_a_range_query_is_half_open() -> None:
    """Stops the point at the end of a window from being counted in two windows."""
    rows = matrix(({"a": "1"}, [[1700000000, "1"], [1700000060, "2"]]), ({"a": "2"}, [[1700000060, "NaN"]]))
    with api(rows) as (asking, server):
        found = asking.range_query("rate(m[5m])", START, START + 120_000, 60)
        assert [(labels, ts.tolist()) for labels, ts, _ in found] == [
            ({"a": "1"}, [START, START + 60_000]),
            ({"a": "2"}, [START + 60_000]),
        ]
        assert all((ts.dtype, values.dtype) == (np.int64, np.float64) for _, ts, values in found)
        assert dict(sent(server)[0])["end"] == "1700000119.999"


def test_a_long_range_query_is_split_without_a_seam() -> None:
    """Stops more than 11,000 points from being refused, and a point at a seam from being doubled or lost."""
    step = 60_000
    count = 2 * MAX_POINTS + 7

    def part(first: int, last: int, warning: str) -> Script:
        points = [[(START + number * step) / 1000, str(number)] for number in range(first, last)]
        return matrix(({"a": "1"}, points), warnings=["same", warning])  # type: ignore[arg-type]

    parts = [part(0, MAX_POINTS, "x"), part(MAX_POINTS, 2 * MAX_POINTS, "y"), part(2 * MAX_POINTS, count, "z")]
    with api(*parts) as (asking, server):
        found = asking.range_query("m", START, START + (count - 1) * step + 1, 60)
        [(_, ts, values)] = found
        assert np.array_equal(ts, START + np.arange(count) * step)
        assert np.array_equal(values, np.arange(count))
        assert found.warnings == ("same", "x", "y", "z")
        for form in map(dict, sent(server)):
            assert (float(form["end"]) - float(form["start"])) / float(form["step"]) <= 11_000


GOOD = [1700000000, "1"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no JSON"),
        (b'{"status":"success","data":', "no JSON"),
        (b"[]", "no status"),
        (b'"text"', "no status"),
        (b'{"status":"ok","data":{}}', "no status"),
        (b'{"status":"success"}', "no data"),
        (b'{"status":"success","data":{},"warnings":"w"}', "warnings"),
        (b'{"status":"success","data":{},"warnings":[1]}', "warnings"),
        (b'{"status":"success","data":[]}', "resultType"),
        (b'{"status":"success","data":{"resultType":"matrix"}}', "no list"),
        (b'{"status":"success","data":{"resultType":"vector","result":[]}}', "is a 'vector'"),
        (b'{"status":"success","data":{"resultType":"string","result":[]}}', "is a 'string'"),
    ],
)
def test_an_answer_that_is_none_is_refused(body: bytes, said: str) -> None:
    """Stops a 200 from something else than the API from being read as no data."""
    with api(answer(body=body, content_type="text/plain")) as (asking, server):
        with pytest.raises(Refused) as failed:
            asking.range_query("sum(up)", START, END, 60)
        assert len(server.requests) == 1
    for part in (said, server.url, "'sum(up)'"):
        assert part in str(failed.value)


@pytest.mark.parametrize(
    "series",
    [
        1,
        {"values": [GOOD]},
        {"metric": {"a": 1}, "values": [GOOD]},
        {"metric": {}},
        {"metric": {}, "value": GOOD},
        {"metric": {}, "values": [[1700000000]]},
        {"metric": {}, "values": [[1700000000, 1]]},
        {"metric": {}, "values": [["1700000000", "1"]]},
        {"metric": {}, "values": [[1700000000, "one"]]},
        {"metric": {}, "values": [[True, "1"]]},
        {"metric": {}, "values": [[1e300, "1"]]},
        {"metric": {}, "values": ["ab"]},
        {"metric": {}, "values": [[1700000001, "1"]]},
        {"metric": {}, "values": [[1700000060, "1"], GOOD]},
        {"metric": {}, "values": [GOOD, GOOD]},
        {"metric": {}, "values": [[1699999940, "1"]]},
        {"metric": {}, "values": [[1700003600, "1"]]},
    ],
)
def test_a_series_that_is_none_is_refused(series: object) -> None:
    """Stops points at times that were not asked for, text as numbers, and missing labels."""
    script = success({"resultType": "matrix", "result": [series]})
    with api(script) as (asking, _), pytest.raises(Refused, match="no answer of the Prometheus API"):
        asking.range_query("up", START, END, 60)


@pytest.mark.parametrize(
    ("error", "kind", "expected"),
    [
        ("something", "execution", Refused),
        ("cannot select more than -search.maxSamplesPerQuery=3 samples", "422", TooMuch),
        ("query timed out in expression evaluation", "timeout", TooMuch),
        ("query timed out in query queue", "timeout", ServerUnavailable),
    ],
)
def test_an_error_inside_a_success_is_an_error(error: str, kind: str, expected: type[Exception]) -> None:
    """Stops proxies that turn every status into 200 from turning errors into no data."""
    with api(failure(200, kind, error)) as (asking, server), pytest.raises(expected, match=error.split()[0]) as failed:
        asking.instant("up")
    assert server.url in str(failed.value)


def test_label_values_of_a_wrong_type_are_refused() -> None:
    for data in ({}, [1], [None], "a"):
        with api(success(data)) as (asking, _), pytest.raises(Refused, match="not a list of text"):
            asking.label_values("a", [], START, END)


def test_the_version_where_the_server_tells_it() -> None:
    """Stops a server without the page from failing a connection test, and other refusals from passing for it."""
    known = success({"version": "2.42.0", "revision": "x"})
    missing = answer(404, b"404 page not found", "text/plain")
    one = vector(({}, 1700000000, "1"))
    own = answer(
        200, b'vm_x 1\nvm_app_version{version="victoria-metrics-x", short_version="v1.79.5"} 1\n', "text/plain"
    )
    wrong = (success({"version": 2}), failure(403, "", "no"), missing)
    with api(known, success({}), own, success({}), missing, missing, one, *wrong) as (asking, _):
        assert [asking.version() for _ in range(4)] == ["2.42.0", "v1.79.5", "unknown", "unknown"]
        for said in ("not text", "HTTP 403", "path prefix"):
            with pytest.raises(Refused, match=said):
                asking.version()


def test_the_servers_time_is_that_of_the_evaluation() -> None:
    """Stops VictoriaMetrics' time(), which may be 30 s behind its clock, from being taken for its clock."""
    scalar = success({"resultType": "scalar", "result": [1700000000.123, "1700000000.123"]})
    with api(scalar, vector(({}, 1700000030, "1700000000")), vector()) as (asking, _):
        assert asking.server_time_ms() == START + 123
        assert asking.server_time_ms() == START + 30_000
        with pytest.raises(Refused, match="empty"):
            asking.server_time_ms()


def test_windows_that_cannot_be_meant_are_refused() -> None:
    """Stops seconds passed as milliseconds, which servers answer with success and no data."""
    now = END
    check_window(START, END, now)
    check_window(START, now + DAY_MS, now)
    for start, end, said in (
        (START // 1000, END // 1000, "looks like seconds"),
        (START * 1000, END * 1000, "looks like microseconds"),
        (START * 1_000_000, END * 1_000_000, "looks like nanoseconds"),
        (0, END, "not between 2000 and 2100"),
        (END, START, "backwards"),
        (START, START, "empty"),
        (START, now + DAY_MS + 1, "more than a day after now"),
    ):
        with pytest.raises(InvalidInput, match=said):
            check_window(start, end, now)
    with api(vector()) as (asking, server):
        with pytest.raises(InvalidInput, match="seconds"):
            asking.range_query("up", START // 1000, END // 1000, 60)
        with pytest.raises(InvalidInput, match="seconds"):
            asking.instant("up", START // 1000)
        with pytest.raises(InvalidInput, match="seconds"):
            asking.label_values("a", [], START // 1000, END // 1000)
        with pytest.raises(InvalidInput, match="step"):
            asking.range_query("up", START, END, 0)
        assert server.requests == []


def test_hostile_warnings_are_cut_and_cleaned() -> None:
    """Stops a warning from growing without bound or repeating a credential."""
    body = json.dumps({"status": "success", "data": [], "warnings": ["token-123 " + "x" * 9000]}).encode()
    with api(answer(body=body), headers={"X-Key": "token-123"}) as (asking, _):
        [warning] = asking.label_values("a", [], START, END).warnings
    assert len(warning) <= 500
    assert "token-123" not in warning
