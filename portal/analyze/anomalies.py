"""`novacron-analytics analyze anomalies`: a score and an alarm for every row of a file."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import click
import numpy as np
import pyarrow as pa

from portal.analyze.columns import SERIES_PARTS, WAY_OUT, BoolArray, FloatArray, Kind, Rows, Wanted
from portal.analyze.explanations import explaining_texts
from portal.analyze.options import Files, file_options
from portal.analyze.ordering import Ordered, by_series, duplicates, refuse_mixed
from portal.analyze.progress import with_progress
from portal.analyze.summary import NAMES_SHOWN, Summary, notes_on, print_summary, shown
from portal.analyze.times import IntArray
from portal.analyze.unscored import why_none_alarms, why_none_is_scored
from portal.analyze.writing import number_column, write_table
from resources.errors import InvalidInput

if TYPE_CHECKING:
    from analytics_assets.kernels.anomaly.scores import DetectorParameters

Scored = tuple[FloatArray, BoolArray, dict[str, pa.Array], str | None]
"""Of each row of a series: score, alarm, and what else is written; and why none of them could alarm, if so."""

Method = Callable[[IntArray, FloatArray, BoolArray | None, Sequence[str]], Scored]
"""Takes times, values [row, metric], which rows are known to be normal, and the metrics' names."""


UNIVARIATE = Wanted(
    {"series": Kind.TEXT, "ts": Kind.TIME, "value": Kind.NUMBER},
    {"reference": Kind.FLAG, **SERIES_PARTS},
    ways_out={"value": f"{WAY_OUT}, or take all others as metrics with --multivariate"},
)
MULTIVARIATE = Wanted({"series": Kind.TEXT, "ts": Kind.TIME}, {"reference": Kind.FLAG}, rest=True)


@click.command("anomalies")
@file_options
@click.option(
    "--multivariate",
    is_flag=True,
    help="Take all columns but series, ts and reference as metrics of one thing, and score them together.",
)
@click.option(
    "--direction",
    type=click.Choice(("both", "up", "down")),
    default="both",
    show_default=True,
    help="Which deviations may alarm.",
)
@click.option("--evidence", is_flag=True, help="Add the columns expected, low and high: how far off a value is.")
def command(files: Files, multivariate: bool, direction: Literal["both", "up", "down"], evidence: bool) -> None:
    """Score every sample of every series by what came before it, and raise alarms.

    IN has the columns series, ts and value; reference (true or false) marks history that is known to be normal.
    OUT has the same rows in the same order: series, ts, score (1 is the alarm line, on every series) and alarm (1 or
    0). A row without a value has no score. A score never depends on later rows. Nothing alarms on the first day of a
    series.

    With --multivariate, IN has the columns series, ts and one for each metric (--ignore leaves out what is none), and
    OUT has explains too: the metrics that deviate, the most telling first.
    """
    if multivariate and (evidence or direction != "both"):
        raise click.UsageError("--direction and --evidence are for series of one metric: leave out --multivariate.")
    rows = files.read(MULTIVARIATE if multivariate else UNIVARIATE)
    if not rows.numbers:
        raise InvalidInput(f"{files.path} has no metric: no column besides series, ts and reference. Add some.")
    for part in SERIES_PARTS:
        refuse_mixed(rows, ("series",), part)
    names, codes = rows.names("series"), rows.codes("series")
    ordered = by_series(codes, rows.ts_ms, len(names))
    summary = Summary(files.path, files.target, rows.count, {"series": len(names)})
    summary.notes = notes_on(rows, duplicates(codes, rows.ts_ms, ordered))
    if multivariate:
        summary.figures["metrics"] = len(rows.numbers)
        more = f" and {len(rows.numbers) - NAMES_SHOWN:,} more" if len(rows.numbers) > NAMES_SHOWN else ""
        summary.notes.append(f"metrics: {', '.join(map(shown, list(rows.numbers)[:NAMES_SHOWN]))}{more}")
    if files.target is not None:
        from analytics_assets.kernels.anomaly.scores import DetectorParameters

        method = (
            multivariate_method()
            if multivariate
            else univariate_method(DetectorParameters(direction=direction), evidence)
        )
        found = score_all(rows, ordered, method, quiet=files.as_json)
        alarms = [int(answer.alarm.sum()) for answer in found]
        summary.figures |= {"alarm_rows": sum(alarms), "series_with_alarms": sum(count > 0 for count in alarms)}
        summary.unanswered = {name: each.reason for name, each in zip(names, found, strict=True) if each.reason}
        write_table(files.target, as_table(rows, found, ordered))
    print_summary(summary, files.as_json)


