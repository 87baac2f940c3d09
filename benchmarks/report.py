"""What a benchmark found, how it is printed, and the page it goes onto."""

import importlib
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

PACKAGES = ("dagster", "duckdb", "pyarrow", "numpy", "numba", "urllib3", "pandas", "reportlab", "matplotlib")


@dataclass(frozen=True)
class Outcome:
    """One measured thing: ours beside its peer or limit, and the aim for their ratio (or for ours alone).

    `aim` reads like `<= 1.3`; it is held against `ratio` if there is a peer, else against `ours`.
    """

    what: str
    ours: float
    unit: str
    peer: float | None = None
    peer_name: str = ""
    aim: str = ""
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours over the peer's; None where there is no peer."""
        return None if not self.peer else self.ours / self.peer

    @property
    def met(self) -> bool | None:
        """Whether the aim was met; None where there is none."""
        if not self.aim:
            return None
        sign, limit = self.aim.split()
        value = self.ours if self.ratio is None else self.ratio
        return value <= float(limit) if sign == "<=" else value >= float(limit)


def best(work: Callable[[], Any], repeats: int = 5) -> float:
    """Return the shortest of `repeats` timings of `work`, in seconds."""
    return min(timings(work, repeats))


def timings(work: Callable[[], Any], repeats: int) -> list[float]:
    """Return the seconds of each of `repeats` calls, after one call to warm up."""
    work()
    found = []
    for _ in range(repeats):
        started = perf_counter()
        work()
        found.append(perf_counter() - started)
    return found


def side_by_side(ours: Callable[[], Any], peer: Callable[[], Any], repeats: int = 7) -> tuple[float, float]:
    """Return the median seconds of both, called in turns so that the machine's noise meets both alike."""
    ours()
    peer()
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for times, work in zip(found, (ours, peer), strict=True):
            started = perf_counter()
            work()
            times.append(perf_counter() - started)
    return median(found[0]), median(found[1])


def as_text(outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes as lines for a terminal."""
    lines = []
    for outcome in outcomes:
        line = f"  {outcome.what}: {outcome.ours:.4g} {outcome.unit}"
        if outcome.ratio is not None:
            line += f"; {outcome.peer_name} {outcome.peer:.4g}; ratio {outcome.ratio:.2f}"
        if outcome.aim:
            line += f"; aim {outcome.aim}: {'met' if outcome.met else 'MISSED'}"
        lines.append(line + (f"  ({outcome.note})" if outcome.note else ""))
    return "\n".join(lines)


def machine() -> str:
    """Return the machine and the versions that the figures belong to."""
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{os.cpu_count()} CPUs, {memory_gb:.0f} GiB, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, {packages}"
    )


def write_page(path: Path, outcomes: Mapping[str, Sequence[Outcome]], order: Sequence[str]) -> None:
    """Write the page of results, a table for each benchmark in this `order`; those that did not run keep theirs."""
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    sections = {part.split("\n", 1)[0]: f"## {part.rstrip()}\n" for part in before.split("\n## ")[1:]}
    sections |= {name: _section(name, results) for name, results in outcomes.items()}
    head = [
        "# Benchmarks\n",
        "Made by `make bench BENCH=--write`. Each line is ours beside its peer or limit, measured in turns in one run;",
        "the files are in the page cache. Wall times vary up to 2x between runs on a shared machine:",
        "trust the ratios.\n",
        f"Machine: {machine()}.\n",
    ]
    path.write_text("\n".join([*head, *(sections[name] for name in order if name in sections)]), encoding="utf-8")


def _section(name: str, results: Sequence[Outcome]) -> str:
    about = (importlib.import_module(f"benchmarks.{name}").__doc__ or "").strip()
    parts = [
        f"## {name}\n",
        f"{about}\n",
        "| what | ours | peer or limit | ratio | aim | |",
        "|---|---|---|---|---|---|",
    ]
    for outcome in results:
        peer = f"{outcome.peer:.4g} {outcome.unit} ({outcome.peer_name})" if outcome.peer else ""
        ratio = f"{outcome.ratio:.2f}" if outcome.ratio is not None else ""
        verdict = {True: "met", False: "missed", None: ""}[outcome.met]
        note = f" {outcome.note}" if outcome.note else ""
        ours = f"{outcome.ours:.4g} {outcome.unit}"
        parts.append(f"| {outcome.what} | {ours} | {peer} | {ratio} | {outcome.aim} | {verdict}{note} |")
    return "\n".join([*parts, ""])
