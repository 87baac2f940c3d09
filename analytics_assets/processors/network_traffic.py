"""Answers: who moved how many bytes, when, and how well did the network bear it?

For a tenant: each VM's traffic in each bucket of the grid, its share of what the tenant's VMs moved
(in all and on that node), its rank among them, how peaked and how one-sided it is, and packets
dropped. For the platform: the traffic of every node interface, and latency and loss of every link
between nodes; of these nothing is ever in a tenant's rows.

Method: bytes are the sum of the counters' increases whose later sample lies in the bucket. An
increase is never taken across series that count different things, a fall means that the counter
began again at zero, and the first one begins at the last sample of the hour before midnight. So the
days' sums are what the counters counted from their first sample to their last, but for one thing:
an increase that begins more than an hour before midnight and ends after it is in no day. A VM that
was not sampled for so long around midnight loses it, and nothing tells it from a new one, so the
number `counters_without_start` is of both. Where a source has only rates, a sample stands for the
seconds since the one before, at most two intervals, and its bytes too are of its own bucket.

So a bucket may hold bytes of more time than its own: after a gap (`doubtful`), or of a metric that
is sampled seldom. Whatever compares (shares, ranks, asymmetry, the day's peak and percentile) is
made of mean rates, which are true of the time that they cover; over a gap, whose course nobody
knows, the mean is the best guess, as it is to every poller of interface counters.
Latency is read from the histogram's bounds (`kernels/histogram.py`): a quantile is as sharp as they are.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from pydantic import Field

from analytics_assets.components import Component, Parameters, Result, SelectorText, Workplace
from analytics_assets.processors.link_traffic import LinkTraffic, interface_rows, link_rows, read_links
from analytics_assets.processors.sampled import as_of_ms, is_over
from analytics_assets.processors.traffic_rows import TrafficRows, as_table, summed_rate
from analytics_assets.processors.vm_traffic import RATES, VmTraffic, read_vms, vm_rows
from resources.lake.lake import Facts
from resources.lake.table import ENTITY, TIMESTAMP, Column, Table
from resources.partition import PLATFORM

KINDS = ("vm", "interface", "link")
SHOWN = 60
"""Characters of an id from outside that a note shows."""


def _moved(way: str, verb: str) -> tuple[Column, ...]:
    rate = f"{way}_bytes_per_second"
    return (
        Column(
            f"{rate}_mean", pa.float32(), f"{verb}: mean rate over the time that the bucket's samples cover",
            "bytes/s", True, 0,
        ),
        Column(f"{rate}_max", pa.float32(), f"{verb}: highest rate between two samples", "bytes/s", True, 0),
        Column(
            f"{way}_bytes", pa.float64(), f"{verb}, told by samples of the bucket: since the one before each, also "
            "over a gap; they add up", "bytes", True, 0,
        ),
    )  # fmt: skip


def _latency(which: str, how: str) -> Column:
    return Column(f"latency_seconds_{which}", pa.float32(), f"Latency of the link: {how}", "seconds", True, 0)


NETWORK_TRAFFIC = Table(
    "network_traffic",
    "the traffic of a VM, of a node's interface or of a link between two nodes in one bucket of the grid",
    (
        Column("entity_kind", ENTITY, "vm, or for the platform interface or link", values=KINDS),
        Column("entity_id", ENTITY, "VM, node/interface, or source->target (% / > inside a name as %25 %2F %3E)"),
        Column("ts", TIMESTAMP, "Start of the bucket, UTC"),
        Column("node_id", ENTITY, "Node the VM ran on, or whose interface it is", nullable=True),
        Column("interface", ENTITY, "The node's interface", nullable=True),
        Column("source_node", ENTITY, "Node the link leaves", nullable=True),
        Column("target_node", ENTITY, "Node the link reaches", nullable=True),
        *_moved("receive", "Received"),
        *_moved("transmit", "Sent"),
        Column(
            "share_of_tenant", pa.float32(), "Share of the sum of mean rates, both ways, of all entities of this kind "
            "with a row in the bucket; a rate over a gap is the gap's mean", nullable=True, minimum=0, maximum=1,
        ),
        Column("share_of_node", pa.float32(), "The same among those on the same node", "", True, 0, 1),
        Column("rank", pa.int32(), "1 has the bucket's highest mean rate, both ways; null if it is 0", "", True, 1),
        Column(
            "peak_to_mean", pa.float32(), "Highest rate over mean rate of the bucket, both ways; an upper bound",
            nullable=True, minimum=1,
        ),
        Column(
            "asymmetry", pa.float32(), "(received - sent) / both, of mean rates: -1 only sends, 1 only receives",
            nullable=True, minimum=-1, maximum=1,
        ),
        Column("drops_per_second", pa.float32(), "Packets dropped, both ways and all interfaces: mean", "1/s", True, 0),
        Column("latency_observations", pa.float64(), "Latencies observed on the link", nullable=True, minimum=0),
        _latency("mean", "mean of the bucket's observations"),
        _latency("p50", "median, read from the histogram's bounds"),
        _latency("p95", "95th percentile, read from the histogram's bounds"),
        _latency("p99", "99th percentile, read from the histogram's bounds"),
        Column("packet_loss_rate_mean", pa.float32(), "Share of packets lost on the link: mean", "", True, 0, 1),
        Column("packet_loss_rate_max", pa.float32(), "Share of packets lost on the link: highest", "", True, 0, 1),
        Column("doubtful", pa.bool_(), "Holds an increase over more than two intervals: when it happened is unknown"),
        Column("samples_seen", pa.int32(), "Samples in the bucket, those of drops apart", minimum=0),
        Column("samples_expected", pa.int32(), "Samples a complete bucket would have", minimum=0),
    ),
    primary_key=("entity_kind", "entity_id", "ts"),
    measured=True,
)  # fmt: skip


class NetworkTrafficParameters(Parameters):
    """What the day's summary says, and where packets dropped are counted."""

    top_talkers: int = Field(
        10, ge=1, le=100, description="How many of those that moved most the day's summary names, a count."
    )
    rate_percentile: float = Field(
        95.0,
        ge=50,
        le=100,
        description="Percentile over the day's buckets of the summed mean rate, for the day's summary, in percent.",
    )
    drop_metrics: tuple[SelectorText, ...] = Field(
        (
            "libvirt_domain_interface_stats_receive_drops_total",
            "libvirt_domain_interface_stats_transmit_drops_total",
        ),
        max_length=20,
        description="Selectors of the counters of dropped packets whose series carry vm_id, as PromQL writes them; "
        "empty for none.",
    )


