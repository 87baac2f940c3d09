"""Sizes and placements from what a VM manager's exporter reports to Prometheus or VictoriaMetrics.

The queries that are asked unless others are set fit prometheus-libvirt-exporter, as Debian has it:
`libvirt_domain_info_virtual_cpus`, `..._maximum_memory_bytes` and `libvirt_domain_state_code`. It
reports no disk sizes and leaves out machines that are shut off. Another exporter that has them:

    disk_bytes = sum by (uuid, domain) (libvirt_domain_block_stats_capacity_bytes)
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from resources.errors import InvalidInput
from resources.inventory.answers import Series, alternatives, joined, whole_answer
from resources.inventory.history import GONE_STEPS, Observed, vm_rows
from resources.inventory.membership import Machine, TenantVm, TenantVms, VmsInMetrics, attribute, portions
from resources.inventory.rows import VmRow, held_in, to_table
from resources.monitoring.selector import quoted
from resources.monitoring.server.api import PrometheusApi
from resources.monitoring.server.failures import shown
from resources.partition import PLATFORM, check_tenant

QUERIED = ("vcpus", "memory_bytes", "disk_bytes", "state")
"""Columns that a query can fill; a state is libvirt's code: 5 and 6 are stopped, 1 to 4 and 7 running."""

LIBVIRT_METRICS = {
    "vcpus": "libvirt_domain_info_virtual_cpus",
    "memory_bytes": "libvirt_domain_info_maximum_memory_bytes",
    "state": "libvirt_domain_state_code",
}
"""Column -> metric of Debian's prometheus-libvirt-exporter."""

STEP_SECONDS = 300
"""How often a server is asked for what held, unless it is set."""

_OF_THE_SCRAPE = frozenset({"__name__", "instance", "job"})
"""Labels that say who reported a machine, not what of it."""

_REPLICA = re.compile("replica")
"""Names of labels that tell apart servers which scrape the same, such as `replica` and `prometheus_replica`."""

Kind = tuple[tuple[str, str], ...]
"""Labels of a series that say what of a machine it is."""

_PLACEHOLDER = re.compile(r"\$(tenant|vm_ids|vm_names)\b")
_LISTED = re.compile(r'=~\s*"\$(vm_ids|vm_names)"')
_TENANT_AS_EXPRESSION = re.compile(r"""[=!]~\s*("[^"]*\$tenant\b|'[^']*\$tenant\b|`[^`]*\$tenant\b)""")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True)
class Labels:
    """Which label of a query's series holds what; those that a series lacks are unknown."""

    uuid: str = "uuid"
    name: str = "domain"
    node_id: str = "node_id"
    tenant: str = "tenant_id"
    flavor: str = "flavor"

    def __post_init__(self) -> None:
        for name in (self.uuid, self.name, self.node_id, self.tenant, self.flavor):
            if not _LABEL.fullmatch(name):
                raise InvalidInput(f"{shown(name)} is no name of a label: letters, digits and _, not a digit first.")

    def machine(self, labels: Mapping[str, str]) -> Machine:
        """Return what the labels of a series say of which machine it is."""
        return Machine(*(labels.get(label, "") for label in (self.uuid, self.name, self.node_id, self.tenant)))


def libvirt_queries(labels: Labels) -> dict[str, str]:
    """Return queries for what libvirt's exporter shows, that ask for the machines of one tenant only."""
    conditions = (f'{labels.tenant}="$tenant"', f'{labels.uuid}=~"$vm_ids"', f'{labels.name}=~"$vm_names"')
    return {
        column: " or ".join(f"{metric}{{{condition}}}" for condition in conditions)
        for column, metric in LIBVIRT_METRICS.items()
    }


