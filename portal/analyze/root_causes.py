"""`novacron-analytics analyze root-causes`: who may have caused what happened in a window of time."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from portal.analyze.columns import Kind, Rows, Wanted
from portal.analyze.options import Files, file_options
from portal.analyze.ordering import by_series, duplicates, refuse_mixed
from portal.analyze.reading import read_rows
from portal.analyze.summary import Summary, notes_on, print_summary, shown
from portal.analyze.times import iso_of, parse_time
from portal.analyze.writing import write_table
from resources.errors import InvalidInput

if TYPE_CHECKING:
    from analytics_assets.kernels.root_cause.suspects import Suspect

REQUIRED = {"entity": Kind.TEXT, "metric": Kind.TEXT, "ts": Kind.TIME, "value": Kind.NUMBER}
OPTIONAL = {"stat": Kind.TEXT}
RENAME = "Rename its columns to source and target"
GRAPH = Wanted({"source": Kind.TEXT, "target": Kind.TEXT}, ways_out={"source": RENAME, "target": RENAME})

TOLD = 3
"""Suspects that a person is told of; all are in the output."""


@click.command("root-causes")
@file_options
@click.option("--start", required=True, metavar="T", help="Begin of the incident: ISO 8601, or a number since 1970.")
@click.option("--end", required=True, metavar="T", help="Its end; both count as inside.")
@click.option(
    "--graph",
    metavar="G",
    type=click.Path(path_type=Path),
    help="CSV or Parquet with source and target: source calls target, or depends on it.",
)
@click.option("--target-entity", metavar="E", help="The entity that raised the alarm.")
@click.option("--target-metric", metavar="M", help="The metric of it that raised the alarm.")
def command(
    files: Files,
    start: str,
    end: str,
    graph: Path | None,
    target_entity: str | None,
    target_metric: str | None,
) -> None:
    """Rank every entity by how likely it caused what happened from --start to --end.

    IN has the columns entity, metric, ts and value: the incident, and as much around it as there is, which tells what
    is usual. OUT has a row for each entity, the most likely cause first: rank, entity, score (comparable within one
    file only) and evidence in words. With the alarm (--target-entity and --target-metric), entities are ranked by
    what goes with it; with a graph too, by what it depends on.
    """
    if (target_entity is None) != (target_metric is None):
        raise click.UsageError("--target-entity and --target-metric go together: give both or none.")
    window = parse_time(start, "--start", files.time_unit), parse_time(end, "--end", files.time_unit)
    rows = files.read(Wanted(REQUIRED, OPTIONAL), [graph] if graph else [])
    refuse_mixed(rows, ("entity", "metric"), "stat")
    edges = read_edges(graph) if graph else []
    alarm = None
    if target_entity is not None and target_metric is not None:
        alarm = (target_entity, target_metric)
        check_alarm(rows, *alarm)
    check_window(rows, window)
    summary = Summary(files.path, files.target, rows.count)
    summary.figures = {"entities": len(rows.names("entity")), "metrics": len(rows.names("metric"))}
    summary.notes = notes_on(rows, same_instants(rows), "entity, metric")
    if graph:
        summary.notes.append(note_on_graph(rows, edges, target_entity))
    suspects = ranked(rows, window, alarm, edges)
    if files.target is not None:
        write_table(files.target, as_table(rows, suspects))
        if files.as_json:
            summary.figures["first"] = suspects[0].entity
        summary.findings = [f"{each.rank}. {shown(each.entity)}, score {each.score:.2f}" for each in suspects[:TOLD]]
    print_summary(summary, files.as_json)


def read_edges(graph: Path) -> list[tuple[str, str]]:
    """Return the edges of a graph's file: (source, target)."""
    rows = read_rows(graph, GRAPH)
    names = [np.array(rows.names(end), dtype=object)[rows.codes(end)].tolist() for end in ("source", "target")]
    return list(zip(*names, strict=True))


