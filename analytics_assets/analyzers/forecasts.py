"""What comes next: each metric of each VM or node, hour by hour for 7 days and day by day for 90, with intervals.

Method: `kernels/forecast/forecasts.py`. Per series a weighted median of simple rules, weighted by
their errors at earlier origins and by what is usual for the metric in the tenant; intervals from
past errors and past values, widened as rehearsals one, two and three weeks ago show to be needed.
`mean` is made for the least absolute error: it is a median forecast.

Hours begin at the last whole hour of the data; a day is the 24 hours from there on, so that today
is not held against whole days. All VMs together, or a tenant's part of all nodes, are the tenant (of
what can be added up), all nodes of the platform the cluster. No value is above the present size of
what it is of, where that is known, unless more was seen. Prophet is tried for totals and nodes only
if asked for. A VM that is silent, or that only the inventory knows, has a row that says so.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from analytics_assets.analyzers.forecast_model.histories import ENTITY_KINDS, histories
from analytics_assets.analyzers.forecast_model.parameters import ForecastsParameters, recipe
from analytics_assets.analyzers.forecast_model.rows import forecast_rows
from analytics_assets.components import Component, Input, Result, Workplace
from analytics_assets.kernels.forecast.plan import STATUSES
from resources.lake.table import ENTITY, TIMESTAMP, Column, Table


def _value(name: str, description: str) -> Column:
    return Column(name, pa.float32(), description, nullable=True)


TABLE = Table(
    name="forecasts",
    description="one metric of one entity in one hour (7 days ahead) or day (90 days ahead) to come",
    columns=(
        Column(
            "entity_kind",
            ENTITY,
            "what the entity is; tenant: all its VMs; cluster: all nodes",
            values=ENTITY_KINDS,
        ),
        Column("entity_id", ENTITY, "id of the VM, node or tenant; all for the cluster"),
        Column("metric", ENTITY, "metric, as the stem of its columns"),
        Column("unit", ENTITY, "unit of the metric and of all values"),
        Column("freq", ENTITY, "h: the step is an hour; d: it is 24 hours", values=("d", "h")),
        Column("lead", pa.int32(), "steps ahead, from 1; 0 in the single row of a series without an answer", minimum=0),
        Column("step_start", TIMESTAMP, "start of the step; null without an answer", nullable=True),
        _value("mean", "forecast of the step's mean that half of the truth is expected to lie above"),
        _value("lo80", "lower end of the 80 % interval"),
        _value("hi80", "upper end of the 80 % interval"),
        _value("lo95", "lower end of the 95 % interval"),
        _value("hi95", "upper end of the 95 % interval"),
        _value(
            "backtest_mae",
            "mean absolute error at earlier origins, of steps about as far ahead: the promise that forecast_quality "
            "holds against what came; null where none was tried so far ahead",
        ),
        Column("model", ENTITY, "the rule with the most weight, or prophet", nullable=True),
        Column(
            "backtest_mase",
            pa.float64(),
            "mean absolute error at earlier origins, all leads together, over that of the seasonal naive forecast in "
            "the history; null where either is unknown or nothing ever changed",
            nullable=True,
            minimum=0,
        ),
        Column("status", ENTITY, "whether there is an answer", values=STATUSES),
        Column("reason", pa.string(), "why there is no answer", nullable=True),
        Column("history_days", pa.int32(), "days of the window with enough hours to count", unit="days", minimum=0),
        Column("samples_seen", pa.int64(), "samples of the metric in the window", minimum=0),
        Column("samples_expected", pa.int64(), "samples expected since the entity's first one", minimum=0),
        Column(
            "coverage", pa.float64(), "samples seen over samples expected", nullable=True, minimum=0, maximum=1
        ),
    ),
    primary_key=("entity_kind", "entity_id", "metric", "freq", "lead"),
    sort_order=("freq",),
    measured=True,
)  # fmt: skip


def encoded(columns: Mapping[str, NDArray[Any]]) -> dict[str, pa.Array]:
    """Return the columns of some rows as Arrow has them: their few texts repeat, and take a small number each."""
    arrays = {}
    for column in TABLE.columns:
        kind = column.given_as
        array = pa.array(columns[column.name], pa.timestamp("ms") if kind == TIMESTAMP else kind, from_pandas=True)
        arrays[column.name] = array.dictionary_encode() if kind == pa.string() else array.cast(kind)
    return arrays


def forecasts_table(parts: Sequence[dict[str, pa.Array]]) -> pa.Table:
    """Return the rows of the table in its order: the `encoded` columns of `parts`, which these lose one by one.

    There may be millions of rows, which are held once, rather than in parts, joined and in order.
    """
    if not parts:
        return TABLE.empty()
    keys = {name: pa.chunked_array([part[name] for part in parts]).unify_dictionaries() for name in TABLE.order}
    order = pa.array(TABLE.row_order(keys))
    del keys
    arrays = {}
    for column in TABLE.columns:
        joined = pa.chunked_array([part.pop(column.name) for part in parts]).unify_dictionaries()
        arrays[column.name] = joined.combine_chunks().take(order)
        if column.type == pa.string():
            arrays[column.name] = arrays[column.name].cast(pa.string())
    return pa.table(arrays)


def compute(workplace: Workplace, parameters: ForecastsParameters) -> Result:
    """Make one partition, one metric after another."""
    parts: list[dict[str, pa.Array]] = []
    seen = expected = answered = without_answer = chosen = 0
    notes: list[str] = []
    for history in histories(workplace, parameters.window_days, parameters.metrics):
        for rows in forecast_rows(history, parameters, workplace.minimum_coverage):
            parts.append(encoded(rows.columns))
            answered, without_answer = answered + rows.answered, without_answer + rows.without_answer
            chosen += sum(choice.chosen for choice in rows.prophet.values())
            notes += [f"{name}: prophet {'chosen' if choice.chosen else 'not chosen'}, {choice.reason}"
                      for name, choice in rows.prophet.items()]  # fmt: skip
        if history.kind in ("vm", "node"):
            seen, expected = seen + int(history.seen.sum()), expected + int(history.expected.sum())
    if not parts:
        source = workplace.tables("samples")[0].name
        notes.append(f"table {source} has no row in the {parameters.window_days} days: no rows")
    return Result(
        data=forecasts_table(parts),
        facts=workplace.facts(
            as_of_ms=workplace.as_of_ms("samples"),
            samples_seen=seen,
            samples_expected=expected,
            recipe=recipe(parameters),
            notes=tuple(notes),
        ),
        numbers={"series": answered, "without_answer": without_answer, "prophet_chosen": chosen},
    )


COMPONENT = Component(
    name="forecasts",
    stage="analyzers",
    title="Forecasts",
    description=(
        "What each metric of each VM or node, and of all together, will be: hourly for 7 days and daily for 90, with "
        "80 and 95 % intervals. A weighted median of simple rules, weighted by their errors at earlier origins; "
        "intervals from past errors and values, widened as rehearsals show to be needed."
    ),
    parameters=ForecastsParameters,
    inputs=(
        Input(
            "samples",
            ("vm_resources_hourly", "system_load", "vm_resources"),
            "what is measured; the hourly table is the one for long windows",
        ),
        Input("inventory", ("vm_inventory",), "sizes that bound the forecasts of VMs", optional=True),
    ),
    table=TABLE,
    compute=compute,
)
