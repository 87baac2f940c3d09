"""Reading by remote-read: what is asked, and what is made of streamed chunks, of samples and of anything else."""

import cramjam
import pytest

from resources.errors import PermanentFailure, TransientFailure
from resources.monitoring.prometheus.remote_read import Method, RemoteRead
from resources.monitoring.prometheus.wire import MESSAGES
from resources.monitoring.selector import parse_selector
from resources.monitoring.server.failures import Refused
from resources.monitoring.server.reader import Reader
from tests.resources.monitoring.prometheus.answers import CHUNKED, SAMPLED, Client, as_lists, chunked, sampled
from tests.resources.monitoring.prometheus.chunks import encode

T = 1_700_000_000_000
END = T + 86_400_000
STALE = 0x7FF0000000000002
ONE, TWO = 0x3FF0000000000000, 0x4000000000000000
CPU = parse_selector('novacron_vm_cpu_usage_percent{tenant_id="acme"}')
A = {"__name__": "novacron_vm_cpu_usage_percent", "tenant_id": "acme", "vm_id": "a"}
B = {"__name__": "novacron_vm_cpu_usage_percent", "tenant_id": "acme", "vm_id": "b"}

Pairs = list[tuple[int, int]]


def chunk(pairs: Pairs) -> bytes:
    return encode([ts for ts, _ in pairs], [bits for _, bits in pairs])


def reader(client: Client, method: Method = "chunks") -> Reader:
    return RemoteRead(client, method)


def test_the_request_names_itself_and_accepts_both_answers() -> None:
    """Stops a server from refusing a body it cannot recognize, or from sending what was not asked for."""
    expected: list[tuple[Method, list[int]]] = [("chunks", [1, 0]), ("samples", [0])]
    for method, accepted in expected:
        client = Client(CHUNKED, b"")
        read = reader(client, method).read(CPU, T, END)
        (sent,) = client.sent
        assert (sent["method"], sent["path"], sent["form"]) == ("POST", "/api/v1/read", None)
        assert sent["headers"] == {
            "Content-Encoding": "snappy",
            "Content-Type": "application/x-protobuf",
            "X-Prometheus-Remote-Read-Version": "0.1.0",
        }
        request = MESSAGES["ReadRequest"].FromString(bytes(cramjam.snappy.decompress_raw(sent["body"])))
        assert list(request.accepted_response_types) == accepted
        assert sent["what"].startswith('novacron_vm_cpu_usage_percent{tenant_id="acme"} from 2023-11-14T22:13:20.000')
        assert as_lists(read.series) == []
        assert read.warnings == ()


def test_streamed_chunks_become_series() -> None:
    """Stops stale markers from being lost: they end a series, and only their bits tell them from NaN."""
    pairs = [(T, ONE), (T + 15_000, TWO), (T + 30_000, STALE)]
    body = chunked((A, [chunk(pairs)])) + chunked((B, [chunk(pairs[:1])]))
    read = reader(Client(CHUNKED, body)).read(CPU, T, END)
    assert as_lists(read.series) == [(A, pairs), (B, pairs[:1])]
    assert read.method == "remote-read chunks"


def test_a_series_spread_over_frames_is_one_series() -> None:
    """Stops a long series from falling apart: Prometheus begins a new frame after a megabyte of it."""
    parts: list[Pairs] = [[(T + 1000 * (100 * part + n), ONE + n) for n in range(100)] for part in range(4)]
    body = (
        chunked((A, [chunk(parts[0]), chunk(parts[1])]))
        + chunked((B, [chunk(parts[3])]))
        + chunked((A, [chunk(parts[2])]), (A, [chunk(parts[3])]))
    )
    read = reader(Client(CHUNKED, body)).read(CPU, T, END)
    assert as_lists(read.series) == [(A, sum(parts, [])), (B, parts[3])]  # noqa: RUF017 - four short lists


def test_chunks_are_cut_to_the_window() -> None:
    """Stops samples of the day before and after from being counted here: chunks are sent whole."""
    pairs = [(T - 1, ONE), (T, ONE), (END - 1, TWO), (END, TWO)]
    outside = [(T - 20, ONE), (T - 10, ONE)]
    body = chunked((B, [chunk(outside)]), (A, [chunk(outside), chunk(pairs)]))
    assert as_lists(reader(Client(CHUNKED, body)).read(CPU, T, END).series) == [(A, pairs[1:3])]


