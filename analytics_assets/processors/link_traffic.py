"""What the nodes' interfaces moved and how the links between nodes bear it: the platform's rows of `network_traffic`.

An interface has a rate for each direction. A link, in one direction from its source to its target,
has a histogram of latencies and the share of packets lost; how much it carries nobody measures.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.coverage import presence
from analytics_assets.kernels.gridding import LEAD_IN_MS, Gridded, grid
from analytics_assets.kernels.histogram import Distributions, histogram
from analytics_assets.processors.entity_id import entity_id
from analytics_assets.processors.sampled import absent, add_presence, presence_of_latency
from analytics_assets.processors.traffic_rows import (
    DIRECTIONS,
    NUMBER,
    Moved,
    TrafficRows,
    codes_of,
    number_of,
    numbered,
    untidy,
)
from resources.monitoring.source import MetricSource, SeriesBatch
from resources.partition import Partition

BANDWIDTH = "novacron_network_bandwidth_bytes_per_second"
LATENCY = "novacron_network_latency_seconds"
LOSS = "novacron_network_packet_loss_rate"

QUANTILES = {"latency_seconds_p50": 0.5, "latency_seconds_p95": 0.95, "latency_seconds_p99": 0.99}

DIRECTION_WORDS = {
    **dict.fromkeys(("receive", "rx", "in", "ingress"), "receive"),
    **dict.fromkeys(("transmit", "tx", "out", "egress"), "transmit"),
}

Pair = tuple[str, str]
"""Node and interface, or source and target."""


@dataclass
class LinkTraffic:
    """What was read of the platform's network. The entities of the pieces number `interfaces` and `links`.

    `unknown_directions` and `impossible_losses` count series and samples that were left out,
    `unnamed` the series that lack a label that names what they measure.
    """

    interfaces: dict[Pair, int] = field(default_factory=dict)
    links: dict[Pair, int] = field(default_factory=dict)
    bandwidth: dict[str, list[Gridded]] = field(default_factory=dict)
    loss: list[Gridded] = field(default_factory=list)
    latency: Distributions | None = None
    unknown_directions: dict[str, int] = field(default_factory=dict)
    impossible_losses: int = 0
    unnamed: int = 0

    @property
    def all_pieces(self) -> list[Gridded]:
        return [piece for pieces in (*self.bandwidth.values(), self.loss) for piece in pieces]

    @property
    def untidy(self) -> dict[str, int]:
        """What was not as it should be, counted."""
        found = untidy(self.all_pieces)
        if self.latency is not None:
            flaws = self.latency.flaws
            found["late_samples"] += flaws.late
            found["repeated_samples"] += flaws.repeated
            found["not_finite_samples"] += flaws.not_finite
            found["refused_samples"] += flaws.refused
            found["stale_markers"] += flaws.stale
        return found

    @property
    def last_ts_ms(self) -> int:
        """When the last sample was taken; -1 without any."""
        latency = self.latency.last_ts_ms if self.latency is not None else -1
        return max([latency, *(piece.last_ts_ms for piece in self.all_pieces)])


def read_links(source: MetricSource, partition: Partition, resolution_seconds: int) -> LinkTraffic:
    """Read one day of the interfaces and links of all nodes."""
    found = LinkTraffic()
    start_ms, end_ms, step_ms = partition.start_ms, partition.end_ms, resolution_seconds * 1000
    for batch in source.samples(partition.tenant, [BANDWIDTH], start_ms - LEAD_IN_MS, end_ms):
        for labels in batch.labels:
            word = labels.get("direction", "")
            if word.lower() not in DIRECTION_WORDS:
                found.unknown_directions[word] = found.unknown_directions.get(word, 0) + 1
        for way in DIRECTIONS:
            of_way = _towards(batch, way)
            numbers = _numbers(found, found.interfaces, of_way, ("node_id", "interface"))
            piece = grid(numbered(of_way, numbers), "gauge", start_ms, end_ms, step_ms, NUMBER, "", minimum=0)
            found.bandwidth.setdefault(way, []).append(piece)
    for read in source.samples(partition.tenant, [LOSS], start_ms - LEAD_IN_MS, end_ms):
        # What is above 1 is no share: refused as what is below 0 is.
        batch = replace(read, values=np.where(np.isfinite(read.values) & (read.values > 1), -1.0, read.values))
        numbers = _numbers(found, found.links, batch, ("source_node", "target_node"))
        found.loss.append(grid(numbered(batch, numbers), "gauge", start_ms, end_ms, step_ms, NUMBER, "", minimum=0))
        found.impossible_losses += found.loss[-1].out_of_range
    names = [f"{LATENCY}_{part}" for part in ("bucket", "sum", "count")]
    found.latency = histogram(
        source.samples(partition.tenant, names, start_ms - LEAD_IN_MS, end_ms),
        LATENCY, ("source_node", "target_node"), start_ms, end_ms, step_ms, tuple(QUANTILES.values()),
    )  # fmt: skip
    found.unnamed += found.latency.flaws.unlabelled
    for source_node, target_node in found.latency.entities:
        found.links.setdefault((source_node, target_node), len(found.links))
    return found


def _towards(batch: SeriesBatch, way: str) -> SeriesBatch:
    return batch.where(lambda labels: DIRECTION_WORDS.get(labels.get("direction", "").lower()) == way)


def _numbers(found: LinkTraffic, known: dict[Pair, int], batch: SeriesBatch, names: Pair) -> list[int]:
    """Return the number of the entity of each series of `batch`, -1 where a label that names it is missing."""
    numbers = []
    for labels in batch.labels:
        pair = (labels.get(names[0], ""), labels.get(names[1], ""))
        if all(pair):
            numbers.append(known.setdefault(pair, len(known)))
        else:
            found.unnamed += 1
            numbers.append(-1)
    return numbers


def interface_rows(
    found: LinkTraffic, partition: Partition, resolution_seconds: int, known_interval_seconds: int | None
) -> TrafficRows:
    """Return a row for each interface and bucket; as `vm_rows`."""
    pairs, position = _in_order(found.interfaces, "/")
    nodes = sorted({node for node, _ in found.interfaces})
    node_of = codes_of([node for node, _ in pairs.values()], {node: number for number, node in enumerate(nodes)})
    moved = Moved(len(pairs), partition, resolution_seconds)
    for way, pieces in found.bandwidth.items():
        for piece in pieces:
            moved.add_rate(way, piece, position[number_of(piece)], codes_of((), {}), known_interval_seconds)
    at = np.flatnonzero(moved.seen)
    entity = at // moved.buckets
    return TrafficRows(
        kind="interface",
        labels={"entity_id": list(pairs), "interface": [interface for _, interface in pairs.values()]},
        nodes=nodes,
        entity=entity,
        bucket=at % moved.buckets,
        node=node_of[entity],
        values={name: values[at] for name, values in moved.values.items()},
        doubtful=moved.doubtful[at],
        seen=moved.seen[at],
        expected=moved.in_bucket[entity],
        present=list(moved.present.values()),
    )


def link_rows(
    found: LinkTraffic, partition: Partition, resolution_seconds: int, known_interval_seconds: int | None
) -> TrafficRows:
    """Return a row for each link and bucket; as `vm_rows`."""
    pairs, position = _in_order(found.links, "->")
    buckets = 86_400 // resolution_seconds
    size = len(pairs) * buckets
    values = {name: np.full(size, np.nan) for name in _LINK_COLUMNS}
    seen, doubtful = np.zeros(size, np.int64), np.zeros(size, bool)
    lost, timed, resolution_ms = absent(len(pairs)), absent(len(pairs)), resolution_seconds * 1000

    for piece in found.loss:
        codes = position[number_of(piece)]
        cell = codes[piece.entity] * buckets + piece.bucket
        values["packet_loss_rate_mean"][cell], values["packet_loss_rate_max"][cell] = piece.mean, piece.maximum
        seen[cell] += piece.samples
        add_presence(lost, codes, presence(piece, partition.start_ms, resolution_ms, known_interval_seconds))

    latency = found.latency
    if latency is not None and len(latency.entity):
        codes = np.array([position[found.links[_pair(entity)]] for entity in latency.entities], np.int64)
        cell = codes[latency.entity] * buckets + latency.bucket
        values["latency_seconds_mean"][cell] = latency.mean
        values["latency_observations"][cell] = latency.count
        for place, name in enumerate(QUANTILES):
            values[name][cell] = latency.quantiles[:, place]
        seen[cell] += latency.samples
        doubtful[cell] |= latency.doubtful
        add_presence(timed, codes, presence_of_latency(latency, known_interval_seconds))

    at = np.flatnonzero(seen)
    entity = at // buckets
    unknown = np.full(len(at), np.nan)
    return TrafficRows(
        kind="link",
        labels={
            "entity_id": list(pairs),
            "source_node": [source for source, _ in pairs.values()],
            "target_node": [target for _, target in pairs.values()],
        },
        nodes=(),
        entity=entity,
        bucket=at % buckets,
        node=np.full(len(at), -1, np.int64),
        values={**{f"{way}_bytes{what}": unknown for way in DIRECTIONS for what in ("", *_RATES)}}
        | {name: column[at] for name, column in values.items()},
        doubtful=doubtful[at],
        seen=seen[at],
        expected=(lost.in_bucket(resolution_ms) + timed.in_bucket(resolution_ms))[entity],
        present=[lost, timed],
    )


_RATES = ("_per_second_mean", "_per_second_max")
_LINK_COLUMNS = (
    "packet_loss_rate_mean", "packet_loss_rate_max", "latency_seconds_mean", "latency_observations", *QUANTILES,
)  # fmt: skip


def _pair(entity: tuple[str, ...]) -> Pair:
    return entity[0], entity[1]


def _in_order(known: dict[Pair, int], separator: str) -> tuple[dict[str, Pair], NDArray[np.int64]]:
    """Return the pairs by their id, in order of the ids, and the position of each number there."""
    ids = {entity_id(pair, separator): pair for pair in known}
    pairs = {name: ids[name] for name in sorted(ids)}
    position = np.full(max(1, len(known)), -1, np.int64)
    for place, pair in enumerate(pairs.values()):
        position[known[pair]] = place
    return pairs, position
