"""Raw samples by VictoriaMetrics' export: a line of JSON for each block of a series.

The export writes infinities as bare words, which no JSON is; newer versions write them as strings.
Of the NaN only Prometheus's stale marker is ever stored, and it comes as `null` or `NaN`.
"""

import io
import re
from typing import Any

import numpy as np
import orjson

from resources.errors import TransientFailure
from resources.monitoring.prometheus.series import Joined, Samples, asked, beginning, joined_samples, origin
from resources.monitoring.selector import Selector
from resources.monitoring.server.api import as_seconds
from resources.monitoring.server.failures import Refused, shown
from resources.monitoring.server.http import MAX_WORDS_BYTES, Answer, HttpClient
from resources.monitoring.server.reader import Read
from resources.monitoring.server.verdict import Question, TryAgain, judge_words, read_words

PATH = "/api/v1/export"
METHOD = "export"

STALE_MARKER = 0x7FF0000000000002
"""The bits of the NaN that ends a series."""

# The closing quote may lack, or a line of quotes without end would be searched anew from each of them.
_BARE = re.compile(rb'"(?:[^"\\]|\\.)*"?|[+-]?(?:Inf|inf)(?:inity)?\b|[Nn]a[Nn]\b')


class Export:
    """A `Reader` over the export API. Samples stored twice come twice."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    def read(self, selector: Selector, start_ms: int, end_ms: int) -> Read:
        """Return the samples of the selected series in `[start_ms, end_ms)`.

        Raises:
            InvalidInput: the window is none.
            TooMuch: the server refuses the amount, at once or while it answers.
            TransientFailure: no answer, or not all of it in any attempt.
            PermanentFailure: the server refuses, or answers with what is no export.
        """
        what = asked(selector, start_ms, end_ms)
        # Both ends belong to the window of an export, and milliseconds would be taken for a far future.
        form = {"match[]": str(selector), "start": as_seconds(start_ms), "end": as_seconds(end_ms - 1)}
        about = origin(self._client.connection.url, what)

        def decoded(answer: Answer, question: Question) -> Read:
            if "json" not in answer.content_type.lower():
                raise _no_export(about, f"is {shown(answer.content_type)} and begins with {beginning(answer.body)}")
            return Read(joined_samples(_series(answer.body, about, question), start_ms, end_ms), METHOD)

        return self._client.ask("POST", PATH, decoded, form=form, what=what)


def _series(body: bytes, about: str, question: Question) -> Joined[Samples]:
    joined: Joined[Samples] = Joined()
    for number, line in enumerate(io.BytesIO(body), 1):
        if not line.endswith(b"\n"):
            raise _stopped(about, f"in the middle of line {number}", line)
        if line.isspace():
            continue
        try:
            labels, samples = _line(line)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            if 1 < number == body.count(b"\n"):
                # A server that fails while it answers writes its error behind the series.
                raise _stopped(about, f"with line {number}, which is no series", _words(line, question)) from error
            raise _no_export(
                about,
                f"has a line {number} that is no series ({type(error).__name__} {shown(str(error))}) and begins with "
                f"{beginning(line)}",
            ) from error
        joined.add(labels, samples)
    return joined


def _stopped(about: str, where: str, line: bytes) -> TransientFailure:
    return TransientFailure(
        f"{about}: the body ends {where}; it begins with {beginning(line)}. "
        "The server stopped while it answered: try again."
    )


def _words(line: bytes, question: Question) -> bytes:
    """Return the server's error without the request that it repeats, and without secrets.

    Raises:
        TooMuch: the error is that it found the question too large, which it may notice late.
        TryAgain: it is that the server ran out of time over the question.
    """
    words = read_words(question, 200, "", line[:MAX_WORDS_BYTES])
    try:
        judge_words(question, words)
    except TryAgain as setback:
        if setback.heavy:
            raise
    return question.clean(words.text).encode()


def _no_export(about: str, what: str) -> Refused:
    return Refused(
        f"{about}: the answer {what}. Check that the address is that of a VictoriaMetrics server and that no proxy "
        "answers in its place."
    )


def _line(line: bytes) -> tuple[dict[str, str], Samples]:
    """Return labels and samples of a line; `KeyError`, `TypeError`, `ValueError` or `OverflowError` if it is none."""
    try:
        series = orjson.loads(line)
    except orjson.JSONDecodeError:
        series = orjson.loads(_BARE.sub(_quoted, line))
    metric, values, times = series["metric"], series["values"], series["timestamps"]
    if not isinstance(metric, dict) or not all(isinstance(value, str) for value in metric.values()):
        raise ValueError("its labels are no texts")
    if len(values) != len(times):
        raise ValueError(f"{len(values)} values and {len(times)} timestamps")
    return metric, (np.fromiter(times, np.int64, len(times)), _floats(values))


def _floats(values: list[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    floats = np.fromiter(values, np.float64, len(values))
    absent = np.isnan(floats)
    if absent.any():
        floats.view(np.uint64)[absent] = STALE_MARKER
    return floats


def _quoted(match: re.Match[bytes]) -> bytes:
    """Return a string as it is and a bare word as a string, which reads as the same number."""
    word = match.group()
    return word if word.startswith(b'"') else b'"' + word + b'"'
