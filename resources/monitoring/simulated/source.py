"""The simulated fleet as a source of samples and of sizes."""

from collections.abc import Collection, Iterator, Sequence
from datetime import date, timedelta
from functools import partial

import pyarrow as pa

from resources.errors import InvalidInput
from resources.inventory.source import INVENTORY_SCHEMA
from resources.monitoring.selector import NAME, parse_selector
from resources.monitoring.simulated.batching import Series, Wanted, batches
from resources.monitoring.simulated.clock import DAY_SECONDS, Clock
from resources.monitoring.simulated.counts import vm_counts
from resources.monitoring.simulated.fleet import nodes_in_rack, plan_vm, tenant_name
from resources.monitoring.simulated.links import Link, plan_links
from resources.monitoring.simulated.node_series import NodeSeries
from resources.monitoring.simulated.nodes import Node, outages_of, plan_nodes
from resources.monitoring.simulated.signals import Signals
from resources.monitoring.simulated.vm import NodeRef, Span, Vm
from resources.monitoring.simulated.vm_series import MEASURED, VmSeries
from resources.monitoring.source import SeriesBatch
from resources.partition import DAY_MS, PLATFORM

VM_COUNT = "novacron_vm_count"


class SimulatedFleet:
    """A NovaCron fleet that exists in numbers only; `MetricSource` and `InventorySource` in one.

    The same arguments give the same samples, whatever was asked before and however the window is
    cut. A tenant's data depend neither on how many tenants nor, but for the counts of its VMs, on
    how many more VMs there are; the platform's depend on all of them.
    VM counters are `..._bytes_total`, never the `..._per_second` gauges. A histogram is offered by
    the names that an exporter exposes: `..._bucket`, `..._sum` and `..._count`.

    Raises:
        InvalidInput: a count is below 1, or the interval does not divide a day.
    """

    kind = "simulated"

    def __init__(
        self, seed: int, tenants: int, vms_per_tenant: int, first_day: date, days: int, interval_seconds: int
    ) -> None:
        for name, value in (("tenants", tenants), ("vms_per_tenant", vms_per_tenant), ("days", days)):
            if value < 1:
                raise InvalidInput(f"{name} of the simulated fleet is {value}. Give at least 1.")
        if not 1 <= interval_seconds <= 300 or DAY_SECONDS % interval_seconds:
            raise InvalidInput(
                f"interval_seconds of the simulated fleet is {interval_seconds}. "
                "Give 1 to 300 seconds that divide a day evenly, such as 15, 60 or 300."
            )
        self.seed = seed
        self.vms_per_tenant = vms_per_tenant
        self.clock = Clock(first_day, days, interval_seconds)
        self.signals = Signals(seed, self.clock)
        self._positions = {tenant_name(position): position for position in range(tenants)}
        self._vms: dict[str, tuple[Vm, ...]] = {}
        self._nodes: list[Node] = []
        self._links: list[Link] = []
        self._vm_series = VmSeries(self.signals, self.outages)
        self._node_series: NodeSeries | None = None

    def tenants(self) -> list[str]:
        return [*self._positions, PLATFORM]

    def refused_tenants(self) -> dict[str, str]:
        return {}

    def extent(self, tenant: str) -> tuple[date, date] | None:
        if tenant != PLATFORM and not any(vm.running for vm in self.vms(tenant)):
            return None
        return self.clock.first_day, self.clock.first_day + timedelta(days=self.clock.days - 1)

    def has_passed(self, tenant: str, ts_ms: int) -> bool:
        return self.clock.start_ms + self.clock.days * DAY_MS >= ts_ms

    def sample_interval_seconds(self, tenant: str) -> int:
        return self.clock.interval_seconds

    def vms(self, tenant: str) -> tuple[Vm, ...]:
        """Return the plan of a tenant's VMs, none where there is no such tenant."""
        if tenant not in self._vms and tenant in self._positions:
            position = self._positions[tenant]
            self._vms[tenant] = tuple(
                plan_vm(self.seed, self.clock, position, number) for number in range(self.vms_per_tenant)
            )
        return self._vms.get(tenant, ())

    def nodes(self) -> list[Node]:
        """Return the plan of the nodes, each with its VMs of all tenants."""
        if not self._nodes:
            racks, per_rack = len(self._positions), nodes_in_rack(self.vms_per_tenant)
            everyone = (vm for tenant in self._positions for vm in self.vms(tenant))
            self._nodes = plan_nodes(self.seed, self.clock, racks, per_rack, everyone)
        return self._nodes

    def outages(self, node: NodeRef) -> tuple[Span, ...]:
        """Return when the exporter of `node` could not be read."""
        return outages_of(self.seed, self.clock, node)

    def links(self) -> list[Link]:
        """Return the plan of the links between the nodes."""
        if not self._links:
            self._links = plan_links(self.seed, self.clock, self.nodes())
        return self._links

    def samples(self, tenant: str, selectors: Sequence[str], start_ms: int, end_ms: int) -> Iterator[SeriesBatch]:
        """Yield the samples of `selectors` in `[start_ms, end_ms)`.

        Raises:
            InvalidInput: one of `selectors` is no selector.
        """
        offered = self._offered(tenant)
        for name, wanted in [meant for selector in selectors for meant in _meant(selector, offered)]:
            yield from batches(name, self._series(tenant, name, wanted, start_ms, end_ms))

    def _offered(self, tenant: str) -> Collection[str]:
        """Return the names of all metrics that there are series of for `tenant`."""
        if tenant == PLATFORM:
            return self._platform().metrics
        return (*MEASURED, VM_COUNT) if tenant in self._positions else ()

    def _platform(self) -> NodeSeries:
        if self._node_series is None:
            self._node_series = NodeSeries(self.signals, self.nodes(), self.links())
        return self._node_series

    def _series(
        self, tenant: str, name: str, wanted: Wanted | None, start_ms: int, end_ms: int
    ) -> Iterator[list[Series]]:
        if tenant == PLATFORM:
            return self._platform().of(name, wanted, start_ms, end_ms)
        if name == VM_COUNT:
            return vm_counts(self.seed, self.clock, tenant, self.vms(tenant), wanted, start_ms, end_ms)
        return self._vm_series.of(self.vms(tenant), MEASURED[name], wanted, start_ms, end_ms)

    def inventory(self, tenant: str, start_ms: int, end_ms: int) -> pa.Table:
        rows: list[dict[str, object]] = []
        for vm in self.vms(tenant):
            # The run's first instant is in both lists, so every instant has a size and a place.
            changes = sorted({start for start, _ in (*vm.flavors, *vm.placements)})
            ends = [*(self.clock.ms(index) for index in changes[1:]), None]
            for index, until in zip(changes, ends, strict=True):
                begin = self.clock.ms(index)
                if begin >= end_ms or (until is not None and until <= start_ms):
                    continue
                flavor = [flavor for start, flavor in vm.flavors if start <= index][-1]
                node = [node for start, node in vm.placements if start <= index][-1]
                rows.append(
                    {
                        "vm_id": vm.vm_id,
                        "valid_from_ms": begin,
                        "vm_name": vm.name,
                        "node_id": node.id,
                        "flavor": flavor.name,
                        "vcpus": float(flavor.vcpus),
                        "memory_bytes": flavor.memory_bytes,
                        "disk_bytes": flavor.disk_bytes,
                        "state": "running" if vm.running else "stopped",
                    }
                )
        return pa.Table.from_pylist(rows, schema=INVENTORY_SCHEMA)


def _meant(selector: str, offered: Collection[str]) -> Iterator[tuple[str, Wanted | None]]:
    """Yield the metrics out of `offered` that `selector` may mean, each with the test of its series, if any.

    A plain name needs no reading and no test.
    """
    if selector in offered:
        yield selector, None
        return
    parsed = parse_selector(selector)
    for name in offered:
        if all(matcher.matches(name) for matcher in parsed.matchers if matcher.label == NAME):
            yield name, partial(parsed.matches, name)
