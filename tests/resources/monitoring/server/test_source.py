"""The source over a server: whose series, how much at once, and whether that is all. The server is a fake here."""

from datetime import date

import numpy as np
import pytest

from resources.errors import InvalidInput, PermanentFailure, TransientFailure
from resources.lake.lake import Facts
from resources.monitoring.selector import NAME, Selector, parse_selector
from resources.monitoring.server.api import Instant, Values
from resources.monitoring.server.failures import TooMuch
from resources.monitoring.server.reader import RawSeries, Read
from resources.monitoring.server.source import Limits, ServerSource
from resources.monitoring.watched import WatchedSource
from resources.partition import PLATFORM, day_start_ms

START = day_start_ms(date(2026, 1, 1))
MINUTE = 60_000
END = START + 60 * MINUTE
CPU, MEMORY = "novacron_vm_cpu_usage_percent", "novacron_vm_memory_usage_bytes"


class Server:
    """Series by labels (with the name) -> [(ts, value)]; refuses answers of more than `most` samples."""

    def __init__(self, series, most=10**9, warnings=()):
        self.series = series
        self.most = most
        self.warnings = warnings
        self.asked: list[tuple[str, int, int]] = []
        self.ignores_labels = False

    def read(self, selector: Selector, start_ms: int, end_ms: int) -> Read:
        self.asked.append((str(selector), start_ms, end_ms))
        found = [
            (labels, [s for s in samples if start_ms <= s[0] < end_ms])
            for labels, samples in self.series
            if self.ignores_labels or selector.matches(labels[NAME], labels)
        ]
        found = [(labels, samples) for labels, samples in found if samples]
        if sum(len(samples) for _, samples in found) > self.most:
            raise TooMuch(f"{selector} would load too many samples")
        flat = [sample for _, samples in found for sample in samples]
        series = RawSeries(
            tuple(labels for labels, _ in found),
            np.r_[0, np.cumsum([len(samples) for _, samples in found])].astype(np.int64),
            np.array([ts for ts, _ in flat], np.int64),
            np.array([value for _, value in flat], np.float64),
        )
        return Read(series, "fake", tuple(self.warnings))

    def instant(self, query, at_ms) -> Instant:
        """Answer `count(SELECTOR)` as of the five minutes before."""
        selector = parse_selector(query.removeprefix("count(").removesuffix(")"))
        found = [
            labels
            for labels, samples in self.series
            if selector.matches(labels[NAME], labels) and any(at_ms - 5 * MINUTE < ts <= at_ms for ts, _ in samples)
        ]
        return Instant([({}, float(len(found)))] if found else [], at_ms)

    def label_values(self, label, selectors, start_ms, end_ms) -> Values:
        meant = [labels for labels, _ in self.series if any(s.matches(labels[NAME], labels) for s in selectors)]
        return Values(sorted({labels[label] for labels in meant if labels.get(label)}))


def source(server, **limits) -> ServerSource:
    return ServerSource("prometheus", "http://server", server, server, Limits(**limits), date(2026, 1, 1))


def vm(number, metric=CPU, tenant="acme", **labels):
    name = f"vm-{number:04d}"
    samples = [(START + minute * MINUTE + number, number * 1000.0 + minute) for minute in range(60)]
    return {NAME: metric, "vm_id": name, "tenant_id": tenant, **labels}, samples


def flat(batches):
    """Return {(metric, sorted labels): [(ts, value)]} and fail on a series that comes twice."""
    found = {}
    for batch in batches:
        for number, labels in enumerate(batch.labels):
            key = (batch.metric, tuple(sorted(labels.items())))
            assert key not in found, f"{key} came twice"
            span = slice(int(batch.offsets[number]), int(batch.offsets[number + 1]))
            found[key] = list(zip(batch.ts_ms[span].tolist(), batch.values[span].tolist(), strict=True))
    return found


def expected(series):
    return {
        (labels[NAME], tuple(sorted((k, v) for k, v in labels.items() if k != NAME))): samples
        for labels, samples in series
    }


@pytest.mark.parametrize("vms", [1, 5, 64, 65, 200])
@pytest.mark.parametrize("limits", [{}, {"chunk_samples": 1000}, {"chunk_samples": 1000, "concurrency": 4}])
def test_all_series_come_once_however_they_are_asked_for(vms, limits):
    """Stops a request's edge from losing or doubling VMs."""
    series = [vm(number, metric) for number in range(vms) for metric in (CPU, MEMORY)]
    found = flat(source(Server(series), **limits).samples("acme", [CPU, MEMORY], START, END))
    assert found == expected(series)


