"""The Dagster resource that every asset uses: the home folder with its settings, lake and sources."""

from functools import lru_cache
from pathlib import Path

import dagster as dg

from resources.lake.lake import Lake
from resources.settings import Settings, load_settings
from resources.sources import TenantSources, open_sources


class AnalyticsHome(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The home that a run works in, by its folder."""

    home: str

    def settings(self) -> Settings:
        return load_settings(Path(self.home))

    def lake(self) -> Lake:
        return Lake(self.settings().lake_root)

    def sources(self) -> TenantSources:
        return _sources(self.settings())


@lru_cache(maxsize=4)
def _sources(settings: Settings) -> TenantSources:
    """Return the sources of one process, kept: a simulated fleet is planned once, not once an asset."""
    return open_sources(settings)
