"""The JSON API of Prometheus and VictoriaMetrics: labels, small queries, the server's version and clock.

Bulk samples do not come this way. Every answer's envelope is checked: a server that says 200 and
means something else is refused, not read as "no data".
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np
import orjson
from numpy.typing import NDArray

from resources.errors import InvalidInput
from resources.monitoring.server.failures import Refused, shown
from resources.monitoring.server.http import Answer, HttpClient
from resources.monitoring.server.verdict import Question, judge_words, read_words

DAY_MS = 86_400_000
EARLIEST_MS = 946_684_800_000  # 2000-01-01
# No clock is needed to know that a time after 2100 is a mistake.
LATEST_MS = 4_102_444_800_000
# Prometheus refuses more points of a series in one answer.
MAX_POINTS = 11_000
# Proxies refuse a longer request line.
MAX_QUERY_CHARACTERS = 6_000
# VictoriaMetrics cuts a list of label values here by default and does not say so (-search.maxTagValues).
SILENT_CUT_VALUES = 100_000
MAX_WARNING_CHARACTERS = 500

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
# VictoriaMetrics otherwise moves an evaluation near now to 30 s ago, and the points of a range to multiples of
# the step; Prometheus ignores it.
_AS_ASKED = ("nocache", "1")


@dataclass(frozen=True)
class Envelope:
    """What a successful answer holds. With `warnings` the server says that data may be missing."""

    data: Any
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Values:
    """The values of a label, sorted, each once."""

    values: list[str]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Instant:
    """A query's value at one time: labels and value of each series. A scalar is one row without labels.

    `ts_ms` is the time that the server says it evaluated at, None where the answer is empty.
    """

    rows: list[tuple[dict[str, str], float]]
    ts_ms: int | None
    warnings: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[tuple[dict[str, str], float]]:
        return iter(self.rows)


@dataclass(frozen=True)
class Range:
    """A query's values over time: labels, times (int64, ms, ascending) and values (float64) of each series."""

    series: list[tuple[dict[str, str], NDArray[np.int64], NDArray[np.float64]]]
    warnings: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[tuple[dict[str, str], NDArray[np.int64], NDArray[np.float64]]]:
        return iter(self.series)