def test_a_vms_series_of_one_metric_are_in_one_batch():
    """Stops the two series of a migrated VM from being gridded apart, where neither knows of the other."""
    series = [vm(n, node_id=node) for n in range(300) for node in ("n1", "n2")]
    seen = []
    for batch in source(Server(series), chunk_samples=2000).samples("acme", [CPU], START, END):
        seen += sorted({labels["vm_id"] for labels in batch.labels})
    assert len(seen) == len(set(seen)) == 300


@pytest.mark.parametrize("most", [5000, 130, 61, 10])
def test_what_the_server_finds_too_much_is_cut_by_vms_and_then_by_time(most):
    """Stops a large tenant from being unreadable at the server's own limit, and a cut from losing samples."""
    series = [vm(number, metric) for number in range(70) for metric in (CPU, MEMORY)]
    server = Server(series, most)
    assert flat(source(server).samples("acme", [CPU, MEMORY], START, END)) == expected(series)
    windows = [(start, end) for _, start, end in server.asked]
    assert all(START <= start < end <= END for start, end in windows)


def test_what_cannot_be_cut_any_more_says_so():
    """Stops an endless halving."""
    labels, _ = vm(1)
    dense = [(labels, [(START + n, 1.0) for n in range(1000)])]
    with pytest.raises(PermanentFailure, match="as small as it gets"):
        flat(source(Server(dense, most=5)).samples("acme", [CPU], START, END))


def test_every_question_carries_the_tenant_and_only_its_series_come():
    """Stops one tenant's samples from being read, or stored, for another."""
    server = Server([vm(1), vm(2, tenant="globex"), ({NAME: CPU, "vm_id": "x"}, [(START, 1.0)])])
    batches = list(source(server).samples("acme", [CPU, f'{CPU}{{vm_id=~".*"}}'], START, END))
    assert {labels["tenant_id"] for batch in batches for labels in batch.labels} == {"acme"}
    assert server.asked
    assert all('tenant_id="acme"' in asked for asked, _, _ in server.asked)


def test_a_server_that_ignores_labels_is_found_out():
    """Stops a proxy without tenant support from giving one tenant everybody's samples."""
    server = Server([vm(1), vm(2, tenant="globex")])
    server.ignores_labels = True
    with pytest.raises(PermanentFailure, match=r"http://server: asked for .* answered with the series .*globex"):
        flat(source(server).samples("acme", [CPU], START, END))


def test_the_platform_gets_series_without_a_tenant_only():
    """Stops tenants' samples from flowing into tables of the platform."""
    node = ({NAME: "novacron_system_load_average", "node_id": "n1"}, [(START, 1.0)])
    stray = ({NAME: "novacron_system_load_average", "node_id": "n1", "tenant_id": "acme"}, [(START, 2.0)])
    found = flat(
        source(Server([node, stray, vm(1)])).samples(PLATFORM, ["novacron_system_load_average", CPU], START, END)
    )
    assert list(found.values()) == [[(START, 1.0)]]


def test_an_answer_with_warnings_is_not_whole():
    """Stops half a day, read while a remote store was down, from replacing a whole one."""
    server = Server([vm(1)], warnings=["remote_read: error sending request"])
    with pytest.raises(TransientFailure, match=r"not whole: .*error sending request.*SOURCE_PARTIAL_ANSWERS"):
        flat(source(server).samples("acme", [CPU], START, END))
    accepted = list(source(server, partial_answers="accept").samples("acme", [CPU], START, END))
    assert accepted[0].warnings == ("remote_read: error sending request",)


def test_nothing_with_a_warning_is_not_a_quiet_day():
    """Stops a day from being stored as empty, and whole, because all of it was in a store that did not answer."""
    server = Server([], warnings=["remote_read: error sending request"])
    watched = WatchedSource(source(server, partial_answers="accept"))
    batches = list(watched.samples("acme", [MEMORY, CPU], START, END))
    assert [(batch.metric, batch.labels, len(batch.ts_ms)) for batch in batches] == [(CPU, (), 0)]
    assert watched.completed(Facts()).warnings == ("remote_read: error sending request",)


def test_too_many_vms_are_refused_by_number():
    """Stops a million series of one tenant, made by a broken exporter, from filling the memory."""
    server = Server([vm(number) for number in range(30)])
    with pytest.raises(PermanentFailure, match="means 30 values of vm_id, more than source_max_entities = 20"):
        flat(source(server, max_entities=20).samples("acme", [CPU], START, END))
    assert server.asked == []


