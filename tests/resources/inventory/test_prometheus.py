"""Sizes out of an exporter's series: whose, from when on, and what is refused."""

import re
from datetime import date

import numpy as np
import pytest

from resources.errors import InvalidInput, TransientFailure
from resources.inventory.prometheus import InventoryQueries, Labels, libvirt_queries
from resources.inventory.source import INVENTORY_SCHEMA
from resources.monitoring.server.api import Range
from resources.monitoring.server.failures import TooMuch
from resources.partition import DAY_MS, day_start_ms

START = day_start_ms(date(2026, 3, 1))
END = START + DAY_MS
STEP = 300_000
HOUR = 12
"""Steps of an hour."""

VCPUS, MEMORY, STATE = (
    "libvirt_domain_info_virtual_cpus",
    "libvirt_domain_info_maximum_memory_bytes",
    "libvirt_domain_state_code",
)


class Server:
    """A stand-in for the API. `series` is metric -> [(labels, {step: value})]; steps count from the day's start."""

    def __init__(self, vms=(), series=None, too_much_above=None, warnings=()):
        self.vms = [dict(zip(("tenant_id", "vm_id", "vm_name", "node_id"), vm, strict=False)) for vm in vms]
        self.series = series or {}
        self.too_much_above, self.warnings = too_much_above, warnings
        self.asked: list[tuple[str, int, int]] = []

    def range_query(self, expr, start_ms, end_ms, step_seconds):
        self.asked.append((expr, start_ms, end_ms))
        steps = range(start_ms, end_ms, step_seconds * 1000)
        if self.too_much_above and len(steps) > self.too_much_above:
            raise TooMuch("too many samples")
        if "novacron_vm" in expr:
            return Range([(labels, *self._points(steps, dict.fromkeys(range(288), 1))) for labels in self._vms(expr)])
        found = []
        for metric, series in self.series.items():
            if metric in expr:
                found += [(dict(labels), *self._points(steps, values)) for labels, values in series]
        return Range([one for one in found if len(one[1])], tuple(self.warnings))

    def _vms(self, expr):
        wanted = re.search(r'tenant_id="([^"]*)"', expr)
        if wanted:
            return [vm for vm in self.vms if vm["tenant_id"] == wanted.group(1)]
        names = re.search(r'vm_name=~"([^"]*)"', expr).group(1).split("|")
        other = re.search(r'tenant_id!="([^"]+)"', expr).group(1)
        return [vm for vm in self.vms if vm["tenant_id"] != other and vm.get("vm_name") in names]

    @staticmethod
    def _points(steps, values):
        times = [ts for ts in steps if (ts - START) // STEP in values and ts % STEP == 0]
        return np.array(times, np.int64), np.array([values[(ts - START) // STEP] for ts in times], np.float64)


def always(value, begin=-HOUR, end=288):
    return dict.fromkeys(range(begin, end), value)


def machine(uuid="v1", domain="web-1", **more):
    return {"domain": domain, "uuid": uuid, **more}


def rows(server, tenant="acme", start_ms=START, end_ms=END, **options):
    table = InventoryQueries(server, **options).inventory(tenant, start_ms, end_ms)
    assert table.schema.equals(INVENTORY_SCHEMA)
    return table.to_pylist()


def told(server, column="vcpus", **options):
    """Return (VM, step of the day, value) of one column."""
    return [(row["vm_id"], (row["valid_from_ms"] - START) // STEP, row[column]) for row in rows(server, **options)]


ONE = [("acme", "v1", "web", "n1")]


def test_equal_values_are_one_row_from_the_first_instant_known():
    """Stops a row for every scrape."""
    series = {
        VCPUS: [(machine(node_id="n1", flavor="s1"), always(4))],
        MEMORY: [(machine(node_id="n1", flavor="s1"), always(8e9))],
        STATE: [(machine(node_id="n1", flavor="s1"), always(1))],
    }
    assert rows(Server(ONE, series)) == [
        {
            "vm_id": "v1", "valid_from_ms": START - 3_600_000, "vm_name": "web", "node_id": "n1", "flavor": "s1",
            "vcpus": 4.0, "memory_bytes": 8_000_000_000, "disk_bytes": None, "state": "running",
        }
    ]  # fmt: skip


def test_a_resize_counts_from_the_step_that_shows_it():
    """Stops the last value of a day from being taken for all of it."""
    series = {VCPUS: [(machine(), {**always(2), **always(4, 100, 200), **always(8, 200)})],
              MEMORY: [(machine(), {**always(1e9), **always(2e9, 150)})]}  # fmt: skip
    server = Server(ONE, series)
    assert told(server) == [("v1", -HOUR, 2.0), ("v1", 100, 4.0), ("v1", 150, 4.0), ("v1", 200, 8.0)]
    assert told(server, "memory_bytes")[2] == ("v1", 150, 2_000_000_000)
    half = {"start_ms": START + 150 * STEP, "end_ms": START + 151 * STEP, "lookback_seconds": 0}
    assert told(server, **half) == [("v1", 150, 4.0)]


def test_edges_of_the_window():
    """Stops a change at the day's end from being told a day early, and one before midnight from being lost."""
    series = {VCPUS: [(machine(), {**always(2), **always(4, -3, 288), 288: 8})]}
    assert told(Server(ONE, series)) == [("v1", -3, 4.0)]
    assert told(Server(ONE, {VCPUS: [(machine(), always(2, -HOUR, -2))]})) == [("v1", -HOUR, 2.0)]
    assert told(Server(ONE, {VCPUS: [(machine(), {287: 2})]})) == [("v1", 287, 2.0)]


def test_a_gap_holds_the_value_and_a_long_absence_leaves_the_state_unknown():
    """Stops a failed scrape from being a resize, and a machine that was shut off from running on."""
    short = {**always(1, end=50), **always(1, 54)}
    long = {**always(1, end=50), **always(1, 100)}
    other = (machine("v2", "db"), always(1))
    vms = [*ONE, ("acme", "v2", "db")]
    for values, expected in ((short, [(-HOUR, "running")]), (long, [(-HOUR, "running"), (50, None), (100, "running")]),
                             (always(1, end=282), [(-HOUR, "running"), (282, None)]),
                             (always(1, end=283), [(-HOUR, "running")])):  # fmt: skip
        series = {STATE: [(machine(), values), other], VCPUS: [(machine(), dict.fromkeys(values, 4.0))]}
        found = [row for row in rows(Server(vms, series)) if row["vm_id"] == "v1"]
        assert [((row["valid_from_ms"] - START) // STEP, row["state"]) for row in found] == expected
        assert {row["vcpus"] for row in found} == {4.0}
    down = {STATE: [(machine(), long), (machine("v2", "db"), long)]}
    assert [row["state"] for row in rows(Server(vms, down))] == ["running", "running"]


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), 1e300])
def test_what_cannot_be_a_size_is_unknown(value):
    """Stops an exporter's nonsense from being stored as a size, or from failing the tenant's day."""
    series = {VCPUS: [(machine(), {**always(2), **always(value, 100)})], MEMORY: [(machine(), always(value))],
              STATE: [(machine(), always(value))]}  # fmt: skip
    assert told(Server(ONE, series)) == [("v1", -HOUR, 2.0), ("v1", 100, None)]
    assert {row["memory_bytes"] for row in rows(Server(ONE, series))} == {None}


def test_states_are_libvirts_codes():
    values = {step: step for step in range(8)}
    found = told(Server(ONE, {STATE: [(machine(), values)]}), "state")
    assert found == [("v1", 0, None), ("v1", 1, "running"), ("v1", 5, "stopped"), ("v1", 7, "running")]


def test_a_move_is_told_and_the_series_that_was_left_is_not_believed():
    """Stops the frozen series of the old node from keeping a VM there."""
    series = {VCPUS: [(machine(node_id="n1"), always(4)), (machine(node_id="n2"), always(8, 100))]}
    found = rows(Server([("acme", "v1", "web", "n1"), ("acme", "v1", "web", "n2")], series))
    assert [((r["valid_from_ms"] - START) // STEP, r["node_id"], r["vcpus"]) for r in found] == [
        (-HOUR, "n1", 4.0),
        (100, "n2", 8.0),
    ]


def test_only_the_tenants_machines_are_listed():
    """Stops another tenant's machine from being listed, by tenant label, by id or by a name both use."""
    series = {
        VCPUS: [
            (machine("v1", "a"), always(1)),
            (machine("x", "db"), always(2)),
            (machine("y", "shared"), always(3)),
            (machine("v1", "a", tenant_id="globex"), always(4)),
            (machine("z", "web", tenant_id="globex"), always(5)),
            (machine("new", "new", tenant_id="acme"), always(6)),
            (machine("g1", "g"), always(7)),
            (machine("stranger", "stranger"), always(8)),
        ]
    }
    vms = [*ONE, ("acme", "v2", "db"), ("acme", "v3", "shared"), ("globex", "g1", "g"), ("globex", "g3", "shared")]
    assert told(Server(vms, series)) == [("new", -HOUR, 6.0), ("v1", -HOUR, 1.0), ("v2", -HOUR, 2.0)]
    assert [row[0] for row in told(Server(vms, series), tenant="globex")] == ["g1", "v1", "z"]
    operators = {VCPUS: [(machine(tenant_id="platform"), always(1))]}
    assert rows(Server(vms, operators), "platform") == []
    assert rows(Server(vms, series), "nobody") == rows(Server(vms, series), "platform") == []


def test_a_server_that_ignores_the_tenant_shows_nobody_elses():
    """Stops a proxy that drops a matcher from handing one tenant the VMs of all."""
    server = Server([*ONE, ("globex", "g1", "g")], {VCPUS: [(machine("v1"), always(1)), (machine("g1"), always(2))]})
    server._vms = lambda expr: server.vms
    assert [row[0] for row in told(server)] == ["v1"]


def test_nothing_known_is_an_empty_table():
    assert rows(Server()) == rows(Server(ONE)) == rows(Server(ONE, {VCPUS: [(machine("x", "x"), always(1))]})) == []
    server = Server(ONE, {VCPUS: [(machine(), always(1))]})
    assert rows(server, start_ms=END, end_ms=END) == server.asked == []


@pytest.mark.parametrize("where", ["sizes", "vms"])
def test_a_warning_makes_the_answer_incomplete(where):
    """Stops VMs that a broken backend left out from being recorded as not there."""
    server = Server(ONE, {VCPUS: [(machine(), always(1))]}, warnings=["remote_read: error\nsending"])
    if where == "vms":
        original = server.range_query
        server.range_query = lambda *given: Range(list(original(*given)), ("remote_read: error\nsending",))
    with pytest.raises(TransientFailure, match=r"warns: 'remote_read: error\\nsending'\. VMs may be missing"):
        rows(server)


def test_too_much_is_asked_for_in_parts():
    """Stops a large tenant from failing, and points at a seam from being lost or doubled."""
    series = {VCPUS: [(machine(), {**always(2), **always(4, 100)})]}
    whole = rows(Server(ONE, series))
    small = Server(ONE, series, too_much_above=7)
    assert rows(small) == whole
    with pytest.raises(TooMuch):
        rows(Server(ONE, series, too_much_above=0.5))
    moved = {VCPUS: [(machine(node_id="z"), always(4)), (machine(node_id="a"), always(8, 100))]}
    vms = [("acme", "v1", "web", "z"), ("acme", "v1", "web", "a")]
    assert rows(Server(vms, moved, too_much_above=7)) == rows(Server(vms, moved))


def test_many_vms_are_named_in_parts():
    """Stops a query longer than a server takes."""
    vms = [("acme", f"{number:08d}-aaaa-bbbb-cccc-dddddddddddd", f"vm.{number}") for number in range(1000)]
    series = {VCPUS: [(machine(vm[1], vm[2]), {0: 2, 1: 2}) for vm in vms]}
    server = Server(vms, series)
    assert len(rows(server)) == 1000
    queries = [query for query, _, _ in server.asked if VCPUS in query]
    assert 4 < len(queries) < 20
    assert max(map(len, queries)) < 16_384
    assert all(sum(f"vm\\\\.{number}|" in query + "|" for query in queries) <= 1 for number in range(0, 1000, 99))


def test_placeholders_are_filled_in_and_stay_in_their_quotes():
    """Stops a VM's name from changing the query, and a dot in a tenant's id from matching other tenants."""
    evil = 'x"} or vector(1) #'
    server = Server([("a.b", "v.1|", evil)], {"size": [(machine("v.1|", "d"), always(1))]})
    query = 'size{tenant_id="$tenant"} or size{uuid=~"$vm_ids"} or size{domain=~"$vm_names"} or up{x="$vm_idsx"}'
    assert len(rows(server, "a.b", queries={"vcpus": query})) == 1
    asked = next(given for given, _, _ in server.asked if given.startswith("size"))
    assert asked == (
        'size{tenant_id="a.b"} or size{uuid=~"v\\\\.1\\\\|"} or '
        'size{domain=~"x\\"\\\\} or vector\\\\(1\\\\) #"} or up{x="$vm_idsx"}'
    )
    empty = Server([], {"size": []})
    rows(empty, "acme", queries={"vcpus": query})
    assert 'uuid=~"\\\\x00"' in empty.asked[-1][0]


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        ({}, "inventory_queries is empty"),
        ({"cores": "x"}, "'cores' is no column that a query can fill"),
        ({"vcpus": "  "}, "vcpus is empty"),
        ({"vcpus": 'x{tenant_id=~"$tenant"}'}, "a dot in a tenant's id would match other tenants"),
        ({"vcpus": 'x{tenant_id!~"(a|$tenant)"}'}, "a dot in a tenant's id"),
        ({"vcpus": 'x{uuid="$vm_ids"}'}, "other than a whole regular expression"),
        ({"vcpus": 'x{uuid=~"a|$vm_ids"}'}, "other than a whole regular expression"),
    ],
)
def test_wrong_queries_are_refused_at_once(queries, message):
    with pytest.raises(InvalidInput, match=message):
        InventoryQueries(Server(), queries)


def test_wrong_numbers_and_labels_are_refused():
    with pytest.raises(InvalidInput, match="at least 1 s"):
        InventoryQueries(Server(), step_seconds=0)
    with pytest.raises(InvalidInput, match="no lookback below 0"):
        InventoryQueries(Server(), lookback_seconds=-1)
    with pytest.raises(InvalidInput, match="'a-b' is no name of a label"):
        Labels(uuid="a-b")
    with pytest.raises(InvalidInput, match="not a tenant id"):
        rows(Server(), 'a"} or x{')


def test_series_of_nobody_are_refused():
    """Stops a query that lost its labels from being an empty inventory."""
    with pytest.raises(InvalidInput, match=r"gives series without the labels uuid and domain.*by \(uuid\)"):
        rows(Server(ONE, {"x": [({}, always(1))]}), queries={"vcpus": "sum(x)"})
    theirs = [({"tenant_id": "globex"}, always(1))]
    assert rows(Server(ONE, {"x": theirs}), queries={"vcpus": "x"}) == []
    other = Labels(uuid="id", name="instance_name")
    server = Server(ONE, {"x": [({"id": "v1"}, always(3))]})
    assert told(server, queries={"vcpus": "x"}, labels=other) == [("v1", -HOUR, 3.0)]


def test_several_values_of_a_machine_at_once_are_refused():
    """Stops one of a machine's disks from being taken for all of them."""
    disks = [(machine(target_device=name), always(100e9)) for name in ("vda", "vdb")]
    with pytest.raises(
        InvalidInput, match=r"gives 2 values of machine 'v1' at once.*vda.*vdb.*sum by \(uuid, domain\)"
    ):
        rows(Server(ONE, {"x": disks}), queries={"disk_bytes": "x"})
    twice = [(machine(instance=f"h{number}", job="j"), always(100e9)) for number in (1, 2)]
    assert rows(Server(ONE, {"x": twice}), queries={"disk_bytes": "x"})[0]["disk_bytes"] == 100_000_000_000
    renamed = [(machine(flavor="s"), always(1e9, end=101)), (machine(flavor="l"), always(2e9, 100))]
    found = rows(Server(ONE, {"x": renamed}), queries={"disk_bytes": "x"})
    assert [(row["flavor"], row["disk_bytes"]) for row in found] == [("s", 1_000_000_000), ("l", 2_000_000_000)]


REPLICAS = [(machine(replica=name), always(4)) for name in "ab"]


@pytest.mark.parametrize("queries", [None, {"vcpus": VCPUS}])
def test_equal_values_of_replicas_are_one(queries):
    """Stops a highly available pair of servers from breaking every inventory."""
    assert told(Server(ONE, {VCPUS: REPLICAS}), queries=queries) == [("v1", -HOUR, 4.0)]
    late = [(machine(prometheus_replica="a"), {**always(4), **always(8, 100)}),
            (machine(prometheus_replica="b"), {**always(4), **always(8, 104), 50: float("nan")})]  # fmt: skip
    found = told(Server(ONE, {VCPUS: late}), queries=queries)
    assert found == told(Server(ONE, {VCPUS: late[::-1]}), queries=queries)
    assert (found[0], found[-1][2]) == (("v1", -HOUR, 4.0), 8.0)


def test_equal_values_of_the_exporters_own_metrics_are_one_whatever_label_tells_them_apart():
    """Stops a label that somebody added for his servers from being taken for parts of a machine."""
    twice = [(machine(monitor=name), always(4)) for name in ("main", "spare")]
    assert told(Server(ONE, {VCPUS: twice})) == [("v1", -HOUR, 4.0)]
    with pytest.raises(InvalidInput, match=r"`sum by \(uuid, domain\)` if they are parts.* or `max by"):
        told(Server(ONE, {VCPUS: twice}), queries={"vcpus": VCPUS})


@pytest.mark.parametrize("queries", [None, {"vcpus": VCPUS}])
def test_replicas_that_disagree_are_refused_without_the_advice_to_add_them_up(queries):
    """Stops advice that doubles the vCPUs of every VM."""
    apart = [(machine(replica="a"), always(4)), (machine(replica="b"), always(8))]
    with pytest.raises(InvalidInput, match=r"replica=a.*replica=b.*`max by \(uuid, domain\)`") as caught:
        told(Server(ONE, {VCPUS: apart}), queries=queries)
    assert "sum" not in str(caught.value).partition("Make one of them")[2]


def test_the_order_of_the_series_decides_nothing():
    """Stops a server's order, which may change, from changing what a day's inventory is."""
    series = [(machine(node_id=node), always(value, begin)) for node, value, begin in (("n1", 4, 0), ("n2", 8, 0))]
    vms = [("acme", "v1", "web", "n1"), ("acme", "v1", "web", "n2")]
    assert rows(Server(vms, {VCPUS: series})) == rows(Server(vms[::-1], {VCPUS: series[::-1]}))


def test_the_default_queries_ask_for_no_more_than_one_tenants_machines():
    """Stops queries for everybody's machines, and labels that are set from being left out of the queries."""
    for query in libvirt_queries(Labels()).values():
        assert re.findall(r"\{([^}]*)\}", query) == ['tenant_id="$tenant"', 'uuid=~"$vm_ids"', 'domain=~"$vm_names"']
    for query in libvirt_queries(Labels(uuid="vm_id", name="n", tenant="t")).values():
        assert re.findall(r"\{([^}]*)\}", query) == ['t="$tenant"', 'vm_id=~"$vm_ids"', 'n=~"$vm_names"']
