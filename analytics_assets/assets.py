"""Component instances as Dagster assets: one asset each, on the grid, with checks and metadata.

An asset computes one partition after another and stores each through the lake, so a run for one
key and a run over a range give the same bytes.
"""

import base64
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster import AssetExecutionContext

from analytics_assets.completeness import (
    expected_in_vain,
    low_coverage,
    not_less_than_stored,
    recipe_of,
    refuse_thin,
)
from analytics_assets.components import Instance, Result, Workplace
from analytics_assets.partitions import grid
from resources.analytics_home import AnalyticsHome
from resources.errors import AnalyticsError, TransientFailure
from resources.lake.lake import Lake, Stored
from resources.lake.table import Column, TableViolation
from resources.lake.warehouse import QueryLimits
from resources.monitoring.watched import WatchedSource
from resources.partition import Partition
from resources.settings import Settings

STORED_CHECK = "stored_as_declared"
COVERAGE_CHECK = "coverage"
RETRIES, FIRST_RETRY_SECONDS = 2, 5.0

PartitionListener = Callable[[str, str], None]
_listener: ContextVar[PartitionListener | None] = ContextVar("partition_listener", default=None)


@contextmanager
def partitions_reported_to(listener: PartitionListener) -> Iterator[None]:
    """While open, call `listener(asset, partition key)` after each partition computed in this thread."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def build_assets(instances: Sequence[Instance], settings: Settings) -> list[dg.AssetsDefinition]:
    """Return one asset for each instance."""
    with warnings.catch_warnings():
        # Backfill policies are announced as beta in Dagster 1.13; they are relied upon knowingly.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return [build_asset(instance, settings) for instance in instances]


def build_asset(instance: Instance, settings: Settings) -> dg.AssetsDefinition:
    """Return the asset of `instance`: its table, materialized by tenant and day."""
    key = dg.AssetKey(instance.table.name)
    component = instance.component
    checks = [
        dg.AssetCheckSpec(
            STORED_CHECK,
            asset=key,
            blocking=True,
            description="It reads back whole and keeps the table's declaration: columns, types, ranges, key.",
        )
    ]
    if component.table.measured:
        checks.append(
            dg.AssetCheckSpec(
                COVERAGE_CHECK,
                asset=key,
                # Dagster would stop all partitions of a run for one; `block` is kept to by what reads the table.
                blocking=False,
                description=f"At least {settings.minimum_coverage:.0%} of the expected samples are there, and the "
                "source did not warn that some may be missing.",
            )
        )

    @dg.asset(
        key=key,
        deps=[dg.AssetKey(source.table.name) for source in instance.upstream],
        partitions_def=grid(settings),
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=settings.max_partitions_per_run),
        group_name=component.stage,
        kinds={"python", "parquet", *component.formats},
        owners=[settings.asset_owner],
        tags={"novacron/component": component.name},
        description=_description(instance),
        metadata={
            "dagster/column_schema": _column_schema(instance.table.columns),
            "parameters": dg.MetadataValue.json(instance.parameters.model_dump(mode="json")),
            "primary_key": ", ".join(instance.table.primary_key),
        },
        check_specs=checks,
    )
    def asset_of_instance(context: AssetExecutionContext, analytics: AnalyticsHome) -> dg.MaterializeResult:  # type: ignore[type-arg] # with arguments Dagster takes it for a data output
        return _materialize(context, instance, analytics)

    return asset_of_instance


def _materialize(context: AssetExecutionContext, instance: Instance, home: AnalyticsHome) -> dg.MaterializeResult[Any]:
    settings, lake = home.settings(), home.lake()
    partitions = sorted(Partition.from_key(key) for key in context.partition_keys)
    done: dict[Partition, Stored] = {}
    metadata: dict[Partition, dict[str, Any]] = {}
    failed: dict[Partition, AnalyticsError] = {}
    for number, partition in enumerate(partitions, start=1):
        try:
            result, stored = compute_partition(instance, partition, settings, lake, home)
        except AnalyticsError as error:
            # The others of this run are still computed: one tenant's failure stops nobody else.
            failed[partition] = error
            context.log.error(f"{partition.key}: {error}")
            continue
        done[partition] = stored
        metadata[partition] = _partition_metadata(result, stored)
        context.log.info(f"{partition.key}: {stored.rows} rows ({number} of {len(partitions)})")
        listener = _listener.get()
        if listener is not None:
            listener(instance.table.name, partition.key)
    if failed:
        _raise_failure(context, instance, metadata, failed)
    for partition, about in metadata.items():
        context.add_asset_metadata(about, asset_key=instance.table.name, partition_key=partition.key)
    return dg.MaterializeResult(check_results=_check(instance, lake, done, settings))


def compute_partition(
    instance: Instance, partition: Partition, settings: Settings, lake: Lake, home: AnalyticsHome
) -> tuple[Result, Stored]:
    """Compute and store one partition of `instance`; what was stored stays if it fails.

    Raises:
        TransientFailure: the source cannot be read now, or not whole.
        PermanentFailure: it fails until something is changed, the source has forgotten what is stored, or
            the tables that it reads lack samples and `low_coverage` is `block`.
    """
    low = low_coverage(instance, partition, lake, settings.minimum_coverage)
    if settings.low_coverage == "block":
        refuse_thin(instance, partition, low, settings.minimum_coverage)
    sources = home.sources()
    watched = WatchedSource(sources)
    limits = QueryLimits(
        max_rows=settings.query_max_rows,
        timeout_seconds=settings.query_timeout_seconds,
        memory_mb=settings.query_memory_mb,
        threads=settings.query_threads,
    )
    with Workplace(
        partition=partition,
        instance=instance,
        lake=lake,
        metrics=watched,
        inventory=sources,
        limits=limits,
        resolution_seconds=settings.resolution_seconds,
        minimum_coverage=settings.minimum_coverage,
    ) as workplace:
        result = instance.component.compute(workplace, instance.parameters)
    facts = replace(watched.completed(result.facts), low_coverage=low)
    if "metrics" in instance.component.reads:
        facts = expected_in_vain(instance, partition, lake, replace(facts, recipe=recipe_of(instance)))
        if settings.is_live and settings.source_fewer_samples == "refuse":
            facts = not_less_than_stored(instance, partition, lake, facts)
    return result, lake.write(instance.table, partition, result.data, facts, result.files)


def _raise_failure(
    context: AssetExecutionContext,
    instance: Instance,
    done: Mapping[Partition, Mapping[str, Any]],
    failed: Mapping[Partition, AnalyticsError],
) -> None:
    """Fail the step, saying which partitions failed and why; retry it if every failure may pass.

    Dagster counts every partition of a failed step as failed, so those that are `done` (with their
    metadata) are recorded as materialized here.
    """
    if all(isinstance(error, TransientFailure) for error in failed.values()) and context.retry_number < RETRIES:
        raise dg.RetryRequested(max_retries=RETRIES, seconds_to_wait=FIRST_RETRY_SECONDS * 2**context.retry_number)
    for partition, about in done.items():
        context.log_event(dg.AssetMaterialization(instance.table.name, partition=partition.key, metadata=about))
    first, error = next(iter(failed.items()))
    metadata: dict[str, Any] = {"partitions": dg.MetadataValue.json([partition.key for partition in failed])}
    if isinstance(error, TableViolation):
        metadata |= {"table": error.table, "column": error.column, "rows": error.rows, "example": error.example}
    raise dg.Failure(
        description=f"{instance.table.name}: {len(failed)} partition(s) failed; {first.key}: {error}",
        metadata=metadata,
        allow_retries=False,
    ) from error


def _check(
    instance: Instance, lake: Lake, done: Mapping[Partition, Stored], settings: Settings
) -> list[dg.AssetCheckResult]:
    """Return the checks of a run's partitions; each names the partitions that fail it."""
    broken: dict[str, str] = {}
    for partition, written in done.items():
        try:
            data = lake.read_day(instance.table, partition)
            instance.table.conform(data)
            if lake.stored(instance.table.name, partition).sha256 != written.sha256:
                broken[partition.key] = "its bytes changed since they were written"
        except AnalyticsError as error:
            broken[partition.key] = str(error)
    results = [
        dg.AssetCheckResult(
            check_name=STORED_CHECK,
            passed=not broken,
            severity=dg.AssetCheckSeverity.ERROR,
            metadata={"partitions": len(done), "failing": dg.MetadataValue.json(broken)},
        )
    ]
    if instance.component.table.measured:
        low = {
            partition.key: round(coverage, 4)
            for partition, stored in done.items()
            if (coverage := stored.facts.coverage) is not None and coverage < settings.minimum_coverage
        }
        warned = {
            partition.key: list(stored.facts.warnings) for partition, stored in done.items() if stored.facts.warnings
        }
        results.append(
            dg.AssetCheckResult(
                check_name=COVERAGE_CHECK,
                passed=not low and not warned,
                severity=dg.AssetCheckSeverity.ERROR
                if settings.low_coverage == "block"
                else dg.AssetCheckSeverity.WARN,
                metadata={
                    "minimum": settings.minimum_coverage,
                    "below_minimum": dg.MetadataValue.json(low),
                    "warnings": dg.MetadataValue.json(warned),
                },
            )
        )
    return results


