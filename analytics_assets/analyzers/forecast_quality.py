"""How good the forecasts were: every stored forecast of this day, made on earlier days, against what happened.

For each step that lies in the day (a daily step ends in it): the error, beside that of the seasonal
naive method from the same origin; whether the truth lay inside the intervals, which promise 80 and
95 %; the quantile loss; and beside the mean absolute error the one that was promised when the forecast
was made: that of the backtest, of steps about as far ahead and in the same unit. Each step is held
against its own promise. By metric and block of lead, for each entity and for all of a kind together.

Where there is nothing to score, a row says why: no forecast was stored on the days that would reach
this one, or nothing was measured. So VMs that went away are counted, not left out. Forecasts that
were made with other parameters count, too; `other_parameters_days` and a note say of how many days.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from analytics_assets.analyzers.forecast_model.histories import ENTITY_KINDS, History, histories
from analytics_assets.analyzers.forecast_model.parameters import ForecastsParameters, recipe
from analytics_assets.analyzers.forecast_model.scoring import LEAD_BLOCKS, QUANTILES, Made, figures, scored
from analytics_assets.components import Component, Input, Parameters, Result, Workplace
from analytics_assets.kernels.forecast.plan import DAILY, HOURLY, PLANS, Plan
from analytics_assets.kernels.matrix import HOUR_MS, HOURS_PER_DAY, positions
from resources.errors import InvalidInput
from resources.lake.table import ENTITY, Column, Table
from resources.partition import DAY_MS, Partition

ALL = "all"
UNMEASURED = "nothing was measured at the steps that were forecast"
FORECAST_COLUMNS = (
    "entity_kind", "entity_id", "metric", "freq", "lead", "step_start", "backtest_mae",
    *(name for name, _ in QUANTILES),
)  # fmt: skip


class ForecastQualityParameters(Parameters):
    """How far back forecasts are looked for, and what is told of them."""

    daily_days_back: int = Field(
        DAILY.maximum_horizon,
        ge=1,
        le=DAILY.maximum_horizon,
        description="Days before this one whose daily forecasts are scored, in days; each costs reading a file's "
        "daily rows.",
    )
    metrics: tuple[str, ...] = Field(
        (), description="Metrics to score, as column stems such as cpu_percent; empty: all that the input measures."
    )
    per_entity: bool = Field(True, description="Whether each entity has rows of its own, yes or no.")


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
        Column(
            "other_parameters_days",
            pa.int32(),
            "those of forecast_days whose forecasts were made with other parameters than are set now",
            unit="days",
            minimum=0,
        ),
        Column("steps_forecast", pa.int64(), "steps of this day that were forecast", minimum=0),
        Column("steps", pa.int64(), "those of them whose truth is known: all figures are of these", minimum=0),
        _figure("mae", "mean absolute error, in the metric's unit", minimum=0),
        _figure("mase", "mean absolute error over that of the seasonal naive method in the window", minimum=0),
        _figure(
            "promised_mae",
            "what the backtests of these forecasts promised mae to be at their leads; null beyond the leads they tried",
            minimum=0,
        ),
        _figure("relative_to_promise", "absolute error over the promised one, of steps with a promise", minimum=0),
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
    made_by = _forecasts_parameters(workplace)
    window = max(parameters.daily_days_back, HOURLY.maximum_horizon // HOURS_PER_DAY) + 2 * DAILY.season_steps
    known = list(histories(workplace, window, parameters.metrics))
    parts: list[Part] = []
    others: set[date] = set()
    for plan, days_back in (
        (HOURLY, HOURLY.maximum_horizon // HOURS_PER_DAY),
        (DAILY, parameters.daily_days_back),
    ):
        made, made_days = _stored(workplace, plan, days_back)
        other = _made_otherwise(workplace, days_back, recipe(made_by))
        others.update(other)
        others_back = np.array([(workplace.partition.day - day).days for day in other], np.int64)
        for history in known:
            parts += _score(history, made, made_days, others_back, plan, parameters, made_by.minimum_hours)
    told = [row for part in parts if part.same["scope"] == "group" for row in part.columns["status"]]
    notes = [] if parts else ["nothing was measured in the window: no rows"]
    if others:
        days = ", ".join(day.isoformat() for day in sorted(others))
        notes.append(f"forecasts made with other parameters than are set now are among the scored ones: of {days}")
    return Result(
        data=quality_table(parts),
        facts=workplace.facts(as_of_ms=workplace.as_of_ms("samples"), notes=tuple(notes)),
        numbers={"scored": told.count("ok"), "without_answer": len(told) - told.count("ok")},
    )


def _forecasts_parameters(workplace: Workplace) -> ForecastsParameters:
    """Return the parameters of the forecasts that are read, which say what a day is.

    Raises:
        InvalidInput: they are made of other samples than they are to be held against.
    """
    (forecasts,) = workplace.instance.inputs["forecasts"]
    (samples,) = workplace.instance.inputs["samples"]
    (source,) = forecasts.inputs["samples"]
    if source.id != samples.id:
        raise InvalidInput(
            f"instance {workplace.instance.id}: {forecasts.id} is made of {source.id}, not of {samples.id}. "
            f"Name {source.id} as its samples in the pipeline file."
        )
    return cast(ForecastsParameters, forecasts.parameters)


def _made_otherwise(workplace: Workplace, days_back: int, present: str) -> list[date]:
    """Return the stored days, of those before this one, whose forecasts were not made by the recipe `present`."""
    table, partition = workplace.tables("forecasts")[0].name, workplace.partition
    days = [partition.day - timedelta(back) for back in range(1, days_back + 1)]
    stored = [day for day in days if workplace.lake.has(table, partition.tenant, day)]
    return [
        day for day in stored if workplace.lake.footer(table, Partition(partition.tenant, day))[1].recipe != present
    ]  # fmt: skip


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
    history: History,
    stored: pa.Table,
    days_back: pa.Array,
    others_back: NDArray[np.int64],
    plan: Plan,
    parameters: ForecastQualityParameters,
    minimum_hours: int,
) -> list[Part]:
    """Return the rows of one metric: those of all entities together, and those of each that was forecast.

    `others_back` are the days back of forecasts that were made by another recipe.
    """
    ours = pc.and_(
        pc.equal(stored.column("entity_kind").cast(pa.string()), history.kind),
        pc.equal(stored.column("metric").cast(pa.string()), history.metric),
    )
    rows, back = stored.filter(ours), np.asarray(days_back.filter(ours), np.int64)
    # What was forecast and is measured no more has no truth, and is told all the same.
    gone = sorted(set(pc.unique(rows.column("entity_id").cast(pa.string())).to_pylist()) - set(history.entities))
    entities = [*history.entities, *gone]
    hours = np.pad(history.hours, ((0, len(gone)), (0, 0)), constant_values=np.nan)
    entity = positions(rows.column("entity_id"), entities)
    start = np.asarray(rows.column("step_start").cast(pa.int64()), np.int64)
    hour = (start - history.end_ms) // HOUR_MS + hours.shape[1]
    made = Made(
        entity,
        hour,
        np.asarray(rows.column("lead"), np.int64),
        {name: np.asarray(rows.column(name).to_numpy(), np.float64) for name, _ in QUANTILES},
        np.asarray(rows.column("backtest_mae").to_numpy(), np.float64),
    )
    found = scored(made, hours, plan, minimum_hours)
    longest = _longest(plan, parameters)
    blocks = [(first, min(last, longest)) for first, last in LEAD_BLOCKS[plan.name] if first <= longest]
    block = np.searchsorted([last for _, last in blocks], made.lead)
    within = block < len(blocks)
    block = np.minimum(block, len(blocks) - 1)
    days_of = [np.unique(back[within & (block == at)]) for at in range(len(blocks))]
    days = np.array([len(found_days) for found_days in days_of], np.int32)
    others = np.array([np.isin(found_days, others_back).sum() for found_days in days_of], np.int32)
    same = {"entity_kind": history.kind, "metric": history.metric, "unit": history.unit, "freq": plan.name}
    whole = figures(made, found, np.where(within, block, len(blocks)), len(blocks) + 1)
    whole = {name: values[:-1] for name, values in whole.items()}
    scored_steps = whole["steps"] > 0
    reasons = [
        None if steps else UNMEASURED if day else "no forecast that reaches this day was stored on the days before"
        for steps, day in zip(scored_steps, days, strict=True)
    ]  # fmt: skip
    limits = np.array(blocks, np.int32)
    parts = [
        Part(
            {**same, "scope": "group", "entity_id": ALL},
            {
                **whole, "status": np.where(scored_steps, "ok", "no_data"), "reason": reasons,
                "lead_first": limits[:, 0], "lead_last": limits[:, 1], "forecast_days": days,
                "other_parameters_days": others,
            },
            len(blocks),
        )
    ]  # fmt: skip
    if parameters.per_entity and within.any():
        groups = len(entities) * len(blocks)
        each = figures(made, found, np.where(within, made.entity * len(blocks) + block, groups), groups + 1)
        chosen = np.flatnonzero(each["steps_forecast"][:-1] > 0)
        of_block = chosen % len(blocks)
        ids = np.array(entities, object)[chosen // len(blocks)]
        measured = each["steps"][chosen] > 0
        parts.append(
            Part(
                {**same, "scope": "entity"},
                {
                    **{name: values[chosen] for name, values in each.items()}, "entity_id": ids,
                    "lead_first": limits[of_block, 0], "lead_last": limits[of_block, 1],
                    "forecast_days": days[of_block], "other_parameters_days": others[of_block],
                    "status": np.where(measured, "ok", "no_data"), 
                    "reason": [None if known else UNMEASURED for known in measured],
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
