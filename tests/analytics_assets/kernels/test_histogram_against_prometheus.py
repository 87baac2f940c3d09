"""The same histogram through a real Prometheus server's `histogram_quantile` and through ours."""

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from analytics_assets.kernels.histogram import histogram
from resources.monitoring.source import SeriesBatch

START = 1_767_225_600_000  # 2026-01-01
STEP, SCRAPE = 300_000, 15_000
BUCKETS = 12
BOUNDS = ("0.001", "0.005", "0.01", "0.05", "0.1", "0.5", "+Inf")
LINKS = ("n1", "n2", "n3")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not (shutil.which("prometheus") and shutil.which("promtool")),
        reason="prometheus and promtool are not installed",
    ),
]


def planted() -> tuple[np.ndarray, dict[tuple[str, str, str], np.ndarray]]:
    """Scrapes of three links of two instances each, one of which restarts; offset from the grid."""
    random = np.random.default_rng(7)
    ts = np.arange(START - STEP, START + BUCKETS * STEP, SCRAPE) + 7_000
    found = {}
    for number, link in enumerate(LINKS):
        for instance in ("a", "b"):
            rises = random.poisson(random.uniform(0, 6, (len(BOUNDS), 1)), (len(BOUNDS), len(ts)))
            counts = np.cumsum(np.cumsum(rises, axis=1), axis=0)
            if number == 1:
                reset = len(ts) // 2
                counts[:, reset:] -= counts[:, reset - 1 : reset]
            for place, bound in enumerate(BOUNDS):
                found[link, instance, bound] = counts[place].astype(np.float64)
    return ts, found


@pytest.fixture
def server(tmp_path: Path):
    ts, series = planted()
    lines = ["# TYPE h histogram"]
    for (link, instance, bound), values in series.items():
        labels = f'source_node="{link}",target_node="z",instance="{instance}",le="{bound}"'
        lines += [f"h_bucket{{{labels}}} {value:.0f} {at / 1000:.3f}" for at, value in zip(ts, values, strict=True)]
    (tmp_path / "h.om").write_text("\n".join([*lines, "# EOF", ""]))
    make = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=24h", "-q", "h.om", "data"]
    subprocess.run(make, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "prometheus.yml").write_text("global: {}\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
    command += ["--storage.tsdb.retention.time=100y", f"--web.listen-address={address}"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"http://{address}", process
    finally:
        process.terminate()
        process.wait(timeout=30)


def query(server, expression: str, at_ms: int) -> dict[str, float]:
    url, process = server
    form = urllib.parse.urlencode({"query": expression, "time": f"{at_ms / 1000:.3f}"})
    deadline = time.monotonic() + 30
    while True:
        assert process.poll() is None, "prometheus ended"
        try:
            with urllib.request.urlopen(f"{url}/api/v1/query?{form}", timeout=10) as answer:  # noqa: S310
                found = json.load(answer)["data"]["result"]
            return {row["metric"]["source_node"]: float(row["value"][1]) for row in found}
        except urllib.error.URLError:  # not listening yet, or 503 until the data are loaded
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def test_equals_histogram_quantile_of_a_real_server(server):
    """Stops our quantiles from meaning something else than those on a dashboard."""
    ts, series = planted()
    labels = [
        {"source_node": link, "target_node": "z", "instance": instance, "le": bound} for link, instance, bound in series
    ]
    offsets = np.arange(len(labels) + 1, dtype=np.int64) * len(ts)
    batch = SeriesBatch(
        "h_bucket", tuple(labels), offsets, np.tile(ts, len(labels)), np.concatenate(list(series.values()))
    )
    ours = histogram([batch], "h", ("source_node", "target_node"), START, START + BUCKETS * STEP, STEP, (0.5, 0.95))
    assert len(ours.entity) == len(LINKS) * BUCKETS
    for bucket in range(BUCKETS):
        # A scrape more than the bucket, for the sample before it that our first increase begins at.
        inside = f"sum by (source_node, le) (increase(h_bucket[{(STEP + SCRAPE) // 1000}s]))"
        for place, q in enumerate((0.5, 0.95)):
            theirs = query(server, f"histogram_quantile({q}, {inside})", START + (bucket + 1) * STEP - 1)
            own = {
                ours.entities[entity][0]: float(value)
                for entity, at, value in zip(ours.entity, ours.bucket, ours.quantiles[:, place], strict=True)
                if at == bucket
            }
            assert own == pytest.approx(theirs, rel=1e-9)
