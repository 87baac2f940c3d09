"""The page of results, docs/quality.md."""

from collections.abc import Mapping
from pathlib import Path

from benchmarks.quality.measures import SetReport
from benchmarks.report import machine

HEAD = """# Quality

Made by `python -m benchmarks.quality DATA_FOLDER --write`. Each set of labelled data is written as files that
`novacron-analytics analyze` takes, analysed by that command in a process of its own with its default options, and
scored by the scorers in `DATA_FOLDER/score`. There is one set of defaults for all of them.
"""


def write_page(path: Path, reports: Mapping[str, SetReport]) -> None:
    """Write the page, with a section for each set."""
    parts = [HEAD, f"Machine: {machine()}.\n"]
    missed = sum(each.met is False for report in reports.values() for each in report.measures)
    asked = sum(each.met is not None for report in reports.values() for each in report.measures)
    parts.append(f"Of {asked} figures that are asked for, {asked - missed} are reached.\n")
    if missed:
        parts += [f"The {missed} that are missed:\n", "| set | measure | asked | reached |", "|---|---|---|---|"]
        parts += [
            f"| [{name}](#{name}) | {each.what} | {each.asked} | {each.reached:.4g} |"
            for name, report in reports.items()
            for each in report.measures
            if each.met is False
        ]
        parts.append("")
    for name, report in reports.items():
        parts += [f"## {name}\n", f"{report.about}\n", "```", *report.commands, "```\n"]
        parts += ["| measure | asked | reached | |", "|---|---|---|---|"]
        for each in report.measures:
            verdict = {True: "met", False: "**missed**", None: ""}[each.met]
            parts.append(f"| {each.what} | {each.asked} | {each.reached:.4g} | {verdict} |")
        parts += ["", *(f"{note}\n" for note in report.notes)]
        if report.scorer_output:
            parts += ["What the scorer prints:\n", "```", report.scorer_output.rstrip(), "```\n"]
    path.write_text("\n".join(parts), encoding="utf-8")
