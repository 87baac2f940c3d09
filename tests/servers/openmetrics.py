"""Series -> OpenMetrics text -> blocks that Prometheus reads at its start.

Prometheus takes the samples of a series in order of time and one per instant. Series whose samples
arrived late or twice are written as a Prometheus that accepts late samples would keep them: sorted,
and of several at one instant the first.
"""

import math
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from tests.servers.packages import program
from tests.servers.series import Series

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
LINES_AT_ONCE = 100_000


def escape(value: str) -> str:
    """Return a label's value as it stands between quotes."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def selector(series: Series) -> str:
    """Return the series' name and labels as text: `name{label="value"}`.

    Raises:
        ValueError: the name or a label's name is not one.
    """
    for name, pattern in ((series.name, NAME), *((label, LABEL) for label in series.labels)):
        if not pattern.match(name):
            raise ValueError(f"{name!r} of {series.name} is not a name in Prometheus")
    labels = ",".join(f'{name}="{escape(value)}"' for name, value in sorted(series.labels.items()))
    return f"{series.name}{{{labels}}}"


def number(value: float) -> str:
    """Return a value as both exposition formats write it; reading it gives the same float again."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)


def write_openmetrics(series: Iterable[Series], path: Path) -> int:
    """Write `series` as OpenMetrics text and return how many samples that are."""
    families: dict[tuple[str, str], list[Series]] = {}
    for one in series:
        families.setdefault(_family(one), []).append(one)
    written = 0
    with path.open("w", encoding="utf-8", newline="\n") as text:
        for (family, kind), members in families.items():
            text.write(f"# TYPE {family} {kind}\n")
            for one in members:
                for lines in _lines(one):
                    text.writelines(lines)
                    written += len(lines)
        text.write("# EOF\n")
    return written


def create_blocks(series: Iterable[Series], folder: Path, max_block_days: int = 31) -> int:
    """Add `series` to the blocks in `folder` and return how many samples that are.

    promtool reads all of the text once per block of the time it spans: series of different years
    are better given in calls of their own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        text = Path(place) / "series.om"
        written = write_openmetrics(series, text)
        done = subprocess.run(
            [
                program("promtool"), "tsdb", "create-blocks-from", "openmetrics",
                f"--max-block-duration={max_block_days * 24}h", "-q", str(text), str(folder),
            ],
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"promtool could not make blocks ({done.returncode}): {done.stdout}{done.stderr}")
    return written


def _family(series: Series) -> tuple[str, str]:
    """Return name and type of the family that a series is written under."""
    if series.kind == "counter" and series.name.endswith("_total"):
        return series.name.removesuffix("_total"), "counter"
    return series.name, "gauge" if series.kind == "gauge" else "unknown"


def _lines(series: Series) -> Iterator[list[str]]:
    head = selector(series)
    ts_ms, kept = np.unique(series.ts_ms, return_index=True)
    values = series.values[kept]
    for first in range(0, len(ts_ms), LINES_AT_ONCE):
        part = slice(first, first + LINES_AT_ONCE)
        # promtool computes milliseconds as int(seconds * 1000): half a millisecond more saves one from being lost.
        yield [
            f"{head} {number(value)} {ms // 1000}.{ms % 1000:03d}5\n"
            for ms, value in zip(ts_ms[part].tolist(), values[part].tolist(), strict=True)
        ]
