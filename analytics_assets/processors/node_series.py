"""The series of nodes: whose they are, and what exporters give per CPU, or as a part of the whole, by node.

A node has a series for each CPU: at each instant their mean is its use. Where several servers scrape
a node, each sees all of its CPUs, and each makes a series of its own.
"""

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from analytics_assets.kernels.gridding import averaged_over_series
from analytics_assets.kernels.samples import IntArray, in_order
from resources.monitoring.source import SeriesBatch

LONGEST_STEP = 2.5
"""Over more intervals than these nobody knows when a CPU was idle, and its use is unknown."""


def by_node(batch: SeriesBatch, node_label: str, known: Collection[str]) -> SeriesBatch:
    """Return `batch` with every series' node under `node_id`, without series that name none."""

    def node_of(labels: dict[str, str]) -> str:
        if labels.get("node_id"):
            return labels["node_id"]
        name = labels.get(node_label, "")
        host, _, port = name.rpartition(":")
        return host if host in known and port.isdecimal() else name

    labels = tuple({**one, "node_id": node_of(one)} for one in batch.labels)
    return replace(batch, labels=labels).where(lambda one: bool(one["node_id"]))


def use_of_idle(idle: SeriesBatch) -> SeriesBatch:
    """Return the percentage of time that each CPU was not idle up to each sample of its idle seconds."""
    numbered = tuple({"series": f"{number:09d}"} for number in range(len(idle.labels)))
    samples = in_order(replace(idle, labels=numbered), 0, np.iinfo(np.int64).max, "series", "")
    count = len(samples.values)
    seconds, idled = np.ones(count), np.zeros(count)
    seconds[1:], idled[1:] = np.diff(samples.ts_ms) / 1000, np.diff(samples.values)
    known = np.ones(count, bool)
    known[samples.bounds[:-1]] = False
    # Across a restart nobody counted how long the CPU was idle.
    known &= (idled >= 0) & (seconds * 1000 <= LONGEST_STEP * samples.interval_ms[samples.series])
    before = np.r_[0, np.cumsum(known)]
    return replace(
        idle,
        labels=tuple(idle.labels[int(samples.entities[code])] for code in samples.entity),
        offsets=before[samples.bounds].astype(np.int64),
        ts_ms=samples.ts_ms[known],
        values=np.clip(100 * (1 - idled[known] / seconds[known]), 0, 100),
    )


def averaged_over_cpus(batch: SeriesBatch) -> SeriesBatch:
    """Return a series for each node and server that scrapes it: at each instant the mean of the CPUs it saw.

    A node that has a CPU more than once is scraped by several servers; what they see differs in other labels.
    """
    seen = Counter((labels["node_id"], labels.get("cpu", "")) for labels in batch.labels)
    shared = {node for (node, _), series in seen.items() if series > 1}

    def server(labels: dict[str, str]) -> str:
        node = labels["node_id"]
        others = {name: value for name, value in labels.items() if name != "cpu"} if node in shared else {}
        return json.dumps({**others, "node_id": node}, sort_keys=True)

    mean = averaged_over_series(
        replace(batch, labels=tuple({"server": server(labels)} for labels in batch.labels)), "server"
    )
    return replace(mean, labels=tuple(json.loads(labels["server"]) for labels in mean.labels))


def joined(batches: Sequence[SeriesBatch]) -> SeriesBatch:
    """Return one batch of all series: a node's may have come in several."""
    sizes = np.concatenate([np.diff(batch.offsets) for batch in batches])
    return SeriesBatch(
        batches[0].metric,
        tuple(labels for batch in batches for labels in batch.labels),
        np.r_[0, np.cumsum(sizes)].astype(np.int64),
        np.concatenate([batch.ts_ms for batch in batches]),
        np.concatenate([batch.values for batch in batches]),
    )


def memory_in_use(available: SeriesBatch, totals: Sequence[SeriesBatch]) -> SeriesBatch:
    """Return total minus available memory at the instants that have both, NaN at others."""
    nodes = sorted({labels["node_id"] for batch in (available, *totals) for labels in batch.labels})
    if not totals:
        return replace(available, values=np.full(len(available.values), np.nan))
    keys = np.concatenate([_instants(batch, nodes) for batch in totals])
    values = np.concatenate([np.where(np.isfinite(batch.values), batch.values, np.nan) for batch in totals])
    order = np.argsort(keys, kind="stable")
    keys, values = keys[order], values[order]
    wanted = _instants(available, nodes)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1) if len(keys) else np.zeros(len(wanted), np.int64)
    total = np.where(keys[at] == wanted, values[at], np.nan) if len(keys) else np.full(len(wanted), np.nan)
    # Arithmetic on the marker of a series' end, which is a signalling NaN, is an invalid operation.
    free = np.where(np.isfinite(available.values), available.values, np.nan)
    return replace(available, values=total - free)


def _instants(batch: SeriesBatch, nodes: list[str]) -> IntArray:
    """Return one number for the node and instant of each sample; times are below 2^44 ms."""
    code = {name: number for number, name in enumerate(nodes)}
    of_series = np.array([code[labels["node_id"]] for labels in batch.labels], np.int64)
    found: IntArray = (np.repeat(of_series, np.diff(batch.offsets)) << 44) + batch.ts_ms
    return found