class PrometheusApi:
    """Asks a server through its JSON API. Times are milliseconds; windows are `[start_ms, end_ms)`.

    All methods raise as `HttpClient.ask`, and Refused where an answer is not what the API says.
    """

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    def label_values(self, label: str, selectors: Sequence[object], start_ms: int, end_ms: int) -> Values:
        """Return the values that `label` has on series of any of `selectors` (PromQL text or Selector) in the window.

        Without selectors: on any series. A server may round the window outwards, to hours or days.
        """
        if not _LABEL.fullmatch(label):
            raise InvalidInput(f"{shown(label)} is no name of a label: letters, digits and _, not a digit first.")
        _check_times(start_ms, end_ms)
        found: set[str] = set()
        warnings: list[str] = []
        for part in _parts(selectors):
            what = f"values of {label} on {', '.join(part) or 'all series'}"
            form = [("match[]", selector) for selector in part]
            form += [("start", as_seconds(start_ms)), ("end", as_seconds(end_ms - 1))]
            envelope = self._ask("GET", f"/api/v1/label/{label}/values", form, what)
            values = envelope.data
            if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
                raise self._malformed(what, "data is not a list of text")
            if len(values) == SILENT_CUT_VALUES:
                warnings.append(f"exactly {SILENT_CUT_VALUES} values of {label}: the server may have cut the list")
            found.update(values)
            warnings += envelope.warnings
        return Values(sorted(found), tuple(dict.fromkeys(warnings)))

    def instant(self, query: str, at_ms: int | None = None) -> Instant:
        """Return the values of `query` at `at_ms`, at the server's present time without it."""
        form = [("query", as_promql(query)), _AS_ASKED]
        if at_ms is not None:
            _check_times(at_ms, at_ms + 1)
            form.append(("time", as_seconds(at_ms)))
        envelope = self._ask("POST", "/api/v1/query", form, query)
        kind, result = self._result(query, envelope)
        if kind == "scalar":
            result = [{"metric": {}, "value": result}]
        elif kind != "vector":
            raise self._malformed(query, f"it is a {shown(kind)}, and an instant query must give a vector or scalar")
        rows, times = [], []
        for series in result:
            labels, value = self._series(query, series, "value")
            ts_ms, values = self._points(query, [value])
            rows.append((labels, float(values[0])))
            times.append(int(ts_ms[0]))
        return Instant(rows, times[0] if times else None, envelope.warnings)

    def range_query(self, expr: str, start_ms: int, end_ms: int, step_seconds: float) -> Range:
        """Return the values of `expr` at `start_ms`, one step later, and so on, before `end_ms`.

        It asks several times where there are more points than a server gives at once. A point that
        has no value is missing.
        """
        _check_times(start_ms, end_ms)
        step_ms = round(step_seconds * 1000)
        if step_ms < 1:
            raise InvalidInput(f"a step of {step_seconds!r} s is too short: the shortest is 0.001 s.")
        parts: dict[tuple[tuple[str, str], ...], list[tuple[NDArray[np.int64], NDArray[np.float64]]]] = {}
        warnings: list[str] = []
        for first_ms in range(start_ms, end_ms, MAX_POINTS * step_ms):
            last_ms = min(first_ms + (MAX_POINTS - 1) * step_ms, end_ms - 1)
            envelope = self._ask(
                "POST",
                "/api/v1/query_range",
                [
                    ("query", as_promql(expr)),
                    ("start", as_seconds(first_ms)),
                    ("end", as_seconds(last_ms)),
                    ("step", as_seconds(step_ms)),
                    _AS_ASKED,
                ],
                expr,
            )
            kind, result = self._result(expr, envelope)
            if kind != "matrix":
                raise self._malformed(expr, f"it is a {shown(kind)}, and a range query must give a matrix")
            for series in result:
                labels, values = self._series(expr, series, "values")
                points = self._points(expr, values)
                self._check_grid(expr, points[0], first_ms, last_ms, step_ms)
                parts.setdefault(tuple(sorted(labels.items())), []).append(points)
            warnings += envelope.warnings
        series_of = [
            (dict(labels), np.concatenate([ts for ts, _ in points]), np.concatenate([values for _, values in points]))
            for labels, points in parts.items()
        ]
        return Range(series_of, tuple(dict.fromkeys(warnings)))

    def version(self) -> str:
        """Return the server's version as it says it, `unknown` where a metrics server does not tell."""
        what = "its version"
        try:
            data = self._ask("GET", "/api/v1/status/buildinfo", [], what).data
        except Refused as error:
            if error.status not in (400, 404):
                raise
            self.instant("1")  # refused as well where this is no metrics server; else it only lacks the page
            return "unknown"
        if not isinstance(data, dict):
            raise self._malformed(what, "data is not an object")
        version = data.get("version", "")
        if not isinstance(version, str):
            raise self._malformed(what, "the version is not text")
        return version or self._version_of_metrics()

    def _version_of_metrics(self) -> str:
        """Return the version that VictoriaMetrics tells among its own metrics only; a gateway may hide them."""
        try:
            answer = self._client.send("GET", "/metrics", what="its own metrics")
        except Refused:
            return "unknown"
        found = re.search(rb'^vm_app_version\{[^}\n]*short_version="([\w.+-]{1,40})"', answer.body, re.MULTILINE)
        return found.group(1).decode() if found else "unknown"

    def server_time_ms(self) -> int:
        """Return the server's present time, as far as a whole second goes."""
        answer = self.instant("time()")
        if answer.ts_ms is None:
            raise self._malformed("time()", "it is empty")
        return answer.ts_ms

    def _ask(self, method: str, path: str, form: list[tuple[str, str]], what: str) -> Envelope:
        return self._client.ask(method, path, open_envelope, form=form, what=what)

    def _malformed(self, what: str, cause: str) -> Refused:
        return _malformed(self._client.question(what), cause)

    def _result(self, what: str, envelope: Envelope) -> tuple[str, Any]:
        data = envelope.data
        if not isinstance(data, dict) or not isinstance(data.get("resultType"), str):
            raise self._malformed(what, "data has no resultType")
        if not isinstance(data.get("result"), list):
            raise self._malformed(what, "data has no list as result")
        return data["resultType"], data["result"]

    def _series(self, what: str, series: Any, key: str) -> tuple[dict[str, str], list[Any]]:
        if not isinstance(series, dict) or not isinstance(series.get("metric"), dict):
            raise self._malformed(what, "a series has no labels")
        labels, points = series["metric"], series.get(key)
        if not all(isinstance(value, str) for value in labels.values()):
            raise self._malformed(what, "the value of a label is not text")
        if not isinstance(points, list):
            raise self._malformed(what, f"a series has no {key}")
        return labels, points

    def _points(self, what: str, points: list[Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return times and values of `[seconds, "value"]` pairs."""
        try:
            if not all(
                type(point) is list and len(point) == 2 and type(point[0]) in (int, float) and type(point[1]) is str
                for point in points
            ):
                raise ValueError("not a pair of seconds and text")
            seconds = np.array([point[0] for point in points], dtype=np.float64)
            values = np.array([float(point[1]) for point in points], dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise self._malformed(what, f"a point is not [seconds, value] ({shown(str(error))})") from error
        if not np.isfinite(seconds).all() or (abs(seconds) * 1000 > LATEST_MS).any():
            raise self._malformed(what, "a point has an impossible time")
        return np.rint(seconds * 1000).astype(np.int64), values

    def _check_grid(self, what: str, ts_ms: NDArray[np.int64], first_ms: int, last_ms: int, step_ms: int) -> None:
        inside = len(ts_ms) == 0 or (ts_ms[0] >= first_ms and ts_ms[-1] <= last_ms)
        if not inside or (np.diff(ts_ms) <= 0).any() or ((ts_ms - first_ms) % step_ms).any():
            raise self._malformed(what, "its points are not at the times that were asked for")


def open_envelope(answer: Answer, question: Question) -> Envelope:
    """Return data and warnings of the API's `{"status": "success", ...}`.

    Raises:
        TooMuch, TryAgain: it says error in spite of status 200, in words that mean these.
        Refused: it says another error, or is no such envelope.
    """
    try:
        content = orjson.loads(answer.body)
    except orjson.JSONDecodeError as error:
        start = shown(question.clean(answer.body[:400].decode("utf-8", "replace")), 80)
        raise _malformed(
            question, f"it is no JSON ({error.msg}), has type {shown(answer.content_type)} and begins with {start}"
        ) from None
    if not isinstance(content, dict) or content.get("status") not in ("success", "error"):
        raise _malformed(question, "it has no status of success or error")
    if content["status"] == "error":
        words = read_words(question, answer.status, answer.content_type, answer.body)
        judge_words(question, words)
        raise question.refused(f"{words.as_cause(question)}, although the status says success", "Mend the query.", 200)
    if "data" not in content:
        raise _malformed(question, "it has no data")
    warnings = content.get("warnings") or []
    if not isinstance(warnings, list) or not all(isinstance(warning, str) for warning in warnings):
        raise _malformed(question, "its warnings are not a list of text")
    if content.get("isPartial"):  # a cluster of VictoriaMetrics has no other word for it
        warnings = [*warnings, "isPartial: some of the storage nodes did not answer"]
    return Envelope(content["data"], tuple(question.clean(warning)[:MAX_WARNING_CHARACTERS] for warning in warnings))


def as_promql(text: object) -> str:
    """Return a selector or expression as it is sent.

    Prometheus takes the sign for broken text, which exporters put into labels, for broken text.
    """
    return str(text).replace("\ufffd", "\\ufffd")


def check_window(start_ms: int, end_ms: int, now_ms: int) -> None:
    """Refuse a window that cannot be meant: empty, before 2000, or more than a day after `now_ms`.

    Servers answer such a window with success and no data.

    Raises:
        InvalidInput: it cannot be meant; times in another unit are named as the likely cause.
    """
    _check_times(start_ms, end_ms)
    if end_ms > now_ms + DAY_MS:
        raise InvalidInput(
            f"the window {start_ms} to {end_ms} ends more than a day after now ({now_ms}). "
            f"Ask for a window that has been; if the clock of this machine is behind, mend it."
        )


def as_seconds(ms: int) -> str:
    """Return `ms` as the seconds that the API takes, with three decimals."""
    return f"{ms // 1000}.{ms % 1000:03d}"


def _check_times(start_ms: int, end_ms: int) -> None:
    if start_ms >= end_ms:
        raise InvalidInput(
            f"the window {start_ms} to {end_ms} is empty or runs backwards. Its end comes after its start."
        )
    for time_ms in (start_ms, end_ms):
        if EARLIEST_MS <= time_ms <= LATEST_MS:
            continue
        cause = "It is not between 2000 and 2100"
        for unit, per_ms in (("seconds", 0.001), ("microseconds", 1e3), ("nanoseconds", 1e6)):
            if EARLIEST_MS <= time_ms / per_ms <= LATEST_MS:
                cause = f"It looks like {unit}"
        raise InvalidInput(f"the time {time_ms} is not one in milliseconds since 1970. {cause}.")


def _parts(selectors: Sequence[object]) -> list[list[str]]:
    """Return the selectors as text, in parts that each fit the query of a URL; one part at least."""
    parts: list[list[str]] = [[]]
    length = 0
    for selector in map(as_promql, selectors):
        added = len(quote(selector, safe="")) + len("&match%5B%5D=")
        if parts[-1] and length + added > MAX_QUERY_CHARACTERS:
            parts.append([])
            length = 0
        parts[-1].append(selector)
        length += added
    return parts


def _malformed(question: Question, cause: str) -> Refused:
    return Refused(
        f"{question.server} answered {shown(question.what)} with what is no answer of the Prometheus API: {cause}. "
        f"Is it the metrics server? Ask whoever runs the proxy in between.",
        200,
    )
