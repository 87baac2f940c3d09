"""A sensor that gives partitions to tenants that a source has samples of and Dagster does not know yet."""

import hashlib
import json

import dagster as dg

from analytics_assets.partitions import TENANT_PARTITIONS, registered_tenants
from resources.monitoring.server.failures import shown
from resources.settings import Settings
from resources.sources import open_sources

MOST_NAMED = 20
"""Labels that one message names; there may be a million."""

MOST_KEPT = 1_000
"""Labels that the cursor remembers one by one; of more, it remembers whether they are the same."""


def tenant_discovery(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor. It only adds partitions; nothing is run, and nothing is ever removed.

    Values of the tenant label that are no tenant ids are in quarantine: no sample under them is
    read. They are kept in the sensor's cursor, and each new one is warned of once in its log; the
    tick's result, and `novacron-analytics tenants`, name them as long as they are there.
    """

    @dg.sensor(
        name="tenant_discovery",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Adds a partition for each tenant that has samples and is not registered yet, at most "
        f"{settings.max_new_tenants} at once. Labels that are no tenant ids are warned of and never read.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        sources = open_sources(settings)
        registered = set(registered_tenants(context.instance))
        found = [tenant for tenant in sources.tenants() if tenant not in registered]
        refused = sources.refused_tenants()
        digest = hashlib.sha256("\0".join(sorted(refused)).encode()).hexdigest()
        warned = json.loads(context.cursor) if context.cursor else {"labels": [], "digest": ""}
        unheard = sorted(set(refused) - set(warned["labels"])) if digest != warned["digest"] else []
        for label in unheard[:MOST_NAMED]:
            context.log.warning(
                f"tenant label {shown(label, 80)} is in quarantine, its samples are not read: {refused[label]}."
            )
        if len(unheard) > MOST_NAMED:
            context.log.warning(f"{len(unheard) - MOST_NAMED} more labels are in quarantine.")
        new, waiting = found[: settings.max_new_tenants], found[settings.max_new_tenants :]
        if waiting:
            context.log.warning(
                f"{len(found)} new tenants at once: {len(new)} are registered now, {len(waiting)} at the next ticks "
                f"(max_new_tenants = {settings.max_new_tenants}). If these are not tenants, mend the tenant_id label."
            )
        cursor = json.dumps({"labels": sorted(refused)[:MOST_KEPT], "digest": digest})
        if not new:
            quarantine = f"; {len(refused)} label(s) in quarantine: {_named(sorted(refused))}" if refused else ""
            return dg.SensorResult(skip_reason=f"every tenant with samples is registered{quarantine}", cursor=cursor)
        context.log.info(f"registering {', '.join(new)}")
        request = dg.DynamicPartitionsDefinition(name=TENANT_PARTITIONS).build_add_request(new)
        return dg.SensorResult(dynamic_partitions_requests=[request], cursor=cursor)

    return sensor


def _named(labels: list[str]) -> str:
    more = f" and {len(labels) - MOST_NAMED} more" if len(labels) > MOST_NAMED else ""
    return ", ".join(shown(label, 80) for label in labels[:MOST_NAMED]) + more