def test_too_many_series_that_name_nothing_are_refused_by_number():
    """Stops a million series that differ in a label of their own from being read at once."""
    server = Server([({**vm(1)[0], "vm_id": "", "pod": f"p{number}"}, vm(1)[1]) for number in range(30)])
    with pytest.raises(PermanentFailure, match="means 30 series at once that name no VM and no node, more than"):
        flat(source(server, max_entities=20).samples("acme", [CPU], START, END))
    assert server.asked == []
    assert len(flat(source(server, max_entities=30).samples("acme", [CPU], START, END))) == 30


@pytest.mark.parametrize("most", [10**9, 500, 70])
@pytest.mark.parametrize("vms", [0, 1, 2, 8, 9, 70])
def test_series_of_a_vm_of_a_node_and_of_neither_come_together(vms, most):
    """Stops series without a VM from being lost where what names VMs is asked for in parts."""
    counts = [
        ({NAME: "novacron_vm_count", "tenant_id": "acme", **labels}, [(START + n * MINUTE, 1.0) for n in range(60)])
        for labels in ({"node_id": "n1"}, {"node_id": "n2"}, {"status": "running"})
    ]
    series = [vm(number) for number in range(vms)] + counts
    found = flat(source(Server(series, most)).samples("acme", [CPU, "novacron_vm_count"], START, END))
    assert found == expected(series)


def test_a_large_platform_is_asked_for_by_node():
    """Stops all nodes of a cluster from being in memory at once, whatever source_chunk_samples says."""
    samples = [(START + second * 1000, float(second)) for second in range(0, 3600, 15)]
    series = [
        ({NAME: "node_cpu_seconds_total", "node_id": f"n{node}", "cpu": str(cpu)}, samples)
        for node in range(40)
        for cpu in range(4)
    ]
    server = Server(series)
    nodes_of = []
    for batch in source(server, chunk_samples=5000).samples(PLATFORM, ["node_cpu_seconds_total"], START, END):
        nodes_of.append({labels["node_id"] for labels in batch.labels})
        assert len(batch.ts_ms) <= 8 * 4 * 240
    assert sum(map(len, nodes_of)) == len(set().union(*nodes_of)) == 40
    assert max(map(len, nodes_of[1:])) == 5


def test_vms_of_other_days_do_not_make_the_requests_large():
    """Stops a thousand VMs at once because the first names that the server lists have no samples on this day."""
    long_gone = [({NAME: CPU, "vm_id": f"a-{n:04d}", "tenant_id": "acme"}, [(START - 10**7, 1.0)]) for n in range(300)]
    server = Server([*long_gone, *(vm(number) for number in range(200))])
    sizes = [len(batch.labels) for batch in source(server, chunk_samples=1200).samples("acme", [CPU], START, END)]
    assert sum(sizes) == 200
    # The first that has samples may be as large as what came before; those after it know better.
    assert max(sizes[1:]) <= 20


@pytest.mark.parametrize("window", [(START // 1000, END // 1000), (END, START), (START, 9_999_999_999_999)])
def test_impossible_windows_are_refused_before_anything_is_asked(window):
    """Stops seconds taken for milliseconds from giving an empty day that looks like an answer."""
    server = Server([vm(1)])
    with pytest.raises(InvalidInput):
        flat(source(server).samples("acme", [CPU], *window))
    assert server.asked == []


def test_labels_that_are_no_tenants_are_in_quarantine():
    """Stops a hostile label from becoming a folder, and the operator's id from being taken by a tenant."""
    hostile = ["Acme", "../../etc", "a|b", "x" * 64, "platform", "na me", "tenant\n"]
    server = Server([vm(number, tenant=tenant) for number, tenant in enumerate(["acme", "b.org", *hostile])])
    live = source(server)
    assert live.tenants() == ["acme", "b.org"]
    assert sorted(live.refused_tenants()) == sorted(hostile)
    server.series.append(({NAME: "node_load1", "instance": "n:9100"}, [(START, 1.0)]))
    assert live.tenants() == ["acme", "b.org", PLATFORM]


def test_a_failed_request_yields_nothing_more():
    """Stops a caller from taking what came before a failure for all there is."""
    series = [vm(number) for number in range(200)]

    class Fails(Server):
        def read(self, selector, start_ms, end_ms):
            if "vm-0199" in str(selector):
                raise TransientFailure("http://server went away")
            return super().read(selector, start_ms, end_ms)

    with pytest.raises(TransientFailure, match="went away"):
        flat(source(Fails(series), chunk_samples=1000, concurrency=3).samples("acme", [CPU], START, END))
