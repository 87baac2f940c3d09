"""Names of entities that several labels name."""

from analytics_assets.processors.entity_id import entity_id
from analytics_assets.processors.metric_samples import entity_of
from analytics_assets.processors.storage_tiers import TierKey


def test_ids_are_told_apart():
    """Stops any two pairs from having one id."""
    parts = ["a", "-", "->", ">", "%", "%3E", "a-", "-a", "a->b", ""]
    for separator in ("->", "/"):
        assert len({entity_id((one, other), separator) for one in parts for other in parts}) == len(parts) ** 2
    assert entity_id(("n1", "n2"), "->") == "n1->n2"


def test_collected_samples_have_the_ids_of_the_other_tables():
    """Stops a join of metric_samples with network_traffic or storage_utilization from finding nothing."""
    assert entity_of({"source_node": "n1", "target_node": "n>2"}) == ("link", "n1->n%3E2")
    assert entity_of({"tier": "ssd", "node_id": "a/b", "operation": "read"}) == ("tier", TierKey("ssd", "a/b").id)
    assert entity_of({"node_id": "n1", "interface": "eth0/1"}) == ("interface", "n1/eth0%2F1")
    assert entity_of({"vm_id": "a/b%"}) == ("vm", "a/b%")
    assert entity_of({"cpu": "0"}) == ("other", None)
