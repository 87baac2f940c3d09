"""Reading by VictoriaMetrics' export: lines that are JSON, nearly JSON, or cut."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.errors import PermanentFailure, TransientFailure
from resources.monitoring.selector import parse_selector
from resources.monitoring.server.failures import Refused, TooMuch
from resources.monitoring.server.reader import Read
from resources.monitoring.victoriametrics.export import STALE_MARKER, Export
from tests.resources.monitoring.prometheus.answers import Client, as_lists, to_bits

T = 1_700_000_000_000
END = T + 86_400_000
CPU = parse_selector('cpu{tenant_id="acme"}')
JSON_LINES = "application/stream+json; charset=utf-8"


def read(*lines: bytes, content_type: str = JSON_LINES) -> Read:
    return Export(Client(content_type, b"".join(lines))).read(CPU, T, END)


def line(values: bytes, times: bytes, metric: bytes = b'{"__name__":"cpu","vm_id":"a"}') -> bytes:
    return b'{"metric":' + metric + b',"values":[' + values + b'],"timestamps":[' + times + b"]}\n"


def times(count: int) -> bytes:
    return b",".join(b"%d" % (T + n) for n in range(count))


def test_the_window_is_asked_for_in_seconds_and_closed() -> None:
    """Stops an empty answer to milliseconds, and the sample at the end of a day from being read on two days."""
    client = Client(JSON_LINES, b"")
    found = Export(client).read(CPU, T + 7, T + 60_000)
    (sent,) = client.sent
    assert (sent["method"], sent["path"]) == ("POST", "/api/v1/export")
    assert sent["form"] == {"match[]": 'cpu{tenant_id="acme"}', "start": "1700000000.007", "end": "1700000059.999"}
    assert sent["what"].startswith('cpu{tenant_id="acme"} from 2023-11-14T22:13:20.007')
    assert (as_lists(found.series), found.method, found.warnings) == ([], "export", ())


def test_lines_of_one_series_are_joined_and_cut_and_keep_duplicates() -> None:
    """Stops a long series from falling apart, and samples stored twice from being chosen among here."""
    found = read(
        line(b"1,2,2.5", b"%d,%d,%d" % (T - 1, T, T)),
        line(b"9", b"%d" % T, b'{"__name__":"cpu","vm_id":"b"}'),
        b"\n",
        line(b"3,4", b"%d,%d" % (END - 1, END), b'{"vm_id":"a","__name__":"cpu"}'),
        line(b"5", b"%d" % END, b'{"__name__":"cpu","vm_id":"c"}'),
        line(b"", b"", b'{"__name__":"cpu","vm_id":"d"}'),
    )
    assert as_lists(found.series) == [
        ({"__name__": "cpu", "vm_id": "a"}, [(T, to_bits(2)), (T, to_bits(2.5)), (END - 1, to_bits(3))]),
        ({"__name__": "cpu", "vm_id": "b"}, [(T, to_bits(9))]),
    ]


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        (b"+Inf", to_bits(np.inf)),
        (b"Inf", to_bits(np.inf)),
        (b"-Inf", to_bits(-np.inf)),
        (b'"Infinity"', to_bits(np.inf)),
        (b'"-Infinity"', to_bits(-np.inf)),
        (b"NaN", STALE_MARKER),
        (b"null", STALE_MARKER),
        (b'"NaN"', STALE_MARKER),
        (b"1" + b"0" * 300, to_bits(1e300)),
        (b"12345678901234567890123", to_bits(12345678901234567890123.0)),
        (b"18446744073709551615", to_bits(float(2**64))),
        (b"0.1", to_bits(0.1)),
        (b"5e-324", to_bits(5e-324)),
    ],
)
def test_every_way_that_versions_write_a_value_is_understood(text: bytes, bits: int) -> None:
    """Stops one infinity, which is no JSON, from losing a whole answer, and stale markers from becoming NaN."""
    found = read(line(b"1," + text + b",2", times(3)), line(text, b"%d" % (T + 9)))
    ((_, pairs),) = as_lists(found.series)
    assert [value for _, value in pairs] == [to_bits(1), bits, to_bits(2), bits]


def test_a_bare_word_within_a_label_stays() -> None:
    """Stops the mending of a line from changing its labels, and so the series that it belongs to."""
    metric = rb'{"__name__":"cpu","vm_id":"a,+Inf,NaN,\"-Inf\",null]","NaN":"Inf"}'
    found = read(line(b"+Inf,NaN", times(2), metric))
    assert found.series.labels == ({"__name__": "cpu", "vm_id": 'a,+Inf,NaN,"-Inf",null]', "NaN": "Inf"},)
    assert found.series.values.view(np.uint64).tolist() == [to_bits(np.inf), STALE_MARKER]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), st.booleans())
def test_any_label_value_survives(value: str, mended: bool) -> None:
    """Stops quotes and escapes in a label from being taken for the end of it."""
    metric = json.dumps({"__name__": "cpu", "vm_id": value}).encode()
    found = read(line(b"-Inf" if mended else b"1", times(1), metric))
    assert found.series.labels == ({"__name__": "cpu", "vm_id": value},)


@pytest.mark.parametrize("left", [1, 10, 60, 80])
def test_a_cut_body_is_worth_another_attempt(left: int) -> None:
    """Stops the series that a stopped server did not send from counting as absent."""
    whole = line(b"1,2", times(2))
    with pytest.raises(TransientFailure, match=r"in the middle of line 2; it begins with '\{"):
        read(whole, line(b"1", times(1), b'{"__name__":"cpu","vm_id":"b"}')[:left])
    with pytest.raises(TransientFailure, match="in the middle of line 1"):
        read(whole[:-1])


def test_the_error_that_a_server_writes_behind_the_series_is_shown() -> None:
    """Stops half an export from being refused for good, and its reason from getting lost."""
    with pytest.raises(TransientFailure, match="with line 2, which is no series; it begins with 'remoteAddr: cannot"):
        read(line(b"1", times(1)), b"remoteAddr: cannot search\n")


def test_a_limit_that_a_server_meets_while_it_answers_is_too_much() -> None:
    """Stops a question that is too large from being asked again and again instead of in parts."""
    words = (
        b'remoteAddr: "127.0.0.1:4"; requestURI: /api/v1/export?match%5B%5D=' + b"x" * 500 + b"; error when exporting "
        b"data on the time range (start=1, end=2): error during sending the data to remote client: cannot process "
        b"more than 5 samples per series; either increase -search.maxSamplesPerSeries or reduce time range\n"
    )
    with pytest.raises(TooMuch, match="cannot process more than 5 samples per series"):
        read(line(b"1", times(1)), words)


@pytest.mark.parametrize(
    "wrong",
    [
        b"<html>\n",
        b"{}\n",
        b"[]\n",
        b"7\n",
        b'"text"\n',
        b"Inf\n",
        line(b"1,2", times(3)),
        line(b"1,x", times(2)),
        line(b"[1]", times(1)),
        line(b"{}", times(1)),
        line(b'"x"', times(1)),
        line(b"1", b'"x"'),
        line(b"1", b"null"),
        line(b"1", b"99999999999999999999"),
        line(b"1", times(1), b"[]"),
        line(b"1", times(1), b'{"vm_id":1}'),
        b'{"metric":{},"values":7,"timestamps":[]}\n',
        b'{"metric":{},"values":[1]}\n',
    ],
)
def test_what_is_no_series_is_an_error(wrong: bytes) -> None:
    """Stops a page of a proxy or JSON of another shape from being read as no data, or failing without a name."""
    good = line(b"1", times(1))
    with pytest.raises(
        Refused, match=r"http://prometheus\.test:9090 was asked for .* has a line 2 that is no"
    ) as caught:
        read(good, wrong, good)
    assert len(str(caught.value)) < 1200
    with pytest.raises(PermanentFailure, match="has a line 1"):
        read(wrong)


def test_a_line_of_quotes_without_end_is_refused_at_once() -> None:
    """Stops half a megabyte of a hostile answer from being searched for hours."""
    with pytest.raises(Refused):
        read(b'{"metric":"' + b'\\"' * 250_000 + b"\n", line(b"1", times(1)))


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-protobuf"])
def test_an_empty_answer_must_come_from_the_server(content_type: str) -> None:
    """Stops an empty page of something else from being read as no data."""
    with pytest.raises(Refused, match=f"the answer is {content_type!r}"):
        read(content_type=content_type)
