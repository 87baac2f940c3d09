"""Odd names, values and times, from series to text to a real server and back."""

import json
import math
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest

from tests.servers.openmetrics import create_blocks, write_openmetrics
from tests.servers.packages import missing_packages
from tests.servers.process import ServerProcess
from tests.servers.prometheus import prometheus
from tests.servers.series import Series
from tests.servers.victoriametrics import load, victoriametrics

START = 1_375_315_376_000
ODD = 'a "quoted" \\ back\nslash, é, a=b,c{d} '


def series(name: str, values: list[float], kind="gauge", labels=None, ts_ms=None) -> Series:
    times = [START + 300_123 * number for number in range(len(values))] if ts_ms is None else ts_ms
    return Series(name, labels or {"vm_id": ODD}, np.array(times, np.int64), np.array(values, np.float64), kind)


ODDITIES = [
    series("novacron_vm_cpu_usage_percent", [0.1 + 0.2, 1e-300, 12345.678, 0.0, -0.0, 5e300]),
    series("novacron_vm_cpu_usage_percent", [math.inf, 1.5, -math.inf, math.nan, 2.5], labels={"vm_id": "b"}),
    series("novacron_vm_network_receive_bytes_total", [0, 2**53, 5, 1e13 + 1], "counter"),
    series("novacron_vm_cpu_usage_percent", [1, 2, 3, 4], ts_ms=[START + 1, START + 2, START + 999, START + 1001],
           labels={"vm_id": "milliseconds"}),
]  # fmt: skip


def test_a_counters_family_has_no_total_and_the_text_has_an_end(tmp_path):
    """Stops text that promtool refuses."""
    assert write_openmetrics(ODDITIES, tmp_path / "text.om") == 19
    lines = (tmp_path / "text.om").read_text().split("\n")
    assert [line for line in lines if line.startswith("#")] == [
        "# TYPE novacron_vm_cpu_usage_percent gauge",
        "# TYPE novacron_vm_network_receive_bytes counter",
        "# EOF",
    ]
    assert lines[1] == (
        'novacron_vm_cpu_usage_percent{vm_id="a \\"quoted\\" \\\\ back\\nslash, é, a=b,c{d} "} '
        "0.30000000000000004 1375315376.0005"
    )


def test_late_and_repeated_samples_are_put_in_order(tmp_path):
    """Stops promtool from refusing the simulated fleet, whose samples come late and twice."""
    late = series("late", [3, 1, 2, 9], ts_ms=[START + 3000, START + 1000, START + 2000, START + 1000])
    assert write_openmetrics([late], tmp_path / "text.om") == 3
    lines = (tmp_path / "text.om").read_text().splitlines()[1:-1]
    assert [line.split()[-2:] for line in lines] == [
        ["1.0", "1375315377.0005"],
        ["2.0", "1375315378.0005"],
        ["3.0", "1375315379.0005"],
    ]


@pytest.mark.parametrize("bad", [series("no-name", [1]), series("name", [1], labels={"no-label": "x"})])
def test_what_is_no_name_is_refused(bad, tmp_path):
    """Stops a label's name from being read as more text of the line."""
    with pytest.raises(ValueError, match="is not a name"):
        write_openmetrics([bad], tmp_path / "text.om")


@pytest.mark.integration
def test_prometheus_has_every_sample_exactly(tmp_path):
    """Stops times that lose a millisecond, values that lose digits, and labels that lose characters."""
    require("prometheus", "promtool")
    create_blocks(ODDITIES, tmp_path / "blocks")
    with prometheus(tmp_path / "server", blocks=tmp_path / "blocks") as server:
        for one in ODDITIES:
            assert raw(server, one) == samples(one)


@pytest.mark.integration
def test_victoriametrics_has_every_finite_sample(tmp_path):
    """Stops rows that VictoriaMetrics refuses in silence; it keeps 12 digits and no NaN, which is its own nature."""
    require("victoria-metrics")
    usual = [series("novacron_vm_cpu_usage_percent", [0.1 + 0.2, 12345.678, 0.0, -0.0]), *ODDITIES[1:]]
    with victoriametrics(tmp_path) as server:
        assert load(server, usual) == 17
        for one in usual:
            found, wanted = exported(server, one), samples(one)
            wanted = [(ts, value) for ts, value in wanted if value != "NaN"]
            assert [ts for ts, _ in found] == [ts for ts, _ in wanted]
            assert [float(value) for _, value in found] == pytest.approx([float(value) for _, value in wanted], 1e-11)


@pytest.mark.integration
def test_a_row_that_victoriametrics_does_not_understand_is_an_error(tmp_path):
    """Stops a server with holes: VictoriaMetrics answers 204 to what it throws away."""
    require("victoria-metrics")
    with victoriametrics(tmp_path) as server:
        server.ask(
            "POST", "/api/v1/import", b'{"metric":{"__name__":"a"},"values":[null],"timestamps":[1375315376000]}\n'
        )
        with pytest.raises(RuntimeError, match="refused 1 rows"):
            load(server, ODDITIES)


def samples(one: Series) -> list[tuple[int, str]]:
    return [
        (ts, "NaN" if math.isnan(value) else repr(value))
        for ts, value in zip(one.ts_ms.tolist(), one.values.tolist(), strict=True)
    ]


def raw(server: ServerProcess, one: Series) -> list[tuple[int, str]]:
    """Return the samples of a series by a query of all of them."""
    labels = ",".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in one.labels.items())
    form = {"query": f"{one.name}{{{labels}}}[1d]", "time": str(START / 1000 + 80_000)}
    status, body = server.ask(
        "POST", "/api/v1/query", urlencode(form).encode(), {"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert status == 200, body
    (found,) = json.loads(body)["data"]["result"]
    assert found["metric"] == {"__name__": one.name, **one.labels}
    return [(round(ts * 1000), value if value == "NaN" else repr(float(value))) for ts, value in found["values"]]


def exported(server: ServerProcess, one: Series) -> list[tuple[int, float]]:
    labels = ",".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in one.labels.items())
    status, body = server.ask("GET", "/api/v1/export?" + urlencode({"match[]": f"{one.name}{{{labels}}}"}))
    assert status == 200, body
    # Bare infinities: JSON has none, Python reads them if they are spelled its way.
    (found,) = [json.loads(line) for line in body.decode().replace("Inf", "Infinity").replace("+", "").splitlines()]
    assert found["metric"] == {"__name__": one.name, **one.labels}
    return list(zip(found["timestamps"], found["values"], strict=True))


def require(*programs: str) -> None:
    packages = missing_packages(*programs)
    if packages:
        pytest.skip(f"not installed: {', '.join(packages)}")


def test_where_a_program_is_missing_its_package_is_named(monkeypatch):
    """Stops a newcomer from searching for a package called promtool."""
    from tests.servers import packages

    monkeypatch.setenv("PATH", str(Path("/nowhere")))
    with pytest.raises(packages.MissingPackage, match="Install the package prometheus:"):
        packages.program("promtool")
    assert packages.missing_packages("promtool", "prometheus", "victoria-metrics") == ["prometheus", "victoria-metrics"]
