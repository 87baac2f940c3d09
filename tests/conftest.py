"""Fixtures that many tests share: a small home with a simulated fleet, and the real traces where they are."""

import os
from datetime import date
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from resources.settings import Settings, load_settings

hypothesis_settings.register_profile("any machine", deadline=None)  # what is compiled at first use takes its time
hypothesis_settings.load_profile("any machine")

FLEET_FIRST_DAY = date(2026, 2, 1)
FLEET_DAYS = 12


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    """The settings of whoever runs the tests must not change what they find."""
    for name in [name for name in os.environ if name.startswith(("ANALYTICS_", "DAGSTER_"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def small_home(tmp_path: Path) -> Settings:
    """A home with a simulated fleet of 2 tenants x 4 VMs x 12 days from 2026-02-01, nothing computed yet."""
    return make_home(tmp_path / "home")


def make_home(folder: Path, **changes: object) -> Settings:
    """Return the settings of a new home in `folder` with a small simulated fleet."""
    values = {
        "source": '"simulated"',
        "simulated_tenants": 2,
        "simulated_vms": 4,
        "simulated_days": FLEET_DAYS,
        "simulated_first_day": FLEET_FIRST_DAY,
        "simulated_interval_seconds": 300,
        **changes,
    }
    folder.mkdir(parents=True)
    (folder / "analytics.toml").write_text("".join(f"{name} = {value}\n" for name, value in values.items()))
    return load_settings(folder, {})


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real traces; tests that need it skip where it is not."""
    named = os.environ.get("NOVACRON_SHARED_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real traces: {folder} is not there (set NOVACRON_SHARED_DATA)")
    return folder
