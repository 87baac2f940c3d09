"""The table of anomalies."""

import pyarrow as pa

from resources.lake.table import ENTITY, TIMESTAMP, Column, Table, number

TOGETHER = "*"
"""What stands for the metric in a row about all metrics of an entity."""


TABLE = Table(
    name="anomalies",
    description="an interval of the day in which a metric, an entity as a whole, or a VM among its peers was abnormal; "
    "or a metric that could not be judged",
    columns=(
        Column(
            "kind",
            ENTITY,
            "metric: one metric against its own past; together: all metrics of the entity; peer: a metric against "
            "that of the VM's peers",
            values=("metric", "together", "peer"),
        ),
        Column("entity_kind", ENTITY, "what the entity is", values=("vm", "node")),
        Column("entity_id", ENTITY, "id of the VM or node"),
        Column("metric", ENTITY, f"metric, as the stem of its columns; {TOGETHER} for all together"),
        Column("unit", pa.string(), "unit of all values in the metric's unit"),
        Column(
            "status", ENTITY, "whether there is an answer", values=("ok", "insufficient_data", "no_data", "degenerate")
        ),
        Column("reason", pa.string(), "why there is no answer", nullable=True),
        Column("start", TIMESTAMP, "start of the first bucket of the day that belongs to it"),
        Column("end", TIMESTAMP, "end of the last bucket that belongs to it"),
        Column("began", TIMESTAMP, "when it really began, if on the day before", nullable=True),
        Column(
            "ongoing",
            pa.bool_(),
            "whether it had not been over for a quarter of an hour, or a bucket, by the end of the data",
        ),
        Column("severity", ENTITY, "by peak and duration", nullable=True, values=("low", "medium", "high")),
        number("score", "highest score; 1 is the alarm line of every metric", minimum=0),
        Column("peak", TIMESTAMP, "bucket of the highest score", nullable=True),
        Column("direction", ENTITY, "on which side of what was expected", nullable=True, values=("up", "down")),
        number("value", "value at the peak, in the metric's unit (peer: the VM's median of the day)"),
        number("expected", "what was expected there (peer: the peers' median)"),
        number("low", "lowest value that would have been usual there"),
        number("high", "highest value that would have been usual there"),
        Column(
            "metrics", pa.string(), "metrics that explain it, the most telling first, with their share", nullable=True
        ),
        Column("peers", pa.int64(), "other VMs that it was compared with", nullable=True, minimum=0),
        Column("points", pa.int64(), "buckets with samples in the interval", minimum=0),
        number("history_days", "samples before the day that it was judged by, in days' worth of them", "days"),
        Column(
            "days_alike",
            pa.int64(),
            "earlier days on which it was as far out at a time at which that is not the rule",
            nullable=True,
            minimum=0,
        ),
        Column(
            "others_at_once",
            pa.int64(),
            "other entities of which the same began in the same direction within a quarter of an hour",
            nullable=True,
            minimum=0,
        ),
        number("others_by_chance", "how many those would be if the day's had begun at any time of it", minimum=0),
        Column("samples_seen", pa.int64(), "samples of the entity on the day", minimum=0),
        Column("samples_expected", pa.int64(), "samples expected of it on the day", minimum=0),
        number("coverage", "samples seen over samples expected", minimum=0, maximum=1),
        Column("why", pa.string(), "the finding in a sentence", nullable=True),
    ),
    primary_key=("entity_kind", "entity_id", "kind", "metric", "start"),
    measured=True,
)
