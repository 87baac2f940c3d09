"""Which source serves which tenant: imported traces where a tenant has some, else the configured source."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa

from resources.errors import InvalidInput
from resources.inventory.file import InventoryFile
from resources.inventory.source import InventorySource, NoInventory
from resources.monitoring.server.connection import Connection
from resources.monitoring.simulated.source import SimulatedFleet
from resources.monitoring.source import MetricSource, SeriesBatch
from resources.monitoring.traces.source import TraceFiles
from resources.settings import Settings

if TYPE_CHECKING:
    from resources.monitoring.server.source import ServerSource


@dataclass(frozen=True)
class TenantSources:
    """Samples and sizes of every tenant, each from the source that has them."""

    traces: TraceFiles
    configured: MetricSource | None
    sizes: InventorySource
    sizes_of_traces_too: bool = False
    """Whether `sizes` has the sizes of VMs with imported traces as well; else the traces have their own."""
    kind: str = "by tenant"

    def of(self, tenant: str) -> MetricSource:
        """Return the source of `tenant`; one without imported traces and configured source has no samples."""
        if self.configured is None or self.traces.has(tenant):
            return self.traces
        return self.configured

    def tenants(self) -> list[str]:
        configured = self.configured.tenants() if self.configured else []
        return sorted({*self.traces.tenants(), *configured})

    def refused_tenants(self) -> dict[str, str]:
        return self.configured.refused_tenants() if self.configured else {}

    def extent(self, tenant: str) -> tuple[date, date] | None:
        return self.of(tenant).extent(tenant)

    def has_passed(self, tenant: str, ts_ms: int) -> bool:
        return self.of(tenant).has_passed(tenant, ts_ms)

    def sample_interval_seconds(self, tenant: str) -> int | None:
        return self.of(tenant).sample_interval_seconds(tenant)

    def samples(self, tenant: str, selectors: Sequence[str], start_ms: int, end_ms: int) -> Iterator[SeriesBatch]:
        return self.of(tenant).samples(tenant, selectors, start_ms, end_ms)

    def inventory(self, tenant: str, start_ms: int, end_ms: int) -> pa.Table:
        sizes = self.sizes if self.sizes_of_traces_too or not self.traces.has(tenant) else self.traces
        return sizes.inventory(tenant, start_ms, end_ms)

    def first_day(self) -> date | None:
        """Return the first day that any tenant has samples of, None where there are none at all."""
        extents = (self.extent(tenant) for tenant in self.tenants())
        return min((extent[0] for extent in extents if extent), default=None)


def open_sources(settings: Settings, within_seconds: float | None = None) -> TenantSources:
    """Return the sources that `settings` name. Nothing is asked of a server yet.

    With `within_seconds`, as a sensor needs it, whatever is asked later than that fails, nothing is
    asked twice, and no answer is waited for long.

    Raises:
        InvalidInput: a setting that the source needs is missing or wrong.
    """
    traces = TraceFiles(settings.traces_root)
    hurry = within_seconds is not None
    everybodys = settings.inventory != "auto"  # what somebody asked for by name wins over the traces' own sizes
    if settings.source == "simulated":
        fleet = SimulatedFleet(
            seed=settings.simulated_seed,
            tenants=settings.simulated_tenants,
            vms_per_tenant=settings.simulated_vms,
            first_day=settings.simulated_first_day,
            days=settings.simulated_days,
            interval_seconds=settings.simulated_interval_seconds,
        )
        return TenantSources(traces, fleet, _open_inventory(settings, None, fleet, hurry), everybodys)
    server = open_server(settings, within_seconds) if settings.is_live else None
    return TenantSources(traces, server, _open_inventory(settings, server, None, hurry), everybodys)


def open_server(settings: Settings, within_seconds: float | None = None) -> "ServerSource":
    """Return the configured server as a source of samples; `within_seconds` as in `open_sources`.

    Raises:
        InvalidInput: its address is not set, or its credentials cannot be used.
    """
    # A server's client, decoder and their libraries are loaded only where there is a server.
    from resources.monitoring.hurried import HurriedClient
    from resources.monitoring.prometheus.reader import PrometheusReader
    from resources.monitoring.server.api import PrometheusApi
    from resources.monitoring.server.http import HttpClient
    from resources.monitoring.server.reader import Reader
    from resources.monitoring.server.source import Limits, ServerSource
    from resources.monitoring.victoriametrics.export import Export

    connection = connection_of(settings)
    client = HttpClient(connection) if within_seconds is None else HurriedClient(connection, within_seconds)
    reader: Reader = (
        PrometheusReader(client, settings.source_read_method) if settings.source == "prometheus" else Export(client)
    )
    limits = Limits(
        interval_seconds=settings.source_interval_seconds,
        chunk_samples=settings.source_chunk_samples,
        concurrency=settings.source_concurrency,
        max_entities=settings.source_max_entities,
        partial_answers=settings.source_partial_answers,
    )
    return ServerSource(
        settings.source, client.connection.url, reader, PrometheusApi(client), limits, settings.first_day
    )


def connection_of(settings: Settings) -> Connection:
    """Return how to reach the configured server.

    Raises:
        InvalidInput: its address is not set, or a setting cannot be used.
    """
    name = f"{settings.source}_url"
    url = settings.prometheus_url if settings.source == "prometheus" else settings.victoriametrics_url
    if url is None:
        raise InvalidInput(
            f"source = {settings.source} needs the setting {name}. Set ANALYTICS_{name.upper()}, such as "
            "http://prometheus:9090."
        )
    return Connection(
        url=url,
        bearer_token_file=settings.source_bearer_token_file,
        username=settings.source_username,
        password_file=settings.source_password_file,
        ca_file=settings.source_ca_file,
        headers=dict(settings.source_headers),
        read_timeout_seconds=settings.source_read_timeout_seconds,
        request_timeout_seconds=settings.source_request_timeout_seconds,
        attempts=settings.source_attempts,
        url_setting=name,
    )


def _open_inventory(
    settings: Settings, server: "ServerSource | None", fleet: InventorySource | None, in_a_hurry: bool
) -> InventorySource:
    """Return where sizes come from, but for those that imported traces have themselves."""
    kind = settings.inventory
    if kind == "auto":
        kind = "file" if settings.inventory_file else "prometheus" if server else "none"
        if fleet is not None and kind == "none":
            return fleet
    if kind == "file":
        if settings.inventory_file is None:
            raise InvalidInput("inventory = file needs the setting inventory_file: a CSV or JSON file with VM sizes.")
        return InventoryFile(settings.inventory_file)
    if kind == "prometheus":
        if server is None:
            raise InvalidInput(
                f"inventory = prometheus asks the server that samples come from, and source = {settings.source} is "
                "none. Set source to prometheus or victoriametrics, or take another inventory."
            )
        from resources.inventory.prometheus import InventoryQueries, Labels

        labels = Labels(uuid=settings.inventory_vm_label, name=settings.inventory_name_label)
        return InventoryQueries(server.api, dict(settings.inventory_queries) or None, labels)
    if kind == "libvirt":
        if settings.libvirt_uri is None:
            raise InvalidInput("inventory = libvirt needs the setting libvirt_uri, such as qemu+ssh://node/system.")
        from resources.inventory.libvirt import LibvirtInventory
        from resources.inventory.libvirt_host import HURRIED_LOOK_SECONDS, LOOK_SECONDS
        from resources.inventory.membership import VmsInMetrics
        from resources.inventory.observations import Observations

        vms = VmsInMetrics(server.api) if server else None
        seconds = HURRIED_LOOK_SECONDS if in_a_hurry else LOOK_SECONDS
        return LibvirtInventory(settings.libvirt_uri, Observations(settings.inventory_root), vms=vms, seconds=seconds)
    return NoInventory()


def known_tenants(settings: Settings) -> list[str]:
    """Return every tenant that a source has samples of, sorted."""
    return open_sources(settings).tenants()