def test_chunks_that_overlap_keep_all_samples_in_order_of_arrival() -> None:
    """Stops late samples from being dropped or merged here: which of two counts is decided when they are gridded."""
    first, late = [(T, ONE), (T + 10, ONE), (T + 20, ONE)], [(T + 5, TWO), (T + 10, TWO)]
    body = chunked((A, [chunk(first), chunk(late)]))
    assert as_lists(reader(Client(CHUNKED, body)).read(CPU, T, END).series) == [(A, first + late)]


def test_a_server_may_answer_with_samples() -> None:
    """Stops an older server's answer from being read as frames: the content type decides, not the request."""
    pairs = [(T - 1, ONE), (T, TWO), (T + 15_000, STALE), (END, ONE)]
    body = sampled((B, []), (A, pairs), (A, [(T + 20_000, ONE)]))
    read = reader(Client(SAMPLED, body)).read(CPU, T, END)
    assert as_lists(read.series) == [(A, [*pairs[1:3], (T + 20_000, ONE)])]
    assert read.method == "remote-read samples"


@pytest.mark.parametrize(
    "content_type",
    [
        "Application/X-Streamed-Protobuf; proto=prometheus.ChunkedReadResponse",
        'application/x-streamed-protobuf;proto="prometheus.ChunkedReadResponse"; charset=utf-8',
        "application/x-streamed-protobuf",
    ],
)
def test_other_spellings_of_the_content_type_are_understood(content_type: str) -> None:
    """Stops a proxy that rewrites headers from making a good answer useless."""
    assert as_lists(reader(Client(content_type, chunked((A, [chunk([(T, ONE)])])))).read(CPU, T, END).series)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html; charset=utf-8", b"<html>Log in" + b"x" * 5000),
        ("application/json", b'{"status":"success"}'),
        ("", b""),
        ("application/x-streamed-protobuf; proto=prometheus.Other", b""),
    ],
)
def test_another_content_type_is_no_data(content_type: str, body: bytes) -> None:
    """Stops the page of a proxy from being read as an answer without series."""
    with pytest.raises(Refused) as caught:
        reader(Client(content_type, body)).read(CPU, T, END)
    message = str(caught.value)
    assert message.startswith("http://prometheus.test:9090 was asked for 'novacron_vm_cpu")
    assert repr(content_type) in message
    assert body[:12].decode() in message
    assert len(message) < 1000


@pytest.mark.parametrize(
    ("encoding", "words"), [(2, "histogram;"), (3, "float histogram;"), (0, "encoding 0"), (77, "encoding 77")]
)
def test_other_chunks_are_refused_by_name(encoding: int, words: str) -> None:
    """Stops the bits of a native histogram from being decoded as numbers."""
    body = chunked((B, [chunk([(T, ONE)])])) + chunked((A, [b"\x00\x01abc"]), encoding=encoding)
    with pytest.raises(PermanentFailure, match=f"{words}.*native histograms are not supported") as caught:
        reader(Client(CHUNKED, body)).read(CPU, T, END)
    assert 'vm_id="a"' in str(caught.value)


def test_native_histograms_among_samples_are_refused_too() -> None:
    """Stops them from being left out silently where the server answers with samples."""
    with pytest.raises(PermanentFailure, match="native histograms are not supported"):
        reader(Client(SAMPLED, sampled((A, [(T, ONE)]), histograms=2))).read(CPU, T, END)


def test_a_corrupt_chunk_is_named_by_its_series() -> None:
    """Stops one from having to search a million chunks for the one that the message counts."""
    good = chunk([(T + n, n) for n in range(50)])
    body = chunked((A, [good, good])) + chunked(({**B, "x": "'" * 500}, [good, good[:20], good]))
    with pytest.raises(
        PermanentFailure, match=r"chunk 2 of 3 of the series .*vm_id=.b.[ ,}].* claims 50 samples"
    ) as caught:
        reader(Client(CHUNKED, body)).read(CPU, T, END)
    assert len(str(caught.value)) < 1000


def test_a_cut_body_is_worth_another_attempt() -> None:
    """Stops the series that a stopped server did not send from counting as absent."""
    body = chunked((A, [chunk([(T, ONE)])])) + chunked((B, [chunk([(T, ONE)])]))
    with pytest.raises(TransientFailure, match="ends in the middle of frame 2"):
        reader(Client(CHUNKED, body[:-3])).read(CPU, T, END)