@dataclass(frozen=True)
class InventoryQueries:
    """Queries to a metrics server as an `InventorySource`.

    `queries` are PromQL, by the column of the inventory that they fill (`QUERIED`), `libvirt_queries`
    if there are none; their series must carry the machine's UUID or its name. In them `$tenant`
    stands for the tenant's id, for use as in `tenant_id="$tenant"`; `$vm_ids` and `$vm_names` for the
    tenant's VMs, for use as in `uuid=~"$vm_ids"`, so that the server need not send the machines of
    everybody. Whose a machine is, is decided by its tenant label where it has one (which is
    believed: do not add it for all), else by `vms`, as `attribute` says; the rest is dropped.

    Each query is evaluated every `step_seconds` over the window and the `lookback_seconds` before it.
    A change counts from the step that shows it. A value holds until another one comes; a
    machine that is no longer shown while others are has an unknown state.

    Raises:
        InvalidInput: a column, a placeholder, a label or a number cannot be.
    """

    api: PrometheusApi
    queries: Mapping[str, str] | None = None
    labels: Labels = Labels()
    vms: TenantVms | None = None
    step_seconds: int = STEP_SECONDS
    lookback_seconds: int = 3600
    kind: str = "prometheus"

    def __post_init__(self) -> None:
        if self.queries is None:
            object.__setattr__(self, "queries", libvirt_queries(self.labels))
        if not self._queries:
            raise InvalidInput("inventory_queries is empty. Name at least one query, or leave the setting out.")
        for column, query in self._queries.items():
            _check_query(column, query)
        if self.step_seconds < 1 or self.lookback_seconds < 0:
            raise InvalidInput(
                f"the inventory is asked for every {self.step_seconds} s from {self.lookback_seconds} s before a "
                "window on. Give a step of at least 1 s, and no lookback below 0."
            )

    @property
    def _queries(self) -> Mapping[str, str]:
        return self.queries or {}

    def inventory(self, tenant: str, start_ms: int, end_ms: int) -> pa.Table:
        """Return what the exporter showed of the VMs of `tenant` in `[start_ms, end_ms)`, by `INVENTORY_SCHEMA`.

        No data is an empty table. The platform has no VMs of its own.

        Raises:
            InvalidInput: series of a query carry neither UUID nor name.
            TransientFailure: the server does not answer, or warns that data may be missing.
            PermanentFailure: the server refuses a query.
        """
        if check_tenant(tenant) == PLATFORM or start_ms >= end_ms:
            return to_table([])
        window = (start_ms - self.lookback_seconds * 1000, end_ms)
        members = self.vms or VmsInMetrics(self.api, step_seconds=min(STEP_SECONDS, self.step_seconds))
        known = list(members.vms(tenant, *window))
        answers = {column: self._answer(column, tenant, known, *window) for column in self._queries}
        machines = {self.labels.machine(labels) for series in answers.values() for labels, _, _ in series}
        owned = attribute(machines, tenant, known, lambda names: members.others(tenant, names, *window))
        return to_table(held_in(self._rows(answers, owned, known), start_ms, end_ms))

    def _answer(self, column: str, tenant: str, known: Sequence[TenantVm], start_ms: int, end_ms: int) -> list[Series]:
        """Return the series of one column's query that may be the tenant's."""
        found: list[Series] = []
        for query in _filled(self._queries[column], tenant, known):
            for series in whole_answer(self.api, query, start_ms, end_ms, self.step_seconds):
                machine = self.labels.machine(series[0])
                if machine.tenant not in ("", tenant):
                    continue
                if not machine.uuid and not machine.name:
                    raise InvalidInput(
                        f"inventory_queries: {column} = {shown(self._queries[column])} gives series without the labels "
                        f"{self.labels.uuid} and {self.labels.name}, so nobody knows which VM they are. "
                        f"Keep one of them, for example with `by ({self.labels.uuid})`."
                    )
                found.append(series)
        return joined(found)

    def _rows(
        self, answers: Mapping[str, Sequence[Series]], owned: Mapping[Machine, str], known: Sequence[TenantVm]
    ) -> Iterator[VmRow]:
        names = {vm.vm_id: vm.vm_name for vm in known}
        for column, series in answers.items():
            self._refuse_several(column, [one for one in series if self.labels.machine(one[0]) in owned])
        by_vm: dict[str, list[Observed]] = defaultdict(list)
        for column, series in answers.items():
            for labels, ts_ms, values in series:
                machine = self.labels.machine(labels)
                if machine in owned and len(ts_ms):
                    flavor = labels.get(self.labels.flavor, "")
                    by_vm[owned[machine]].append(Observed(column, machine, flavor, ts_ms, values))
        shown_at: list[NDArray[np.int64]] = [one.ts_ms for seen in by_vm.values() for one in seen]
        steps = np.unique(np.concatenate(shown_at)) if shown_at else np.empty(0, np.int64)
        for vm_id, seen in by_vm.items():
            yield from vm_rows(vm_id, names.get(vm_id, ""), seen, steps, self.step_seconds * 1000)

    def _refuse_several(self, column: str, series: Sequence[Series]) -> None:
        """Refuse a query with several values of a machine at once, such as one for each disk.

        Two exporters may report the same machine, and a label that changes makes another series: these are let pass.
        So are equal values of what can only be the same twice, as replicas of a server have it.
        """
        by_machine: dict[Machine, dict[Kind, list[Series]]] = {}
        for one in series:
            kind = tuple(sorted((name, value) for name, value in one[0].items() if name not in _OF_THE_SCRAPE))
            by_machine.setdefault(self.labels.machine(one[0]), {}).setdefault(kind, []).append(one)
        for machine, kinds in by_machine.items():
            if len(kinds) < 2:
                continue
            differing = {name for one, other in pairwise(kinds) for name, _ in set(one) ^ set(other)}
            replicas = all(_REPLICA.search(name) for name in differing)
            if _contradictions(kinds.values(), equal_is_one=replicas or self.queries == libvirt_queries(self.labels)):
                by = f"by ({self.labels.uuid}, {self.labels.name})"
                advice = f"take one of them with `max {by}`, as they are the same seen by several replicas"
                if not replicas:
                    advice = f"with `sum {by}` if they are parts, such as disks, or `max {by}` if each is the whole"
                first, second, *_ = (", ".join(f"{name}={value}" for name, value in kind) for kind in kinds)
                raise InvalidInput(
                    f"inventory_queries: {column} = {shown(self._queries[column])} gives {len(kinds)} values of "
                    f"machine {shown(machine.uuid or machine.name)} at once: {shown(first)} and {shown(second)}. "
                    f"Make one of them: {advice}."
                )