def _partition_metadata(result: Result, stored: Stored) -> dict[str, Any]:
    facts = stored.facts
    metadata: dict[str, Any] = {
        "dagster/partition_row_count": stored.rows,
        "rows": stored.rows,
        "bytes": stored.bytes,
        "sha256": stored.sha256,
        "file": dg.MetadataValue.path(str(stored.path)),
        **result.numbers,
    }
    for extension in sorted(result.files):
        metadata[f"file_{extension}"] = dg.MetadataValue.path(str(stored.path.with_suffix(f".{extension}")))
    if facts.coverage is not None:
        metadata |= {
            "coverage": round(facts.coverage, 6),
            "samples_seen": facts.samples_seen,
            "samples_expected": facts.samples_expected,
        }
    if facts.series is not None:
        metadata |= {"series": facts.series, "read_methods": ", ".join(facts.read_methods)}
    if facts.warnings:
        metadata["warnings"] = dg.MetadataValue.json(list(facts.warnings))
    if facts.low_coverage:
        metadata["low_coverage"] = dg.MetadataValue.json(list(facts.low_coverage))
    if facts.as_of_ms is not None:
        metadata["as_of"] = datetime.fromtimestamp(facts.as_of_ms / 1000, UTC).isoformat()
    if facts.days_read or facts.days_missing:
        metadata["days_read"] = len(facts.days_read)
        metadata["days_missing"] = dg.MetadataValue.json(list(facts.days_missing))
    if facts.notes:
        metadata["notes"] = dg.MetadataValue.json(list(facts.notes))
    if result.preview_svg:
        encoded = base64.b64encode(result.preview_svg.encode()).decode()
        metadata["chart"] = dg.MetadataValue.md(f"![chart](data:image/svg+xml;base64,{encoded})")
    return metadata


def _description(instance: Instance) -> str:
    inputs = ", ".join(source.table.name for source in instance.upstream)
    lines = [instance.description or instance.component.description, f"One row is {instance.table.description}."]
    if inputs:
        lines.append(f"Reads {inputs}.")
    return "\n\n".join(lines)


def _column_schema(columns: Sequence[Column]) -> dg.TableSchema:
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=str(column.type),
                description=column.description + (f" [{column.unit}]" if column.unit else ""),
                constraints=dg.TableColumnConstraints(
                    nullable=column.nullable,
                    other=[
                        *([f">= {column.minimum:g}"] if column.minimum is not None else []),
                        *([f"<= {column.maximum:g}"] if column.maximum is not None else []),
                        *([f"one of {', '.join(column.values)}"] if column.values else []),
                    ],
                ),
            )
            for column in columns
        ]
    )
