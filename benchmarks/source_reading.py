"""Reading a real Prometheus: 1,000 VMs x 5 metrics x 1 day at 300 s, and a tenant ten times as large.

The peer is what a plain client does at its defaults: `query_range` by `requests` with gzip and `json`.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import process_time

import psutil
import requests

from benchmarks.monitoring_server import METRICS, TENANT, day, loaded_server, settings_of
from benchmarks.report import Outcome, side_by_side
from resources.monitoring.prometheus import remote_read, wire, xor
from resources.monitoring.selector import NAME, Matcher, Selector, one_of
from resources.monitoring.server.http import HttpClient
from resources.monitoring.server.source import TENANT_LABEL, ServerSource
from resources.settings import Settings
from resources.sources import connection_of, open_server
from tests.servers.process import ServerProcess

WORKER = """
import json, sys
from pathlib import Path
from analytics_assets.assets import compute_partition
from analytics_assets.pipelines.graph import find_pipeline
from benchmarks.monitoring_server import day
from resources.analytics_home import AnalyticsHome
from resources.settings import load_settings
from time import perf_counter, process_time
home, days = Path(sys.argv[1]), int(sys.argv[2])
settings = load_settings(home, {})
analytics = AnalyticsHome(home=str(home))
[instance] = [i for i in find_pipeline(settings, "daily-analytics").instances if i.id == "vm_resources"]
found = []
for number in [*range(days), 0]:
    wall, cpu = perf_counter(), process_time()
    _, stored = compute_partition(instance, day(number), settings, analytics.lake(), analytics)
    found.append({"samples": stored.facts.samples_seen, "wall": perf_counter() - wall, "cpu": process_time() - cpu})
