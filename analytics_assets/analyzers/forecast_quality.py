"""How good the forecasts were: every stored forecast of this day, made on earlier days, against what happened.

For each step that lies in the day (a daily step ends in it): the error, beside that of the seasonal
naive method from the same origin; whether the truth lay inside the intervals, which promise 80 and
95 %; the quantile loss; and the backtest's MASE that was promised when the forecast was made. By
metric and block of lead, for each entity and for all entities of a kind together.

Where there is nothing to score, a row says why: no forecast was stored on the days that would reach
this one, or nothing was measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from analytics_assets.analyzers.forecast_model.histories import ENTITY_KINDS, History, histories
from analytics_assets.analyzers.forecast_model.scoring import LEAD_BLOCKS, QUANTILES, Made, figures, scored
from analytics_assets.components import Component, Input, Parameters, Result, Workplace
from analytics_assets.kernels.forecast.plan import DAILY, HOURLY, PLANS, Plan
from analytics_assets.kernels.matrix import HOUR_MS, HOURS_PER_DAY, positions
from resources.lake.table import ENTITY, Column, Table
from resources.partition import DAY_MS

ALL = "all"
FORECAST_COLUMNS = (
    "entity_kind", "entity_id", "metric", "freq", "lead", "step_start", "backtest_mase",
    *(name for name, _ in QUANTILES),
)  # fmt: skip


class ForecastQualityParameters(Parameters):
    """How far back forecasts are looked for, and what is told of them."""

    daily_days_back: int = Field(
        28,
        ge=1,
        le=DAILY.maximum_horizon,
        description="Days before this one whose daily forecasts are scored, in days; each costs reading a file.",
    )
    metrics: tuple[str, ...] = Field(
        (), description="Metrics to score, as column stems such as cpu_percent; empty: all that the input measures."
    )
    per_entity: bool = Field(True, description="Whether each entity has rows of its own, yes or no.")
    minimum_hours: int = Field(12, ge=1, le=24, description="Hours with samples that make a day count, in hours.")


def _figure(name: str, description: str, **limits: Any) -> Column:
    return Column(name, pa.float64(), description, nullable=True, **limits)


TABLE = Table(
    name="forecast_quality",
    description="how the forecasts of one metric did this day, by lead, for one entity or all of a kind",
    columns=(
        Column("scope", ENTITY, "group: all entities of the kind; entity: one", values=("group", "entity")),
        Column("entity_kind", ENTITY, "what the entity is", values=ENTITY_KINDS),
        Column("entity_id", ENTITY, "id of the entity; all for a group"),
        Column("metric", ENTITY, "metric, as the stem of its columns"),
        Column("unit", pa.string(), "unit of the metric and of mae"),
        Column("freq", ENTITY, "h: hourly forecasts; d: daily ones", values=("d", "h")),
        Column("lead_first", pa.int32(), "first lead of the block, in hours or days", minimum=1),
        Column("lead_last", pa.int32(), "last lead of the block, in hours or days", minimum=1),
        Column("status", ENTITY, "whether anything was scored", values=("ok", "no_data")),
        Column("reason", pa.string(), "why nothing was", nullable=True),
        Column("forecast_days", pa.int32(), "days whose forecasts of the block were found", unit="days", minimum=0),
        Column("steps", pa.int64(), "forecast steps whose truth is known", minimum=0),
        _figure("mae", "mean absolute error, in the metric's unit", minimum=0),
        _figure("mase", "mean absolute error over that of the seasonal naive method in the window", minimum=0),
        _figure("promised_mase", "the same as the forecasts' backtests promised it", minimum=0),
        _figure("relative_to_naive", "absolute error over that of the seasonal naive method, same origins", minimum=0),
        _figure("coverage80", "share of the truth inside the 80 % interval; promised is 0.80", minimum=0, maximum=1),
        _figure("coverage95", "share of the truth inside the 95 % interval; promised is 0.95", minimum=0, maximum=1),
        _figure(
            "weighted_quantile_loss",
            "quantile loss at 2.5, 10, 50, 90 and 97.5 % over the sum of the truth's absolute values",
            minimum=0,
        ),
    ),
    primary_key=("scope", "entity_kind", "entity_id", "metric", "freq", "lead_first"),
)  # fmt: skip


@dataclass(frozen=True)
class Part:
    """Some rows: texts by column, one value for all, and columns by name."""

    same: Mapping[str, Any]
    columns: Mapping[str, Any]
    rows: int


def quality_table(parts: Sequence[Part]) -> pa.Table:
    """Return the table of `parts`; figures that a part does not have are null."""
    if not parts:
        return TABLE.empty()
    arrays = {}
    for column in TABLE.columns:
        chunks = []
        for part in parts:
            values = part.columns.get(column.name)
            given = [part.same.get(column.name)] * part.rows if values is None else values
            chunks.append(pa.array(given, column.given_as, from_pandas=True))
        arrays[column.name] = pa.chunked_array(chunks)
    return pa.table(arrays)


def compute(workplace: Workplace, parameters: ForecastQualityParameters) -> Result:
    """Make one partition: one freq after another, so that few columns of few files are in memory at a time."""
    window = max(parameters.daily_days_back, HOURLY.maximum_horizon // HOURS_PER_DAY) + 2 * DAILY.season_steps
    known = list(histories(workplace, window, parameters.metrics))
    parts: list[Part] = []
    for plan, days_back in (
        (HOURLY, HOURLY.maximum_horizon // HOURS_PER_DAY),
        (DAILY, parameters.daily_days_back),
    ):
        made, made_days = _stored(workplace, plan, days_back)
        for history in known:
            parts += _score(history, made, made_days, plan, parameters)
    told = [row for part in parts if part.same["scope"] == "group" for row in part.columns["status"]]
    notes = () if parts else ("nothing was measured in the window: no rows",)
    return Result(
        data=quality_table(parts),
        facts=workplace.facts(as_of_ms=workplace.as_of_ms("samples"), notes=notes),
        numbers={"scored": told.count("ok"), "without_answer": len(told) - told.count("ok")},
    )


def _stored(workplace: Workplace, plan: Plan, days_back: int) -> tuple[pa.Table, pa.Array]:
    """Return the steps of this day that earlier days' forecasts have, with how many days before they were made."""
    partition = workplace.partition
    table = workplace.tables("forecasts")[0]
    # An hour begins in the day; a daily step ends in it.
    early = partition.start_ms - (0 if plan is HOURLY else DAY_MS - 1)
    late = partition.end_ms - (0 if plan is HOURLY else DAY_MS - 1)
    found = []
    for back in range(1, days_back + 1):
        day = partition.day - timedelta(back)
        rows, stored = workplace.lake.read(table, partition.tenant, [day], FORECAST_COLUMNS, (plan.name, plan.name))
        (workplace.days_read if stored else workplace.days_missing).add(day)
        start = rows.column("step_start").cast(pa.int64())
        wanted = pc.and_(
            pc.equal(rows.column("freq").cast(pa.string()), plan.name),
            pc.and_(pc.greater_equal(start, early), pc.less(start, late)),
        )
        found.append(rows.filter(wanted))
    made = pa.concat_tables(found).unify_dictionaries()
    return made, pc.days_between(made.column("day"), pa.scalar(partition.day, pa.date32()))


