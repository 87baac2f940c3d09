"""Lists of a label's values: whole although the server limits them, or with a warning. The server is a fake here."""

from datetime import date

import pytest

from resources.errors import PermanentFailure
from resources.monitoring.selector import NAME, Selector, one_of, parse_selector
from resources.monitoring.server.api import Values
from resources.monitoring.server.failures import TooMuch
from resources.monitoring.server.listing import list_values
from resources.partition import DAY_MS, day_start_ms

START = day_start_ms(date(2026, 1, 1))
END = START + DAY_MS
METRICS = ["cpu", "memory", "disk"]
SELECTOR = Selector((one_of(NAME, METRICS),)).having(*parse_selector('x{tenant_id="acme"}').matchers[1:])


class Server:
    """Lists the VMs of each metric and day; at most `listed` of them, and of at most `series` series."""

    def __init__(self, vms, metrics=METRICS, days=1, listed=10**9, series=10**9):
        self.found = [(vm, metric, day) for vm in vms for metric in metrics for day in range(days)]
        self.listed = listed
        self.series = series
        self.asked = 0
        self.new: list[str] = []
        """VMs that appear with each further request."""

    def label_values(self, label, selectors, start_ms, end_ms) -> Values:
        self.asked += 1
        [selector] = selectors
        found = {
            (vm, metric)
            for vm, metric, day in self.found
            if selector.matches(metric, {label: vm, "tenant_id": "acme"})
            and start_ms < START + (day + 1) * DAY_MS
            and end_ms > START + day * DAY_MS
        }
        if self.new:
            self.found.append((self.new.pop(), METRICS[0], 0))
        if len(found) > self.series:
            raise TooMuch(f"the number of matching timeseries exceeds {self.series}.")
        return Values(sorted({vm for vm, _ in found})[: self.listed], (f"asked {label}",))


@pytest.mark.parametrize("count", [0, 1, 64, 65, 200])
@pytest.mark.parametrize("name", ["vm-{}", "{}\n{}", "same beginning {} ", "\n" * 70 + "{}", ".*{}", "{0:b}"])
def test_a_list_that_is_whole_is_taken(count, name):
    """Stops ids that look like expressions or hold line ends from making a whole list look cut."""
    vms = {name.format(number, number) for number in range(count)}
    server = Server(vms)
    assert list_values(server, "vm_id", SELECTOR, START, END) == Values(sorted(vms), ("asked vm_id",))
    assert server.asked == (1 if count <= 64 else 3)


@pytest.mark.parametrize("limit", [65, 66, 100, 199])
@pytest.mark.parametrize("name", ["vm-{}", "{}", "vm-{:08d}", "{:b}", "\n" * 70 + "{}", "{}\n"])
def test_a_list_that_is_cut_has_a_warning(limit, name):
    """Stops the VMs beyond a limit that a server does not speak of from being lost without a word."""
    vms = {name.format(number) for number in range(200)}
    found = list_values(Server(vms, listed=limit), "vm_id", SELECTOR, START, END)
    assert limit < len(found.values) <= 200
    assert set(found.values) <= vms
    assert found.warnings == (
        "asked vm_id",
        f"the server lists {limit} values of vm_id and has more; raise its limit, in VictoriaMetrics "
        "-search.maxTagValues",
    )


def test_a_vm_that_appears_while_the_list_is_asked_for_is_no_cut():
    """Stops a live server from being refused because it has a new VM."""
    server = Server([f"vm-{number:03d}" for number in range(100)])
    server.new = ["vm-zzz", "vm-yyy", "vm-xxx"]
    found = list_values(server, "vm_id", SELECTOR, START, END)
    assert {"vm-xxx", "vm-yyy"} <= set(found.values)
    assert found.warnings == ("asked vm_id",)


def test_what_is_too_much_is_asked_by_metric_and_then_by_day():
    """Stops the limit of a server on the series it looks through from hiding a large tenant, or the tenants at all."""
    vms = [f"vm-{number}" for number in range(50)]
    found = list_values(Server(vms, days=3, series=60), "vm_id", SELECTOR, START, START + 3 * DAY_MS)
    assert found == Values(sorted(vms), ("asked vm_id",))
    churning = Server([])
    churning.found = [(f"vm-{day}-{number}", "cpu", day) for day in range(9) for number in range(50)]
    found = list_values(churning, "vm_id", parse_selector("cpu"), START, START + 9 * DAY_MS)
    assert len(found.values) == 450


def test_what_cannot_be_cut_any_more_says_so():
    """Stops an endless halving, and advice that nobody can follow."""
    server = Server([f"vm-{number}" for number in range(50)], series=49)
    with pytest.raises(PermanentFailure, match=r"exceeds 49\. The request is already as small as .* Raise the server"):
        list_values(server, "vm_id", SELECTOR, START, START + 5 * DAY_MS)
    assert server.asked < 20
