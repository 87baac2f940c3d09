"""What every report says of its inputs: the days and samples that were there, the notes they carry, the charts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from analytics_assets.reports import figures, words
from analytics_assets.reports.document import Exhibit, Figure, Section, grid
from resources.lake.lake import Facts

SAMPLED_DAYS = """
SELECT day, count(*) AS entities, sum(seen)::BIGINT AS samples_seen,
    round(sum(expected))::BIGINT AS samples_expected,
    round(100.0 * sum(seen) / nullif(sum(expected), 0), 1) AS coverage_percent
FROM (
    SELECT day, {entity}, sum(samples_seen) AS seen,
        max(samples_expected) * (
            least(epoch(day) + 86400, {as_of_seconds})
            - greatest(epoch(day), min(epoch(min(ts))) OVER (PARTITION BY {entity}))
        ) / {bucket_seconds} AS expected
    FROM {samples}
    WHERE {days}
    GROUP BY day, {entity}
)
GROUP BY day
ORDER BY day
"""
"""A bucket without samples has no row, so what was expected is counted from the clock: from the entity's
first bucket of the window on."""


@dataclass(frozen=True)
class Sampled:
    """A table whose samples are counted: its name, the column of its entities, its buckets and its instant."""

    table: str
    entity: str
    bucket_seconds: int
    as_of_ms: int


def sampled_days(run: figures.Run, sampled: Sampled, days: Sequence[date]) -> Figure:
    """Return the figure of samples seen and expected on each of `days` that has any."""
    names = {
        "samples": figures.identifier(sampled.table),
        "entity": sampled.entity,
        "bucket_seconds": f"{sampled.bucket_seconds}",
        "as_of_seconds": f"{sampled.as_of_ms // 1000}",
    }
    title = f"Samples by day, {min(days).isoformat()} to {max(days).isoformat()}"
    return figures.ask(
        run, "coverage.days", title, SAMPLED_DAYS, days, names, section="coverage", empty="no day has a sample"
    )


def sampled_days_exhibit(figure: Figure, days: Sequence[date], entities: str = "VMs") -> Exhibit:
    """Return the table of days, and which of `days` have no sample at all."""
    present = {row["day"] for row in figure.records()}
    missing = [day for day in days if day not in present]
    text = f"All {words.count(len(days), 'day')} have samples."
    if missing:
        verb = "has" if len(missing) == 1 else "have"
        text = f"{len(missing):,} of {words.count(len(days), 'day')} {verb} no samples: {words.day_ranges(missing)}."
    return Exhibit(
        figure,
        text,
        grid(
            figure,
            ("Day", lambda row: row["day"].isoformat(), False, 1.4),
            (entities, lambda row: f"{row['entities']:,}", True, 1),
            ("Samples seen", lambda row: f"{row['samples_seen']:,}", True, 1),
            ("expected", lambda row: f"{row['samples_expected']:,}", True, 1),
            ("Coverage", lambda row: words.quantity(row["coverage_percent"], "percent"), True, 1),
        ),
    )


def facts_sentences(source: str, facts: Facts) -> list[str]:
    """Return what the facts stored with the input `source` say of missing days, and its notes."""
    said = []
    if facts.days_missing:
        missing = [date.fromisoformat(day) for day in facts.days_missing]
        verb = "was" if len(missing) == 1 else "were"
        whole = words.count(len(missing) + len(facts.days_read), "day")
        said.append(
            f"{len(missing):,} of the {whole} that {source} reads {verb} not stored: {words.day_ranges(missing)}."
        )
    if facts.low_coverage:
        low = words.listing([words.name(table) for table in facts.low_coverage])
        said.append(f"{words.capital(source)} rests on samples of which too many are missing: {low}.")
    if facts.warnings:
        warned = words.listing([words.clause(warning) for warning in facts.warnings[:3]], len(facts.warnings[3:]))
        said.append(f"The monitoring server warned that {source} may lack samples: {warned}.")
    said += [f"{words.capital(words.clause(note))}." for note in facts.notes]
    return list(dict.fromkeys(said))


def charts_section(charts: Sequence[Figure], shown: int) -> Section | None:
    """Return the section of the first `shown` charts that have a drawing; the others are named in a sentence."""
    if not charts:
        return None
    drawn = [figure for figure in charts if figure.svg is not None]
    said = []
    if len(drawn) > shown:
        names = [f"{words.name(figure.title)} ({words.name(figure.id)})" for figure in drawn[shown:]]
        said.append(f"Not printed here, but stored beside it: {words.listing(names[:6], max(0, len(names) - 6))}.")
    missing = [figure for figure in charts if figure.svg is None]
    said += [f"{words.name(figure.id)} has no drawing: {words.clause(figure.reason)}." for figure in missing[:3]]
    if len(missing) > 3:
        said.append(f"{words.count(len(missing) - 3, 'more chart')} without a drawing: see the appendix.")
    return Section("Charts", tuple(Exhibit(figure, figure.alt) for figure in drawn[:shown]), tuple(said))
