"""A real VictoriaMetrics, loaded over its import API.

It answers 204 whether or not it understood a line, so the count of rows it could not read is asked
for after loading. It keeps 12 significant digits of a fraction and drops NaN. The values of a block
share one decimal exponent: beside 5e300 in the same series, 0.3 becomes 0.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from tests.servers.openmetrics import number, selector
from tests.servers.packages import program
from tests.servers.process import ServerProcess
from tests.servers.series import Series

BODY_BYTES = 8_000_000
VALUES_A_LINE = 10_000
REFUSED = re.compile(r'^vm_rows_(?:invalid|ignored)_total\{(?!reason="nan_value")[^}]*\} (\d+)$', re.MULTILINE)


def victoriametrics(folder: Path, *, flags: Sequence[str] = (), port: int | None = None) -> ServerProcess:
    """Return a VictoriaMetrics in `folder`, to be started; `flags` such as `-search.maxSeries=10` are added."""
    binary = program("victoria-metrics")
    return ServerProcess(
        "victoriametrics",
        folder,
        lambda port: [
            binary,
            f"-httpListenAddr=127.0.0.1:{port}",
            f"-storageDataPath={folder / 'data'}",
            "-retentionPeriod=100y",
            *flags,
        ],
        ready="/health",
        port=port,
    )


def load(server: ServerProcess, series: Iterable[Series]) -> int:
    """Write `series` to a running server and return how many samples that are; they can be read at once.

    Raises:
        RuntimeError: the server refused some.
    """
    lines: list[bytes] = []
    texts: list[bytes] = []
    written = 0
    for one in series:
        written += len(one)
        # Infinities and NaN have no form in its JSON lines.
        if np.isfinite(one.values).all():
            lines += _json_lines(one)
        else:
            texts += _text_lines(one)
        lines = _send(server, "/api/v1/import", lines, BODY_BYTES)
        texts = _send(server, "/api/v1/import/prometheus", texts, BODY_BYTES)
    _send(server, "/api/v1/import", lines, 0)
    _send(server, "/api/v1/import/prometheus", texts, 0)
    _checked(server, "GET", "/internal/force_flush")
    refused = sum(int(count) for count in REFUSED.findall(_checked(server, "GET", "/metrics").decode()))
    if refused:
        raise RuntimeError(f"VictoriaMetrics refused {refused} rows or lines; {server.log} ends:\n{server.log_tail()}")
    return written


def _json_lines(series: Series) -> Iterator[bytes]:
    metric = {"__name__": series.name, **series.labels}
    for first in range(0, len(series), VALUES_A_LINE):
        part = slice(first, first + VALUES_A_LINE)
        values, ts_ms = series.values[part].tolist(), series.ts_ms[part].tolist()
        yield json.dumps({"metric": metric, "values": values, "timestamps": ts_ms}).encode() + b"\n"


def _text_lines(series: Series) -> Iterator[bytes]:
    head = selector(series)
    for ms, value in zip(series.ts_ms.tolist(), series.values.tolist(), strict=True):
        yield f"{head} {number(value)} {ms}\n".encode()


def _send(server: ServerProcess, path: str, lines: list[bytes], more_than: int) -> list[bytes]:
    """Post `lines` if they have more than so many bytes; return those still to be sent."""
    if sum(len(line) for line in lines) <= more_than:
        return lines
    _checked(server, "POST", path, b"".join(lines))
    return []


def _checked(server: ServerProcess, method: str, path: str, body: bytes | None = None) -> bytes:
    status, answer = server.ask(method, path, body)
    if status not in (200, 204):
        raise RuntimeError(f"VictoriaMetrics answered {method} {path} with {status}: {answer[:500]!r}")
    return answer
