"""What `python -m tests.servers` puts into a server, once: real traces, or the simulated fleet.

A folder remembers what it was prepared with, so a second start takes no time, and a start with other
options does not mix two data sets.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from itertools import chain
from pathlib import Path

from resources.errors import InvalidInput
from tests.servers.loaded import read_traces
from tests.servers.openmetrics import create_blocks
from tests.servers.process import ServerProcess
from tests.servers.prometheus import prometheus
from tests.servers.series import Series, count_samples
from tests.servers.simulated import fleet, simulated, simulated_sizes
from tests.servers.traces import BITBRAINS_FILE, PLANETLAB_FILE
from tests.servers.victoriametrics import load, victoriametrics

MARKER = "prepared.json"
OWN = ("data", "blocks", "prometheus.yml", "prometheus.log", "victoriametrics.log", "running.json")
"""What a prepared folder may hold besides the marker."""
PROGRESS_SECONDS = 2.0
PROMTOOL_SAMPLES_A_SECOND = 500_000

Say = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """What a server is to hold: traces from `data`, or the simulated fleet where that is empty."""

    server: str
    data: str
    tenants: int
    vms: int
    days: int
    first_day: str
    interval_seconds: int


@dataclass(frozen=True)
class Holds:
    """What a prepared server holds."""

    series: int
    samples: int
    first_day: str
    last_day: str
    tenants: list[str]


def prepared_server(folder: Path, wanted: Wanted, port: int | None, say: Say) -> tuple[ServerProcess, Holds]:
    """Return a started server that holds what is `wanted`, after preparing it if need be.

    Raises:
        InvalidInput: the folder holds something else, or the traces are not there.
    """
    folder = folder.absolute()
    marker = folder / MARKER
    known = json.loads(marker.read_text()) if marker.exists() else None
    if known is None and folder.exists() and any(folder.iterdir()):
        raise InvalidInput(f"{folder} is not empty and was not made by this command. Name another folder.")
    if known is not None and known["wanted"] != asdict(wanted):
        raise InvalidInput(
            f"{folder} was prepared with other options: {known['wanted']}. Use the same, or name another folder."
        )
    if known is not None and known["holds"] is not None:
        say(f"{folder} is prepared already.")
        return _server(folder, wanted.server, port).start(), Holds(**known["holds"])
    for name in OWN:  # a preparation that was interrupted
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    groups = _groups(wanted, say)
    folder.mkdir(parents=True, exist_ok=True)
    marker.write_text(json.dumps({"wanted": asdict(wanted), "holds": None}))
    began = time.monotonic()
    if wanted.server == "prometheus":
        for group in groups:
            samples = count_samples(group)
            seconds = max(1, round(samples / PROMTOOL_SAMPLES_A_SECOND))
            say(f"promtool makes blocks of {samples:,} samples; about {seconds} s ...")
            create_blocks(group, folder / "data")
        server = _server(folder, wanted.server, port).start()
    else:
        server = _server(folder, wanted.server, port).start()
        try:
            everything = [series for group in groups for series in group]
            load(server, _with_progress(everything, say))
        except BaseException:
            server.stop()
            raise
    holds = _holds([series for group in groups for series in group])
    marker.write_text(json.dumps({"wanted": asdict(wanted), "holds": asdict(holds)}))
    say(f"Prepared in {time.monotonic() - began:.0f} s; the next start of this folder takes none of it.")
    return server, holds


def _server(folder: Path, kind: str, port: int | None) -> ServerProcess:
    return prometheus(folder, port=port) if kind == "prometheus" else victoriametrics(folder, port=port)


def _groups(wanted: Wanted, say: Say) -> list[Sequence[Series]]:
    """Return the series, those of about the same time together."""
    if not wanted.data:
        say(f"Simulating {wanted.tenants} tenants of {wanted.vms} VMs for {wanted.days} days ...")
        source = fleet(
            wanted.tenants, wanted.vms, wanted.days, date.fromisoformat(wanted.first_day), wanted.interval_seconds
        )
        return [list(_with_progress(chain(simulated(source), simulated_sizes(source)), say))]
    data = Path(wanted.data)
    for name in (PLANETLAB_FILE, BITBRAINS_FILE):
        if not (data / name).exists():
            raise InvalidInput(f"{data} has no {name}. Name the folder of the traces, or use --simulated.")
    say(f"Reading traces from {data} ...")
    traces = read_traces(data, wanted.vms, wanted.vms, wanted.days)
    return [traces.planetlab_series, traces.of_bitbrains]


def _holds(series: Sequence[Series]) -> Holds:
    first, last = (
        datetime.fromtimestamp(ms / 1000, UTC).date().isoformat()
        for ms in (min(int(one.ts_ms.min()) for one in series), max(int(one.ts_ms.max()) for one in series))
    )
    tenants = sorted({one.labels["tenant_id"] for one in series if "tenant_id" in one.labels})
    return Holds(len(series), count_samples(series), first, last, tenants)


def _with_progress(series: Iterable[Series], say: Say) -> Iterator[Series]:
    """Yield `series`, and say every few seconds how far that is."""
    said, samples = time.monotonic(), 0
    for number, one in enumerate(series, 1):
        yield one
        samples += len(one)
        if time.monotonic() - said > PROGRESS_SECONDS:
            said = time.monotonic()
            say(f"  {number:,} series, {samples:,} samples")
