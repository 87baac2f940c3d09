"""Reading by a range selector: the window, the numbers, and JSON that is not what it should be."""

import gc
from typing import Any

import orjson
import pytest

from resources.errors import InvalidInput, PermanentFailure
from resources.monitoring.prometheus.range_selector import RangeSelector
from resources.monitoring.selector import parse_selector
from resources.monitoring.server.failures import Refused, ServerUnavailable, TooMuch
from resources.monitoring.server.reader import Read
from tests.resources.monitoring.prometheus.answers import Client, as_lists, to_bits

T = 1_700_000_000_000
END = T + 86_400_000
CPU = parse_selector('cpu{tenant_id="a\\"c"}')
A = {"__name__": "cpu", "vm_id": "a"}


def answer(*series: dict[str, Any], **more: Any) -> bytes:
    return orjson.dumps({"status": "success", "data": {"resultType": "matrix", "result": list(series)}, **more})


def read(body: bytes, start_ms: int = T, end_ms: int = END) -> Read:
    return RangeSelector(Client("application/json", body)).read(CPU, start_ms, end_ms)


def test_the_window_is_asked_for_whole_whichever_end_is_open() -> None:
    """Stops the first sample of a day from being lost in 3.x, whose windows do not hold their beginning."""
    client = Client("application/json", answer())
    RangeSelector(client).read(CPU, T + 1, T + 61_002)
    (sent,) = client.sent
    assert (sent["method"], sent["path"]) == ("POST", "/api/v1/query")
    assert sent["form"] == {"query": 'cpu{tenant_id="a\\"c"}[61001ms]', "time": "1700000061.001", "nocache": "1"}
    assert "Accept-Encoding" not in sent["headers"]  # the client's is identity
    evaluated, window = T + 61_001, 61_001
    assert evaluated - window == T  # open in 3.x, so that T + 1 is in; in 2.x it is in too, and cut off


def test_samples_of_both_ends_are_cut() -> None:
    """Stops the sample before the window, which a closed window holds, from being counted on two days."""
    values = [[T / 1000 - 0.001, "1"], [T / 1000, "2"], [END / 1000 - 0.001, "3"], [END / 1000, "4"]]
    found = read(answer({"metric": A, "values": values}, {"metric": {"__name__": "x"}, "values": values[:1]}))
    assert as_lists(found.series) == [(A, [(T, to_bits(2.0)), (END - 1, to_bits(3.0))])]
    assert (found.method, found.warnings) == ("query", ())


def test_every_millisecond_survives_its_way_through_seconds() -> None:
    """Stops 1.001 s from becoming 1000 ms."""
    body = answer({"metric": A, "values": [[(T + n) / 1000, "0"] for n in range(1000)]})
    assert read(body).series.ts_ms.tolist() == list(range(T, T + 1000))


def test_numbers_are_read_as_they_were_written() -> None:
    """Stops a value from losing its last digit, and the words that JSON has no numbers for from failing."""
    texts = ["0.1", "-0", "5e-324", "1.7976931348623157e+308", "12345678901234567", "+Inf", "-Inf", "NaN"]
    body = answer({"metric": A, "values": [[(T + n) / 1000, text] for n, text in enumerate(texts)]})
    assert read(body).series.values.tobytes() == b"".join(to_bits(float(t)).to_bytes(8, "little") for t in texts)


def test_warnings_are_kept() -> None:
    """Stops an answer that lacks a backend's data from looking complete."""
    found = read(answer({"metric": A, "values": [[T / 1000, "1"]]}, warnings=["remote_read: refused", "other"]))
    assert found.warnings == ("remote_read: refused", "other")
    assert len(found.series.labels) == 1


def test_native_histograms_are_left_out_and_said_so() -> None:
    """Stops a series that has them from looking like one without samples."""
    histograms = [[T / 1000, {"count": "1", "sum": "2"}]]
    found = read(
        answer(
            {"metric": {"__name__": "h"}, "histograms": histograms},
            {"metric": A, "values": [[T / 1000, "1"]], "histograms": histograms},
            warnings=["w"],
        )
    )
    assert as_lists(found.series) == [(A, [(T, to_bits(1.0))])]
    assert found.warnings == ("w", "2 series have native histograms, which are not supported and were left out")


def test_parts_of_a_series_are_one_series() -> None:
    """Stops a series that a federating server sends in two parts from counting twice."""
    parts = [{"metric": A, "values": [[(T + n) / 1000, str(n)]]} for n in (2, 1)]
    assert as_lists(read(answer(*parts)).series) == [(A, [(T + 2, to_bits(2.0)), (T + 1, to_bits(1.0))])]


@pytest.mark.parametrize(
    ("kind", "error", "failure"),
    [
        ("timeout", "query timed out in expression evaluation", TooMuch),
        ("timeout", "query timed out in query queue", ServerUnavailable),
        ("execution", "query processing would load too many samples into memory in query execution", TooMuch),
        ("bad_data", "invalid parameter", Refused),
    ],
)
def test_an_error_with_status_200_is_an_error(kind: str, error: str, failure: type[Exception]) -> None:
    """Stops an error inside a success from being read as no data."""
    with pytest.raises(failure, match=r"http://prometheus\.test:9090") as caught:
        read(orjson.dumps({"status": "error", "errorType": kind, "error": error}))
    assert "cpu{tenant_id" in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"404 page not found",
        b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"1',
        b"[]",
        b'"success"',
        b"{}",
        b'{"status":"success"}',
        b'{"status":"success","data":null}',
        b'{"status":"success","data":[]}',
        b'{"status":"success","data":{"resultType":"vector","result":[]}}',
        b'{"status":"success","data":{"resultType":"matrix"}}',
        b'{"status":"success","data":{"resultType":"matrix","result":{}}}',
        b'{"status":"success","data":{"resultType":"matrix","result":[1]}}',
        b'{"status":"success","data":{"resultType":"matrix","result":["values"]}}',
        b'{"status":"success","data":{"resultType":"matrix","result":[{}]}}',
        b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"a":1},"values":[]}]}}',
        b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":[],"values":[]}]}}',
        b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":7}]}}',
        b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[7]}]}}',
        b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1]]}]}}',
        b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"x"]]}]}}',
        b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,[2]]]}]}}',
        b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[["NaN","2"]]}]}}',
        b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1e300,"2"]]}]}}',
    ],
)
def test_what_is_no_matrix_is_an_error(body: bytes) -> None:
    """Stops JSON of another shape from being read as no data, or from failing without a name."""
    with pytest.raises(PermanentFailure, match=r"http://prometheus\.test:9090 ") as caught:
        read(body)
    assert "cpu{tenant_id" in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_garbage_is_collected_again_afterwards() -> None:
    """Stops the collector, which is off while millions of objects are made, from staying off after a failure."""
    assert gc.isenabled()
    read(answer())
    assert gc.isenabled()
    with pytest.raises(PermanentFailure):
        read(b"{}")
    assert gc.isenabled()
    gc.disable()
    try:
        read(answer())
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_window_in_seconds_is_refused() -> None:
    """Stops a mistake that a server answers with success and no data."""
    with pytest.raises(InvalidInput, match="milliseconds since 1970"):
        read(answer(), T // 1000, END // 1000)