def compute(workplace: Workplace, parameters: NetworkTrafficParameters) -> Result:
    """Collect the day's traffic and put it on the grid."""
    partition, resolution = workplace.partition, workplace.resolution_seconds
    interval = workplace.metrics.sample_interval_seconds(partition.tenant)
    if partition.tenant == PLATFORM:
        links = read_links(workplace.metrics, partition, resolution)
        made = [rows(links, partition, resolution, interval) for rows in (interface_rows, link_rows)]
        untidy, last, notes = links.untidy, links.last_ts_ms, platform_notes(links)
        nothing = "No node interface and no link sent a sample on this day."
    else:
        vms = read_vms(workplace.metrics, partition, resolution, parameters.drop_metrics)
        made = [vm_rows(vms, partition, resolution, interval)]
        untidy, last, notes = vms.untidy, vms.last_ts_ms, tenant_notes(vms, parameters.drop_metrics)
        nothing = "No VM of this tenant sent a sample of its network traffic on this day."
    data = pa.concat_tables([as_table(rows, partition, resolution, NETWORK_TRAFFIC) for rows in made])
    talkers = made[0]
    if not data.num_rows:
        notes = [nothing, *notes]
    notes += talkers_note(talkers, parameters.top_talkers)
    over = is_over(workplace.metrics, partition, last)
    counts = [rows.seen_and_expected(partition, over) for rows in made] if last >= 0 else []
    facts = Facts(
        as_of_ms=as_of_ms(partition, last, resolution, over),
        samples_seen=sum(seen for seen, _ in counts) if counts else None,
        samples_expected=sum(expected for _, expected in counts) if counts else None,
        notes=tuple(notes),
    )
    numbers: dict[str, int | float] = {
        **{f"{rows.kind}s": len(np.unique(rows.entity)) for rows in made},
        **summary(talkers, resolution, parameters.top_talkers, parameters.rate_percentile),
        "doubtful_buckets": sum(int(rows.doubtful.sum()) for rows in made),
        **untidy,
    }
    return Result(data, facts, numbers=numbers)


def summary(
    rows: TrafficRows, resolution_seconds: int, top_talkers: int, rate_percentile: float
) -> dict[str, int | float]:
    """Return the day's figures: bytes, the shares of those that moved most, and the summed rate's peak and percentile.

    The rate is over the buckets of which anything is known, gaps at their mean rate; no figure is given where
    nothing was moved.
    """
    totals = np.sort(_by_entity(rows))[::-1]
    whole = float(totals.sum())
    found: dict[str, int | float] = {"total_gigabytes": whole / 1e9}
    if whole > 0:
        rate = summed_rate(rows, resolution_seconds)
        found |= {
            "top_talker_share": float(totals[0]) / whole,
            "top_talkers_share": float(totals[:top_talkers].sum()) / whole,
            "percentile_bytes_per_second": float(np.percentile(rate, rate_percentile)),
            "peak_to_mean": float(rate.max() / rate.mean()),
        }
    return found