def _score(
    history: History, stored: pa.Table, days_back: pa.Array, plan: Plan, parameters: ForecastQualityParameters
) -> list[Part]:
    """Return the rows of one metric: those of all entities together, and those of each that was scored."""
    ours = pc.and_(
        pc.equal(stored.column("entity_kind").cast(pa.string()), history.kind),
        pc.equal(stored.column("metric").cast(pa.string()), history.metric),
    )
    rows, back = stored.filter(ours), np.asarray(days_back.filter(ours), np.int64)
    entity = positions(rows.column("entity_id"), history.entities)
    start = np.asarray(rows.column("step_start").cast(pa.int64()), np.int64)
    hour = (start - history.end_ms) // HOUR_MS + history.hours.shape[1]
    present = entity >= 0
    made = Made(
        entity[present],
        hour[present],
        np.asarray(rows.column("lead"), np.int64)[present],
        {name: np.asarray(rows.column(name).to_numpy(), np.float64)[present] for name, _ in QUANTILES},
        np.asarray(rows.column("backtest_mase").to_numpy(), np.float64)[present],
    )
    found = scored(made, history.hours, plan, parameters.minimum_hours)
    blocks = [(first, last) for first, last in LEAD_BLOCKS[plan.name] if first <= _longest(plan, parameters)]
    block = np.searchsorted([last for _, last in blocks], made.lead)
    within = block < len(blocks)
    block = np.minimum(block, len(blocks) - 1)
    days = np.array([len(np.unique(back[present][within & (block == at)])) for at in range(len(blocks))], np.int32)
    same = {"entity_kind": history.kind, "metric": history.metric, "unit": history.unit, "freq": plan.name}
    whole = figures(made, found, np.where(within, block, len(blocks)), len(blocks) + 1)
    whole = {name: values[:-1] for name, values in whole.items()}
    scored_steps = whole["steps"] > 0
    reasons = [
        None if steps else "nothing was measured at the steps that were forecast" if day
        else "no forecast that reaches this day was stored on the days before"
        for steps, day in zip(scored_steps, days, strict=True)
    ]  # fmt: skip
    limits = np.array(blocks, np.int32)
    parts = [
        Part(
            {**same, "scope": "group", "entity_id": ALL},
            {
                **whole, "status": np.where(scored_steps, "ok", "no_data"), "reason": reasons,
                "lead_first": limits[:, 0], "lead_last": limits[:, 1], "forecast_days": days,
            },
            len(blocks),
        )
    ]  # fmt: skip
    if parameters.per_entity and within.any():
        groups = len(history.entities) * len(blocks)
        each = figures(made, found, np.where(within, made.entity * len(blocks) + block, groups), groups + 1)
        chosen = np.flatnonzero(each["steps"][:-1] > 0)
        of_block = chosen % len(blocks)
        ids = np.array(history.entities, object)[chosen // len(blocks)]
        parts.append(
            Part(
                {**same, "scope": "entity", "status": "ok"},
                {
                    **{name: values[chosen] for name, values in each.items()}, "entity_id": ids,
                    "lead_first": limits[of_block, 0], "lead_last": limits[of_block, 1],
                    "forecast_days": days[of_block],
                },
                len(chosen),
            )
        )  # fmt: skip
    return parts


def _longest(plan: Plan, parameters: ForecastQualityParameters) -> int:
    """Return the longest lead that forecasts which are looked for can have at this day."""
    return plan.maximum_horizon if plan is HOURLY else min(parameters.daily_days_back, PLANS["d"].maximum_horizon)


COMPONENT = Component(
    name="forecast_quality",
    stage="analyzers",
    title="Forecast quality",
    description=(
        "How good the stored forecasts of this day were, beside what they promised: error against the seasonal naive "
        "method, share of the truth inside the 80 and 95 % intervals, quantile loss, by metric and lead, for each "
        "entity and all together."
    ),
    parameters=ForecastQualityParameters,
    inputs=(
        Input("forecasts", ("forecasts",), "the forecasts of earlier days"),
        Input(
            "samples",
            ("vm_resources_hourly", "system_load", "vm_resources"),
            "what happened; the same that the forecasts were made of",
        ),
    ),
    table=TABLE,
    compute=compute,
)
