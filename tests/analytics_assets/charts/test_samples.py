from datetime import date

import pytest

from analytics_assets.charts.samples import identifier, literal, samples_of
from analytics_assets.charts.wording import top_title
from analytics_assets.processors.system_load import SYSTEM_LOAD
from analytics_assets.processors.vm_resources import VM_RESOURCES
from resources.errors import InvalidInput
from resources.monitoring.metrics import VM_COLUMNS


def test_names_and_texts_are_quoted() -> None:
    assert identifier('a"b') == '"a""b"'
    assert literal("a'b") == "'a''b'"


def test_a_table_says_what_its_entities_and_metrics_are() -> None:
    vms, nodes = samples_of("vm_resources", VM_RESOURCES, 300), samples_of("system_load", SYSTEM_LOAD, 300)
    assert (vms.entity_kind, vms.step_ms, vms.stems()) == ("vm", 300_000, list(VM_COLUMNS))
    assert (nodes.entity_kind, nodes.who, nodes.unit("cpu_cores")) == ("node", "node", "cores")
    assert samples_of("vm_resources_hourly", VM_RESOURCES, 300).step_ms == 3_600_000


def test_metrics_are_those_asked_for_or_those_of_the_default_that_exist() -> None:
    nodes = samples_of("system_load", SYSTEM_LOAD, 300)
    assert nodes.chosen((), ("cpu_percent", "disk_bytes")) == ["cpu_percent"]
    assert nodes.chosen(("load_average_1m",), ("cpu_percent",)) == ["load_average_1m"]
    assert nodes.chosen(("cpu_cores", "cpu_cores"), ()) == ["cpu_cores"]  # twice would be two charts of one id
    with pytest.raises(InvalidInput, match="'disk_bytes' is not measured in table system_load"):
        nodes.chosen(("disk_bytes",), ())


def test_the_window_is_literal_in_the_statement() -> None:
    """Anyone who runs it again must get the same days."""
    sql = samples_of("system_load", SYSTEM_LOAD, 300).select(
        "memory_bytes", date(2026, 3, 1), date(2026, 3, 14), 3_600_000
    )
    assert "day BETWEEN DATE '2026-03-01' AND DATE '2026-03-14'" in sql
    assert '"memory_total_bytes"' in sql


@pytest.mark.parametrize(
    ("shown", "of", "title"),
    [
        (6, 20, "Data received by the 6 VMs that receive most"),
        (1, 20, "Data received by the VM that receives most"),
        (4, 4, "Data received of all 4 VMs"),
        (1, 1, "Data received of the only VM"),
    ],
)
def test_titles_count_what_is_shown(shown: int, of: int, title: str) -> None:
    assert top_title("network_receive_bytes_per_second", shown, of, "VM") == title
