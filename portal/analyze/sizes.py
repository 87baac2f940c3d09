"""`novacron-analytics analyze sizes`: how large the capacity of every series should be."""

import math
from typing import Any

import click
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from portal.analyze.columns import SERIES_PARTS, Kind, Rows, Wanted
from portal.analyze.options import Files, file_options
from portal.analyze.ordering import by_series, duplicates, refuse_mixed
from portal.analyze.progress import announce
from portal.analyze.summary import Summary, notes_on, print_summary
from portal.analyze.writing import write_table

REQUIRED = {"series": Kind.TEXT, "ts": Kind.TIME, "value": Kind.NUMBER, "capacity": Kind.NUMBER}


class NumberOfDays(click.FloatRange):
    """A range of numbers. NaN, which is neither above nor below any, is not in it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number; a usage error for what is none."""
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value} is no number. Give one of days.", param, ctx)
        return number


@click.command("sizes")
@file_options
@click.option(
    "--days",
    type=NumberOfDays(0, 3660, min_open=True),
    required=True,
    help="Of how many days from the last sample on to tell the expected share above the size.",
)
def command(files: Files, days: float) -> None:
    """Say how large each series' capacity should be.

    IN has the columns series, ts, value (what was used) and capacity (what there was of it, in the same unit; the
    latest one above 0 counts). OUT has a row for each series, in order of their names: series, size, class (idle,
    undersized, oversized, optimal or insufficient_data), expected_share_above (of the samples of the next --days days,
    0 to 1), then what this was concluded from, and evidence in words.
    """
    rows = files.read(Wanted(REQUIRED, SERIES_PARTS))
    for part in SERIES_PARTS:
        refuse_mixed(rows, ("series",), part)
    names, codes = rows.names("series"), rows.codes("series")
    summary = Summary(files.path, files.target, rows.count, {"series": len(names)})
    summary.notes = notes_on(rows, duplicates(codes, rows.ts_ms, by_series(codes, rows.ts_ms, len(names))))
    if files.target is not None:
        announce("sizing", rows.count, quiet=files.as_json)
        sized = sized_series(rows, days)
        unknown = sized.filter(pc.equal(sized["class"], "insufficient_data"))
        told = zip(unknown["series"].to_pylist(), unknown["evidence"].to_pylist(), strict=True)
        summary.unanswered = {str(name): reason for name, reason in told}
        counted = pc.value_counts(sized["class"]).to_pylist()
        summary.figures |= {str(each["values"]): each["counts"] for each in counted}
        write_table(files.target, sized)
    print_summary(summary, files.as_json)


def sized_series(rows: Rows, days: float) -> pa.Table:
    """Return the size of each series, with its id as it was in the file."""
    from analytics_assets.kernels.sizing.series import series_sizes

    found = series_sizes(
        pa.chunked_array([rows.texts["series"]]), rows.ts_ms, rows.numbers["value"], rows.numbers["capacity"], days
    )
    place = {name: code for code, name in enumerate(rows.names("series"))}
    codes = np.array([place[name] for name in found["series"].to_pylist()])
    return found.set_column(0, "series", rows.ids("series", codes))
