"""A sensor that gives partitions to tenants that a source has samples of and Dagster does not know yet."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence

import dagster as dg

from analytics_assets.partitions import TENANT_PARTITIONS, registered_tenants
from resources.errors import TransientFailure
from resources.monitoring.server.failures import shown
from resources.partition import PLATFORM
from resources.settings import Settings
from resources.sources import open_sources

INTERVAL_SECONDS = 60

WITHIN_SECONDS = 28.0
"""When a tick asks for the last time, of the minute that Dagster gives it."""

MOST_NAMED = 20
"""Labels that one message names; there may be a million."""

MOST_KEPT = 1_000
"""Labels that the cursor remembers one by one, by digests; of more, it remembers whether they are the same."""

DIGEST_DIGITS = 16


def tenant_discovery(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor. It only adds partitions; nothing is run, and nothing is ever removed.

    Values of the tenant label that are no tenant ids are in quarantine: no sample under them is
    read. The sensor's cursor remembers them, and each new one is warned of once in its log; the
    tick's result, and `novacron-analytics tenants`, name them as long as they are there.
    """

    @dg.sensor(
        name="tenant_discovery",
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Adds a partition for each tenant that has samples and is not registered yet, at most "
        f"{settings.max_new_tenants} at once. Labels that are no tenant ids are warned of and never read.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        sources = open_sources(settings, WITHIN_SECONDS)
        try:
            known, refused = sources.tenants(), sources.refused_tenants()
        except TransientFailure as error:
            raise TransientFailure(f"{error} No tenant was added; those that are registered stay.") from error
        registered = set(registered_tenants(context.instance))
        # The operator's own partition never waits for those of a thousand labels that are a mistake.
        found = sorted(set(known) - registered, key=lambda tenant: (tenant != PLATFORM, tenant))
        new, waiting = found[: settings.max_new_tenants], found[settings.max_new_tenants :]
        _warn(context, refused, _unheard(refused, context.cursor))
        if waiting:
            context.log.warning(
                f"{len(found)} new tenants at once: {len(new)} are registered now, {len(waiting)} at the next ticks "
                f"(max_new_tenants = {settings.max_new_tenants}). If these are not tenants, mend the tenant_id label."
            )
        said = f"registering {_named(new)}" if new else "every tenant with samples is registered"
        if refused:
            said += f"; {len(refused)} label(s) in quarantine: {_named(sorted(refused))}"
        requests = [dg.DynamicPartitionsDefinition(name=TENANT_PARTITIONS).build_add_request(new)] if new else []
        return dg.SensorResult(skip_reason=said, dynamic_partitions_requests=requests, cursor=_cursor(refused))

    return sensor


def _unheard(refused: Iterable[str], cursor: str | None) -> list[str]:
    """Return the labels that the last tick did not have."""
    try:
        kept = json.loads(cursor or "{}")
        heard, of_all = set(kept["labels"]), kept["all"]
    except (ValueError, KeyError, TypeError):  # the first tick; or somebody edited the cursor, which the UI offers
        heard, of_all = set(), ""
    if _digest(sorted(refused)) == of_all:
        return []
    return [label for label in sorted(refused) if _digest([label]) not in heard]


def _cursor(refused: Iterable[str]) -> str:
    """Return what is remembered of the labels, in at most 20 kB: Dagster stores it with every tick."""
    labels = sorted(refused)
    kept = {"labels": [_digest([label]) for label in labels[:MOST_KEPT]], "all": _digest(labels)}
    return json.dumps(kept, separators=(",", ":"))


def _digest(labels: Sequence[str]) -> str:
    text = "\0".join(labels).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()[:DIGEST_DIGITS]


def _warn(context: dg.SensorEvaluationContext, refused: Mapping[str, str], unheard: Sequence[str]) -> None:
    for label in unheard[:MOST_NAMED]:
        context.log.warning(
            f"tenant label {shown(label, 80)} is in quarantine, its samples are not read: {refused[label]}."
        )
    if len(unheard) > MOST_NAMED:
        context.log.warning(f"{len(unheard) - MOST_NAMED} more labels are in quarantine.")


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(shown(name, 80) for name in names[:MOST_NAMED]) + more