def _contradictions(kinds: Iterable[Sequence[Series]], equal_is_one: bool) -> bool:
    """Return whether several series say something of the same instants, for longer than a change takes to show.

    With `equal_is_one`, only what is not equal counts.
    """
    parts = []
    for same in kinds:
        ts_ms, first = np.unique(np.concatenate([ts for _, ts, _ in same]), return_index=True)
        parts.append((ts_ms, np.concatenate([values for _, _, values in same])[first]))
    values = np.nan_to_num(np.concatenate([values for _, values in parts]), nan=-1.0)
    said = np.stack([np.concatenate([ts for ts, _ in parts]), values])
    if equal_is_one:
        said = np.unique(said, axis=1)
    return int(said.shape[1]) - len(np.unique(said[0])) >= GONE_STEPS


def _check_query(column: str, query: str) -> None:
    if column not in QUERIED:
        raise InvalidInput(
            f"inventory_queries: {shown(column)} is no column that a query can fill. "
            f"The columns are: {', '.join(QUERIED)}."
        )
    if not query.strip():
        raise InvalidInput(f"inventory_queries: {column} is empty. Write PromQL, or leave the column out.")
    if _TENANT_AS_EXPRESSION.search(query):
        raise InvalidInput(
            f"inventory_queries: {column} uses $tenant in a regular expression, where a dot in a tenant's id would "
            'match other tenants. Write label="$tenant".'
        )
    lists = len(re.findall(r"\$vm_(?:ids|names)\b", query))
    if lists != len(_LISTED.findall(query)):
        raise InvalidInput(
            f"inventory_queries: {column} uses $vm_ids or $vm_names for other than a whole regular expression. "
            'Write label=~"$vm_ids".'
        )


def _filled(query: str, tenant: str, known: Sequence[TenantVm]) -> Iterator[str]:
    """Yield `query` with its placeholders filled in, once for each part of the tenant's VMs that fits into it."""
    ids = sorted({vm.vm_id for vm in known}) if "$vm_ids" in query else []
    names = sorted({vm.vm_name for vm in known if vm.vm_name}) if "$vm_names" in query else []
    asked: dict[str, None] = {}
    for part in portions([*ids, *names]) or [[]]:
        listed = set(part)
        values = {
            "tenant": quoted(tenant)[1:-1],
            "vm_ids": alternatives([vm_id for vm_id in ids if vm_id in listed]),
            "vm_names": alternatives([name for name in names if name in listed]),
        }
        asked[_substituted(query, values)] = None
    yield from asked


def _substituted(query: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: values[match.group(1)], query)