@dataclass(frozen=True)
class Answer:
    """What was found of one series, by its rows in order of time; `score` is NaN where there is no value.

    `columns` are what else is written of each row; `reason` says why none of them could be an alarm, if so.
    """

    score: FloatArray
    alarm: BoolArray
    columns: dict[str, pa.Array]
    reason: str | None


def score_all(rows: Rows, ordered: Ordered, method: Method, quiet: bool) -> list[Answer]:
    """Return the answers for all series of a file, on all processors."""
    reference = rows.flags.get("reference")
    metrics = list(rows.numbers)

    def answer(places: IntArray) -> Answer:
        values = np.column_stack([rows.numbers[metric][places] for metric in metrics])
        known = ~np.isnan(values).all(axis=1)
        score, alarm, columns, reason = method(
            rows.ts_ms[places], values, None if reference is None else reference[places], metrics
        )
        return Answer(np.where(known, score, np.nan), alarm & known, columns, reason)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        series = len(ordered.starts) - 1
        return list(with_progress(pool.map(answer, ordered), series, quiet))


def univariate_method(parameters: "DetectorParameters", evidence: bool) -> Method:
    """Return the method for series of one metric; `evidence` adds what was expected, and the band around it."""
    from analytics_assets.kernels.anomaly.scores import score_series

    def method(ts_ms: IntArray, values: FloatArray, reference: BoolArray | None, _metrics: Sequence[str]) -> Scored:
        own = np.ascontiguousarray(values[:, 0])
        found = score_series(ts_ms, own, parameters, reference)
        band = {"expected": found.expected, "low": found.low, "high": found.high} if evidence else {}
        columns = {name: number_column(column) for name, column in band.items()}
        return found.score, found.alarm, columns, why_none_alarms(ts_ms, own, reference, found.score)

    return method


def multivariate_method() -> Method:
    """Return the method for series of several metrics, which adds the metrics that explain each score.

    Before the first row that is known to be normal, a series is scored as one without such rows: whether there will
    be any, no earlier score may depend on.
    """
    from analytics_assets.kernels.anomaly.multivariate import multivariate_scores

    def method(ts_ms: IntArray, values: FloatArray, reference: BoolArray | None, metrics: Sequence[str]) -> Scored:
        first = len(ts_ms)
        parts = []
        if reference is not None and reference.any():
            first = int(np.argmax(reference))
            parts.append(multivariate_scores(ts_ms, values, reference, first_step=first))
        if first:
            parts.insert(0, multivariate_scores(ts_ms[:first], values[:first]))
        explanations = np.concatenate([part.explanations for part in parts])
        score = np.concatenate([part.score for part in parts])
        return (
            score,
            np.concatenate([part.alarm for part in parts]),
            {"explains": explaining_texts(explanations, metrics)},
            why_none_is_scored(values, reference, score),
        )

    return method


def as_table(rows: Rows, found: Sequence[Answer], ordered: Ordered) -> pa.Table:
    """Return the answers as they are written: a row for each row of the file, in its order."""
    score, alarm = np.empty(rows.count), np.empty(rows.count, np.uint8)
    for places, answer in zip(ordered, found, strict=True):
        score[places], alarm[places] = answer.score, answer.alarm
    columns = {
        "series": rows.ids("series", rows.codes("series")),
        "ts": rows.ts,
        "score": number_column(score),
        "alarm": pa.array(alarm),
    }
    place = np.empty(rows.count, np.int64)
    place[ordered.order] = np.arange(rows.count)
    for name in found[0].columns:
        in_order = pa.concat_arrays([answer.columns[name] for answer in found])
        columns[name] = in_order.take(pa.array(place))
    return pa.table(columns)
