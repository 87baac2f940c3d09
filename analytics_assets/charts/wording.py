"""How charts speak of metrics: nouns for their stems, and titles in plain words."""

from dataclasses import dataclass

ADDITIVE_UNITS = ("bytes", "bytes/s", "cores")
"""Units whose values may be added over entities; others are averaged."""


@dataclass(frozen=True)
class Metric:
    """A metric in words: `noun` opens a title; `one` ends it for the highest `{who}`, `top` for the `{n}` highest."""

    noun: str
    one: str
    top: str


METRICS = {
    "cpu_percent": Metric("CPU use", "of the busiest {who}", "of the {n} busiest {who}"),
    "cpu_cores": Metric("CPU cores in use", "of the busiest {who}", "of the {n} busiest {who}"),
    "memory_bytes": Metric("Memory use", "of the {who} that uses most", "of the {n} {who} that use most"),
    "disk_bytes": Metric("Disk space in use", "of the {who} that uses most", "of the {n} {who} that use most"),
    "disk_read_bytes_per_second": Metric(
        "Data read from disk", "by the {who} that reads most", "by the {n} {who} that read most"
    ),
    "disk_write_bytes_per_second": Metric(
        "Data written to disk", "by the {who} that writes most", "by the {n} {who} that write most"
    ),
    "network_receive_bytes_per_second": Metric(
        "Data received", "by the {who} that receives most", "by the {n} {who} that receive most"
    ),
    "network_transmit_bytes_per_second": Metric(
        "Data sent", "by the {who} that sends most", "by the {n} {who} that send most"
    ),
    "load_average_1m": Metric("Load average over 1 minute", "of the busiest {who}", "of the {n} busiest {who}"),
}


def metric_words(stem: str) -> Metric:
    """Return the words for a metric's column stem; a stem that is not known speaks for itself."""
    return METRICS.get(stem) or Metric(stem.replace("_", " "), "of the highest {who}", "of the {n} highest {who}")


def top_title(stem: str, shown: int, of: int, who: str) -> str:
    """Return the title of a chart of the `shown` highest `of` entities, called `who` in the singular."""
    words = metric_words(stem)
    if shown < of:
        ending = words.top.format(n=shown, who=f"{who}s") if shown > 1 else words.one.format(who=who)
    else:
        ending = f"of all {of} {who}s" if of > 1 else f"of the only {who}"
    return f"{words.noun} {ending}"
