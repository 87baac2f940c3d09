"""The component registry, with what installed packages add."""

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from analytics_assets import catalogue
from analytics_assets.processors.vm_resources import COMPONENT
from resources.errors import PermanentFailure


@pytest.fixture(autouse=True)
def _fresh_registry():
    catalogue.components.cache_clear()
    yield
    catalogue.components.cache_clear()


def offer(monkeypatch, value: str) -> None:
    entry = EntryPoint("mine", value, catalogue.ENTRY_POINT_GROUP)
    monkeypatch.setattr(catalogue, "entry_points", lambda group: [entry])


def test_built_in_components_are_named_as_their_files():
    """Stops a component that cannot be found by its name."""
    found = catalogue.components()
    assert [module.rpartition(".")[2] for module in catalogue.BUILT_IN] == list(found)
    assert all(
        component.stage == module.split(".")[1]
        for component, module in zip(found.values(), catalogue.BUILT_IN, strict=True)
    )


def test_an_installed_component_is_found(monkeypatch):
    offer(monkeypatch, "tests.analytics_assets.offered:COMPONENT")
    assert "vm_hours" in catalogue.components()


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("analytics_assets.processors.vm_resources:COMPONENT", "exists already"),
        ("analytics_assets.processors.vm_resources:VM_RESOURCES", "is Table, not a Component"),
    ],
)
def test_a_package_that_offers_something_else_is_named(monkeypatch, value, says):
    """Stops an installed package from replacing a built-in component in silence."""
    offer(monkeypatch, value)
    with pytest.raises(PermanentFailure, match=says):
        catalogue.components()


def test_every_parameter_has_unit_range_and_description():
    """Stops a setting that nobody explains."""
    for component in catalogue.components().values():
        for name, field in component.parameters.model_fields.items():
            assert field.description, f"{component.name}.{name}"
            assert not field.is_required(), f"{component.name}.{name} has no default"
    assert COMPONENT.description


def test_what_there_is_is_told_without_what_computes_it():
    """Stops every query and every start of the code server from paying for numba, pandas, charts and reports."""
    heavy = ("numba", "pandas", "matplotlib", "prophet", "reportlab", "scipy")
    script = (
        "import sys; from analytics_assets.catalogue import components; components(); "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
