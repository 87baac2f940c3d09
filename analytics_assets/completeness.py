"""Whether a partition rests on enough samples: what is thin is flagged or refused, what is stored is kept from less."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

from analytics_assets.components import Instance
from resources.errors import PermanentFailure
from resources.lake.lake import Facts, Lake
from resources.lake.partition_file import CorruptPartition
from resources.partition import Partition

KEPT_SHARE = 0.99
"""A day may come out with so much fewer samples than were ever stored of it: which of a migrated VM's
series speaks is known only afterwards."""

SILENT_DAYS = 7
"""So long after its last sample a tenant's silence counts as missing samples; then it has gone."""


def low_coverage(instance: Instance, partition: Partition, lake: Lake, minimum: float) -> tuple[str, ...]:
    """Return the tables of this day that `instance` reads and that lack samples (or may), or rest on ones that do."""
    low: set[str] = set()
    for source in instance.upstream:
        if not lake.has(source.table.name, partition.tenant, partition.day):
            continue
        facts = lake.footer(source.table.name, partition)[1]
        low.update(facts.low_coverage)
        thin = source.component.table.measured and facts.coverage is not None and facts.coverage < minimum
        if thin or facts.warnings:
            low.add(source.table.name)
    return tuple(sorted(low))


def refuse_thin(instance: Instance, partition: Partition, low: Sequence[str], minimum: float) -> None:
    """Keep `instance` from being computed where the tables `low` lack samples.

    Raises:
        PermanentFailure: there are such tables.
    """
    if low:
        raise PermanentFailure(
            f"{instance.table.name}, {partition.key}: {', '.join(low)} of that day has less than minimum_coverage = "
            f"{minimum:.0%} of its samples, or the source warned that some are missing, and low_coverage = block. "
            "What was stored is kept. Mend the source and materialize these tables again, or set low_coverage = warn."
        )


def recipe_of(instance: Instance) -> str:
    """Return what tells the parameters of an instance that collects samples from others."""
    return hashlib.sha256(instance.parameters.model_dump_json().encode()).hexdigest()[:16]


def expected_in_vain(instance: Instance, partition: Partition, lake: Lake, facts: Facts) -> Facts:
    """Return `facts` of a day without any sample as ones of a day that lacks them, if there were some days before.

    As many as on the last day that had samples are taken to be missing.
    """
    if facts.samples_expected:
        return facts
    for before in _stored_before(instance, partition, lake):
        if before.samples_seen and before.recipe == facts.recipe:
            return replace(facts, samples_seen=0, samples_expected=before.samples_expected)
    return facts


def _stored_before(instance: Instance, partition: Partition, lake: Lake) -> Iterator[Facts]:
    """Yield the facts of the days before, the latest first."""
    for back in range(1, SILENT_DAYS + 1):
        day = partition.day - timedelta(days=back)
        if lake.has(instance.table.name, partition.tenant, day):
            try:
                yield lake.footer(instance.table.name, Partition(partition.tenant, day))[1]
            except CorruptPartition:
                continue  # whoever reads that day is told; it says nothing of this one


def not_less_than_stored(instance: Instance, partition: Partition, lake: Lake, facts: Facts) -> Facts:
    """Return `facts` with the most samples that were ever seen of the day.

    Raises:
        PermanentFailure: the source has less of it now, as when the day left its retention.
    """
    if not lake.has(instance.table.name, partition.tenant, partition.day):
        return facts
    try:
        kept = lake.footer(instance.table.name, partition)[1]
    except CorruptPartition:
        return facts  # there is nothing left to keep
    if kept.recipe != facts.recipe:
        return facts  # other metrics were asked for
    most, found = max(kept.samples_seen or 0, kept.samples_most or 0), facts.samples_seen or 0
    if found < KEPT_SHARE * most:
        raise PermanentFailure(
            f"table {instance.table.name}, {partition.key}: the source now has {found} samples where there were "
            f"{most}; it has probably forgotten that day. The stored day was kept. To overwrite it, set "
            "ANALYTICS_SOURCE_FEWER_SAMPLES=accept."
        )
    return replace(facts, samples_most=most) if most > found else facts