def check_window(rows: Rows, window: tuple[int, int]) -> None:
    """Refuse a window that holds nothing of the file, with the times that it has."""
    start, end = window
    if end < start:
        raise InvalidInput("--end lies before --start. Exchange them.")
    known = ~np.isnan(rows.numbers["value"])
    if not (known & (rows.ts_ms >= start) & (rows.ts_ms <= end)).any():
        times = rows.ts_ms[known] if known.any() else rows.ts_ms
        said = f"Its times are {iso_of(times.min())} to {iso_of(times.max())}"
        before, after = times[times < start], times[times > end]
        if len(before) and len(after):
            said += f", with none between {iso_of(before.max())} and {iso_of(after.min())}"
        raise InvalidInput(
            f"{rows.path} has no value from --start to --end. {said}. Give a window that holds some of it."
        )


def same_instants(rows: Rows) -> int:
    """Return how many rows have the entity, metric and time of an earlier one."""
    metrics = len(rows.names("metric"))
    series = rows.codes("entity").astype(np.int64) * metrics + rows.codes("metric")
    return duplicates(series, rows.ts_ms, by_series(series, rows.ts_ms, len(rows.names("entity")) * metrics))


def check_alarm(rows: Rows, entity: str, metric: str) -> None:
    """Refuse an alarm that the file knows nothing of."""
    for option, name, column in (("--target-entity", entity, "entity"), ("--target-metric", metric, "metric")):
        names = sorted(rows.names(column))
        if name not in names:
            some = ", ".join(map(shown, names[:20])) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
            raise InvalidInput(f"{rows.path} has no {column} {shown(name)} ({option}). It has: {some}.")


def note_on_graph(rows: Rows, edges: Sequence[tuple[str, str]], alarming: str | None) -> str:
    """Say which entities a graph does not know: a name that is written otherwise makes it useless."""
    known = {name for source, target in edges if source != target for name in (source, target)}
    if alarming is not None and alarming not in known:
        return (
            f"the graph is not used: {shown(alarming)}, which raised the alarm, is in none of its {len(edges):,} edges"
        )
    unknown = sorted(set(rows.names("entity")) - known)
    note = f"{len(edges):,} edges"
    if unknown:
        note += f"; {len(unknown):,} of {len(rows.names('entity')):,} entities are not in the graph, such as "
        note += shown(unknown[0])
    return note


def ranked(
    rows: Rows, window: tuple[int, int], alarm: tuple[str, str] | None, edges: Sequence[tuple[str, str]]
) -> "list[Suspect]":
    """Return all entities of a file, the most likely cause first."""
    from analytics_assets.kernels.root_cause.incident import incident_of
    from analytics_assets.kernels.root_cause.suspects import rank_suspects

    entities, entity_code = _sorted_codes(rows, "entity")
    metrics, metric_code = _sorted_codes(rows, "metric")
    incident = incident_of(
        entities, metrics, entity_code, metric_code, rows.ts_ms, rows.numbers["value"], window[0], window[1]
    )
    return rank_suspects(incident, alarm, edges)


def as_table(rows: Rows, suspects: "Sequence[Suspect]") -> pa.Table:
    """Return the suspects as they are written."""
    place = {name: code for code, name in enumerate(rows.names("entity"))}
    return pa.table(
        {
            "rank": pa.array([each.rank for each in suspects], pa.int32()),
            "entity": rows.ids("entity", np.array([place[each.entity] for each in suspects])),
            "score": [each.score for each in suspects],
            "evidence": [each.evidence() for each in suspects],
        }
    )


def _sorted_codes(rows: Rows, column: str) -> tuple[list[str], NDArray[np.int64]]:
    """Return the ids of a column in order, and which of them each row has: ties must not go by the rows' order."""
    names = rows.names(column)
    order = sorted(range(len(names)), key=names.__getitem__)
    place = np.empty(len(names), np.int64)
    place[order] = np.arange(len(names))
    return [names[code] for code in order], place[rows.codes(column)]
