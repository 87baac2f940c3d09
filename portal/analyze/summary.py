"""What `analyze` tells about an analysis that is done, to people and to programs."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import click

from portal.analyze.columns import Rows

SHOWN = 10
"""Series without an answer that a person is told of by name."""

NAMES_SHOWN = 40
"""Metrics that a person is told of by name."""

NAME_LENGTH = 60


@dataclass
class Summary:
    """What was read, found and written.

    `figures` are the command's own; `findings` are lines for a person, who need not open the output for them;
    `unanswered` is series -> reason.
    """

    path: Path
    output: Path | None
    rows: int
    figures: dict[str, float | int | str] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    unanswered: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def as_json(self) -> dict[str, object]:
        """Return it as plain values."""
        return {
            "input": str(self.path),
            "output": str(self.output) if self.output else None,
            "rows": self.rows,
            **self.figures,
            "seconds": round(time.monotonic() - self.began, 3),
            "unanswered": [{"series": name, "reason": reason} for name, reason in self.unanswered.items()],
            "notes": self.notes,
        }


def print_summary(summary: Summary, as_json: bool) -> None:
    """Print a summary on standard output."""
    if as_json:
        click.echo(json.dumps(summary.as_json(), indent=2, ensure_ascii=True))
        return
    facts = {"rows": summary.rows, **summary.figures}
    counted = ", ".join(f"{name.replace('_', ' ')}: {_number(value)}" for name, value in facts.items())
    lines = [f"{counted} ({time.monotonic() - summary.began:.1f} s)"]
    lines += [f"note: {note}" for note in summary.notes]
    lines += summary.findings
    if summary.unanswered:
        lines.append(f"{len(summary.unanswered):,} without an answer:")
        for name, reason in list(summary.unanswered.items())[:SHOWN]:
            lines.append(f"  {shown(name)}: {reason}")
        if len(summary.unanswered) > SHOWN:
            lines.append(f"  and {len(summary.unanswered) - SHOWN:,} more")
    lines.append(
        f"written  {summary.output}" if summary.output else "dry run: the input can be analysed; nothing written"
    )
    click.echo("\n".join(lines))


def notes_on(rows: Rows, count_duplicates: int, key: str = "series") -> list[str]:
    """Return what a person should know of how a file was read; `key` says what has one sample at a time."""
    assumed = rows.times.assumed()
    notes = [f"times are taken as {assumed}"] if assumed else []
    if rows.ignored:
        more = f" and {len(rows.ignored) - SHOWN:,} more" if len(rows.ignored) > SHOWN else ""
        notes.append(f"columns not used: {', '.join(shown(name) for name in rows.ignored[:SHOWN])}{more}")
    if rows.infinite:
        notes.append(f"{rows.infinite:,} infinite values were taken as missing")
    if count_duplicates:
        notes.append(f"{count_duplicates:,} rows have the same {key} and time as an earlier one")
    return notes


def shown(name: str) -> str:
    """Return an id as it may be printed: control characters made visible, long ones cut."""
    cut = name if len(name) <= NAME_LENGTH else f"{name[:NAME_LENGTH]}..."
    return repr(cut)


def _number(value: float | int | str) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
