"""PlanetLab CPU traces: a folder a day (`20110303`), a file a VM, 288 whole percentages of CPU, one a line.

The files hold no time. Sample `i` is taken to be of 00:00 UTC and 5 `i` minutes, so a bad line
leaves its place empty and the lines after it keep theirs.
"""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa

from resources.errors import InvalidInput
from resources.monitoring.traces.rows import TEXT_LENGTH, Block, Clock, Raw, Reject, check, constant, printable
from resources.partition import day_start_ms

STEP_MS = 300_000
SAMPLES_PER_DAY = 288


def day_of(path: Path) -> date | None:
    """Return the day that the file's folder is named by, None where it is not named by one."""
    match = re.fullmatch(r"(\d{4})(\d{2})(\d{2})", path.absolute().parent.name)
    try:
        return date(*map(int, match.groups())) if match else None
    except ValueError:
        return None


def is_planetlab(path: Path, header: str) -> bool:
    """Return whether the file lies in a folder named by a day and begins with a whole number."""
    return day_of(path) is not None and re.fullmatch(r"\s*\d{1,3}\s*", header) is not None


def read_blocks(path: Path, wanted: pa.Array | None) -> Iterator[Block]:
    """Yield the file's samples as one block; `wanted` are the VMs to read, None for all."""
    day = day_of(path)
    if day is None:
        raise InvalidInput(f"{path}: a PlanetLab file lies in a folder named by its day, such as 20110303.")
    if wanted is not None and printable(path.name) not in wanted.to_pylist():
        return
    lines = path.read_bytes().decode("utf-8", "replace").removeprefix("\ufeff").splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    places, values, rejects = [], [], []
    for place, text in enumerate(lines):
        reason = _fault(place, text.strip())
        if reason:
            rejects.append(Reject(place + 1, reason, text[:TEXT_LENGTH]))
        else:
            places.append(place)
            values.append(float(text))
    index = np.array(places, dtype=np.int64)
    raw = Raw(
        lines=index + 1,
        vm_ids=constant(printable(path.name), len(index)),
        ts=(day_start_ms(day) + index * STEP_MS).astype(np.float64),
        values={"cpu_percent": np.array(values, dtype=np.float64)},
    )
    rows, out_of_range = check(raw, Clock("ms"), lambda line: lines[line - 1])
    yield Block(rows, (*rejects, *out_of_range), len(lines))


def _fault(place: int, text: str) -> str | None:
    if place >= SAMPLES_PER_DAY:
        return f"more than {SAMPLES_PER_DAY} samples in a day"
    if not text:
        return "the line is empty"
    if not (text.isascii() and text.isdecimal()):
        return f"{text[:40]!r} is not a whole number"
    return None if int(text[:9]) <= 100 else f"{text[:9]} is more than 100 percent"
