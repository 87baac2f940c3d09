"""A home with two tenants computed for three days, made once for all tests of the commands that only read."""

import pytest

from analytics_assets.assets import compute_partition
from analytics_assets.pipelines.graph import find_pipeline
from resources.analytics_home import AnalyticsHome
from resources.lake.lake import Lake
from resources.partition import Partition, days_between, parse_day
from resources.settings import Settings
from tests.conftest import make_home


@pytest.fixture(scope="session")
def computed_home(tmp_path_factory) -> Settings:
    settings = make_home(tmp_path_factory.mktemp("computed") / "home")
    home, lake = AnalyticsHome(home=str(settings.home)), Lake(settings.lake_root)
    for tenant in ("acme", "globex", "platform"):
        for instance in find_pipeline(settings, "daily-analytics").instances:
            if instance.component.stage in ("processors", "analyzers"):
                for day in days_between(parse_day("2026-02-10"), parse_day("2026-02-12")):
                    compute_partition(instance, Partition(tenant, day), settings, lake, home)
    return settings