# getrusage would tell the parent's peak where that was higher: it is inherited.
[peak] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
print(json.dumps({"days": found, "rss": int(peak.split()[1]) * 1024}))
"""
"""Collects, grids and writes days, and the first of them again, in a process of its own, whose memory is told too."""


def run(quick: bool) -> list[Outcome]:
    """Measure reading, and the collector around it."""
    vms, large, days = (200, 1_000, 4) if quick else (1_000, 10_000, 8)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with loaded_server(folder / "small", vms) as server:
            outcomes = _reading(server, folder, vms)
            outcomes.append(_collecting(server, folder, vms))
        with loaded_server(folder / "days", vms // 2, days) as server:
            outcomes.append(_memory_by_days(server, folder, vms // 2, days))
        with loaded_server(folder / "large", large) as server:
            outcomes.append(_large_tenant(server, folder, large))
    return outcomes


def _reading(server: ServerProcess, folder: Path, vms: int) -> list[Outcome]:
    settings = settings_of(server, folder / "home")
    source = open_server(settings)
    samples = _read(source)
    ours, peer = side_by_side(lambda: _read(source), lambda: _query_range(server), repeats=5)
    points = _query_range(server)
    what = f"{vms} VMs x {len(METRICS)} metrics x 1 day"
    client, used = _cpu(lambda: _read(source), server)
    body = _body(settings)
    decoding, _ = _cpu(lambda: _decode(body), server)
    return [
        Outcome(
            f"read {what} by remote-read chunks",
            samples / ours / 1e6,
            "M samples/s",
            points / peer / 1e6,
            "query_range, requests + json",
            ">= 10",
        ),
        Outcome(
            f"wall time of that read, {samples} samples",
            ours,
            "s",
            used + decoding,
            "server's CPU time + decoding alone",
            "<= 2",
            f"server {used:.3f} s, decoding {decoding:.3f} s, all of ours {client:.3f} s",
        ),
    ]


def _read(source: ServerSource) -> int:
    partition = day()
    return sum(
        len(batch.ts_ms) for batch in source.samples(TENANT, list(METRICS), partition.start_ms, partition.end_ms)
    )


def _body(settings: Settings) -> bytes:
    """Return what the server sends of that day when it is asked for all of it at once."""
    selector = Selector((one_of(NAME, list(METRICS)), Matcher(TENANT_LABEL, "=", TENANT)))
    asked = wire.encode_request(selector, day().start_ms, day().end_ms, (wire.ResponseType.STREAMED_XOR_CHUNKS,))
    with HttpClient(connection_of(settings)) as client:
        answer = client.send("POST", remote_read.PATH, body=asked, headers=remote_read.HEADERS, what="a day")
    return answer.body


def _decode(body: bytes) -> xor.Decoded:
    """Take frames, messages and chunks apart: the least that must be done to have the samples."""
    messages = (message for frame in wire.frames(body, "") for message in wire.chunked(frame, ""))
    return xor.decode([data for message in messages for _, data in message.chunks])


def _query_range(server: ServerProcess) -> int:
    """Read the same day as a plain client does; return the points."""
    points = 0
    for name in METRICS:
        answer = requests.get(
            f"{server.url}/api/v1/query_range",
            params={
                "query": f'{name}{{tenant_id="{TENANT}"}}',
                "start": str(day().start_ms // 1000),
                "end": str(day().end_ms // 1000 - 1),
                "step": "300",
            },
            timeout=120,
        )
        answer.raise_for_status()
        points += sum(len(series["values"]) for series in json.loads(answer.text)["data"]["result"])
    return points


def _cpu(work: Callable[[], object], server: ServerProcess) -> tuple[float, float]:
    """Return the CPU seconds that `work` takes here and in the server, the mean of several calls."""
    process, repeats = psutil.Process(server.pid), 10
    before, own = process.cpu_times(), process_time()
    for _ in range(repeats):
        work()
    after, own_after = process.cpu_times(), process_time()
    used = after.user + after.system - before.user - before.system
    return (own_after - own) / repeats, used / repeats


def _collecting(server: ServerProcess, folder: Path, vms: int) -> Outcome:
    found = [_worker(server, folder / f"collect-{number}", 1).days for number in range(3)]
    first, again = (max(run[number].rate for run in found) for number in (0, 1))
    wall = max(run[1].samples / run[1].wall for run in found)
    return Outcome(
        f"collect + grid + write, {vms} VMs, by CPU time of one process",
        again / 1e6,
        "M samples/s",
        aim=">= 1.0",
        note=f"{wall / 1e6:.2f} of wall time; {first / 1e6:.2f} for the first day of a process, with what it loads",
    )


def _memory_by_days(server: ServerProcess, folder: Path, vms: int, days: int) -> Outcome:
    two, many = (_worker(server, folder / f"memory-{count}", count).rss for count in (2, days))
    return Outcome(
        f"peak memory of {days} days of {vms} VMs in one run", many / 2**20, "MiB", two / 2**20, "of 2 days", "<= 1.1"
    )


def _large_tenant(server: ServerProcess, folder: Path, vms: int) -> Outcome:
    found = _worker(server, folder / "large-home", 1)
    return Outcome(
        f"peak memory of {vms} VMs x {len(METRICS)} metrics x 1 day",
        found.rss / 2**30,
        "GiB",
        aim="<= 2",
        note=f"{found.days[0].samples / 1e6:.1f} M samples in {found.days[0].wall:.1f} s",
    )


@dataclass(frozen=True)
class Day:
    """What one day took."""

    samples: int
    wall: float
    cpu: float

    @property
    def rate(self) -> float:
        """Samples a second of CPU time."""
        return self.samples / self.cpu


@dataclass(frozen=True)
class Worked:
    """What a process took: its days in order, and its peak memory in bytes."""

    days: list[Day]
    rss: int


def _worker(server: ServerProcess, home: Path, days: int) -> Worked:
    home.mkdir(exist_ok=True)
    (home / "analytics.toml").write_text(
        f'source = "prometheus"\nprometheus_url = "{server.url}"\nfirst_day = "{day().day}"\n'
    )
    done = subprocess.run(
        [sys.executable, "-c", WORKER, str(home), str(days)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found = json.loads(done.stdout)
    return Worked([Day(**one) for one in found["days"]], found["rss"])