def talkers_note(rows: TrafficRows, count: int) -> list[str]:
    """Return a sentence that names those that moved most over the day, with their shares; none without traffic."""
    totals = _by_entity(rows)
    whole = float(totals.sum())
    if not whole > 0:
        return []
    ids = rows.labels["entity_id"]
    chosen = [code for code in np.lexsort((np.arange(len(totals)), -totals))[:count] if totals[code] > 0]
    named = ", ".join(f"{_shown(ids[code])} {totals[code] / whole:.1%}" for code in chosen)
    share = float(totals[chosen].sum()) / whole
    return [f"Most bytes: {named}; together {share:.1%} of {whole / 1e9:.3f} GB."]


def tenant_notes(found: VmTraffic, drop_metrics: Sequence[str]) -> list[str]:
    """Return what a reader of a tenant's rows must know."""
    notes = []
    if any(len(piece.entity) for metric in RATES for piece in found.pieces.get(metric, [])):
        notes.append("Where a VM has no counter, a sample of its rate stands for the seconds since the one before.")
    if found.without_start:
        notes.append(
            f"{found.without_start} counter(s) of traffic have no sample in the hour before midnight: they began "
            "within the day or after a silence of more than an hour, and what they counted before their first sample "
            "is in no day."
        )
    suspect = sum(piece.suspect for piece in found.all_pieces)
    if suspect:
        notes.append(
            f"{suspect} counter(s) are running sums of totals, as NovaCron's exporter makes of a hypervisor's own "
            "totals; what they moved is taken from the totals."
        )
    if drop_metrics and not any(len(piece.entity) for piece in found.drops):
        names = ", ".join(_shown(text) for text in drop_metrics)
        notes.append(f"Dropped packets are unknown: no counter with a vm_id was found under {names}.")
    if found.unnamed_drops:
        notes.append(
            f"{found.unnamed_drops} counter(s) of dropped packets carry no vm_id and were left out; relabel them."
        )
    if found.drop_replicas:
        notes.append(f"{found.drop_replicas} counter(s) of dropped packets show the same as another: it counts once.")
    return notes


def platform_notes(found: LinkTraffic) -> list[str]:
    """Return what a reader of the platform's rows must know."""
    notes = ["A sample of an interface's rate stands for the seconds since the one before."] if found.bandwidth else []
    if found.unknown_directions:
        words = ", ".join(_shown(word) for word in sorted(found.unknown_directions)[:5])
        notes.append(
            f"{sum(found.unknown_directions.values())} series of interfaces have a direction that is neither receive "
            f"nor transmit ({words}) and were left out."
        )
    if found.impossible_losses:
        notes.append(f"{found.impossible_losses} samples of packet loss are not between 0 and 1 and were left out.")
    if found.unnamed:
        notes.append(f"{found.unnamed} series do not name their interface or link and were left out.")
    flaws = found.latency.flaws if found.latency is not None else None
    if flaws is not None:
        for count, what in (
            (flaws.bad_bounds, "series of the latency histogram have an le that is no number and were left out"),
            (flaws.without_total, "latency histograms have neither +Inf nor _count, so they have no quantiles"),
            (flaws.repaired, "counts of the latency histogram were below those of a lower bound and were raised"),
            (flaws.partial, "counts of the latency histogram did not cover their bucket and were left out"),
            (flaws.replicas, "latency histograms show the same as another of their link, which counts once"),
        ):
            notes += [f"{count} {what}."] if count else []
    return notes


def _by_entity(rows: TrafficRows) -> np.ndarray:
    return np.bincount(rows.entity, np.nan_to_num(rows.bytes), len(rows.labels["entity_id"]))


def _shown(text: str) -> str:
    """Return a text from outside as a note may show it."""
    return repr(text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}...")


COMPONENT = Component(
    name="network_traffic",
    stage="processors",
    title="Network analysis processor",
    description="Who moved how many bytes in each 5-minute bucket, and how well the network bore it: totals, rates, "
    "shares, top talkers, peaks, asymmetry and dropped packets of a tenant's VMs; for the platform the traffic of the "
    "nodes' interfaces and latency and loss of the links between nodes.",
    parameters=NetworkTrafficParameters,
    inputs=(),
    table=NETWORK_TRAFFIC,
    compute=compute,
    reads=("metrics",),
)
