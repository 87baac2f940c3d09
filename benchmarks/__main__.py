"""Run the benchmarks: `python -m benchmarks [NAME ...] [--quick] [--write]`.

Each prints what it measured beside its limit or peer in the same run, with the ratio and the aim.
`--write` puts the results into docs/benchmarks.md, where those of the others stay as they are; `--quick` takes
smaller inputs, to see that all run.
"""

import argparse
import importlib
import sys
from pathlib import Path

from benchmarks.report import Outcome, as_text, machine, write_page

NAMES = (
    "lake_write_read",
    "percentile_30_days",
    "bytes_per_sample",
    "daily_graph",
    "range_run",
    "anomalies",
    "trends",
    "lag_correlation",
    "charts",
    "source_reading",
    "command_line",
    "forecasts",
)


def main() -> int:
    """Run the chosen benchmarks; the exit code is 1 if an aim was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(NAMES)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="smaller inputs")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in NAMES]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}")
    print(machine(), flush=True)
    outcomes: dict[str, list[Outcome]] = {}
    for name in given.names or NAMES:
        module = importlib.import_module(f"benchmarks.{name}")
        print(f"\n{name}: {(module.__doc__ or '').splitlines()[0]}", flush=True)
        outcomes[name] = module.run(given.quick)
        print(as_text(outcomes[name]), flush=True)
    if given.write:
        write_page(Path(__file__).parents[1] / "docs" / "benchmarks.md", outcomes, NAMES)
    missed = [outcome for results in outcomes.values() for outcome in results if outcome.met is False]
    print(f"\n{len(missed)} aim(s) missed" if missed else "\nall aims met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
