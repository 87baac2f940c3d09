"""Measure the answers: `python -m benchmarks.quality DATA_FOLDER [--set NAME ...] [--write]`.

DATA_FOLDER holds the labelled data and its scorers. `--write` puts the results into docs/quality.md.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter

from benchmarks.quality import anomaly_sets, forecast_tasks, root_cause_cases, size_tasks, synthetic
from benchmarks.quality.measures import SetReport, as_text
from benchmarks.quality.page import write_page
from benchmarks.report import machine

Runner = Callable[[Path, Path], SetReport]

SETS: dict[str, Runner] = {
    **{name: partial(anomaly_sets.run, name) for name in anomaly_sets.SETS},
    "synthetic": lambda _data, folder: synthetic.run(folder),
    "forecasts": forecast_tasks.run,
    "sizes": size_tasks.run,
    "petshop": root_cause_cases.run_petshop,
    "nezha": root_cause_cases.run_nezha,
}


def main() -> int:
    """Run the chosen sets; the exit code is 1 if a figure that is asked for was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("data", type=Path, metavar="DATA_FOLDER", help="the labelled data, with the scorers in score/")
    parser.add_argument("--set", dest="names", action="append", choices=list(SETS), help="only this set; repeatable")
    parser.add_argument("--write", action="store_true", help="write docs/quality.md")
    given = parser.parse_args()
    if not (given.data / "score").is_dir():
        parser.error(f"{given.data} has no scorers: there is no folder score in it")
    if given.write and given.names:
        parser.error("--write needs all sets: leave --set out")
    print(machine(), flush=True)
    reports: dict[str, SetReport] = {}
    for name in given.names or SETS:
        began = perf_counter()
        print(f"\n{name}: running", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            reports[name] = SETS[name](given.data.resolve(), Path(folder))
        print(f"{as_text(reports[name])}\n  ({perf_counter() - began:.0f} s)", flush=True)
    if given.write:
        write_page(Path(__file__).parents[2] / "docs" / "quality.md", reports)
    missed = sum(each.met is False for report in reports.values() for each in report.measures)
    print(f"\n{missed} figure(s) missed" if missed else "\nall figures reached")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
