"""`novacron-analytics analyze sizes`: how large the capacity of every series should be."""

from pathlib import Path

import click
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from portal.analyze.columns import Kind, Rows, Wanted
from portal.analyze.options import file_options, needed_output, parse_columns
from portal.analyze.ordering import by_series, duplicates
from portal.analyze.progress import announce
from portal.analyze.reading import read_rows
from portal.analyze.summary import Summary, notes_on, tell
from portal.analyze.writing import check_output, write_table

REQUIRED = {"series": Kind.TEXT, "ts": Kind.TIME, "value": Kind.NUMBER, "capacity": Kind.NUMBER}


@click.command("sizes")
@file_options
@click.option(
    "--days",
    type=click.FloatRange(0, 3660, min_open=True),
    required=True,
    help="How many days from the last sample on the size should last.",
)
def command(
    path: Path,
    output: Path | None,
    columns: tuple[str, ...],
    time_unit: str,
    dry_run: bool,
    as_json: bool,
    days: float,
) -> None:
    """Say how large each series' capacity should be for the next days.

    IN has the columns series, ts, value (what was used) and capacity (what there was of it, in the same unit; the
    last one counts). OUT has a row for each series, in order of their names: series, size, class (idle, undersized,
    oversized, optimal or insufficient_data), expected_share_above (of the samples of those days, 0 to 1), then what
    this was concluded from, and evidence in words.
    """
    target = needed_output(output, dry_run)
    if target is not None:
        check_output(target, [path])
    rows = read_rows(path, Wanted(REQUIRED, named=parse_columns(columns)), time_unit)
    names, codes = rows.names("series"), rows.codes("series")
    summary = Summary(path, target, rows.count, {"series": len(names)})
    summary.notes = notes_on(rows, duplicates(codes, rows.ts_ms, by_series(codes, rows.ts_ms, len(names))))
    if target is not None:
        announce("sizing", rows.count, quiet=as_json)
        sized = sized_series(rows, days)
        unknown = sized.filter(pc.equal(sized["class"], "insufficient_data"))
        told = zip(unknown["series"].to_pylist(), unknown["evidence"].to_pylist(), strict=True)
        summary.unanswered = {str(name): reason for name, reason in told}
        counted = pc.value_counts(sized["class"]).to_pylist()
        summary.figures |= {str(each["values"]): each["counts"] for each in counted}
        write_table(target, sized)
    tell(summary, as_json)


def sized_series(rows: Rows, days: float) -> pa.Table:
    """Return the size of each series, with its id as it was in the file."""
    from analytics_assets.kernels.sizing.series import series_sizes

    found = series_sizes(
        pa.chunked_array([rows.texts["series"]]), rows.ts_ms, rows.numbers["value"], rows.numbers["capacity"], days
    )
    place = {name: code for code, name in enumerate(rows.names("series"))}
    codes = np.array([place[name] for name in found["series"].to_pylist()])
    return found.set_column(0, "series", rows.ids("series", codes))
