"""Suspects of planted incidents, by what the incident is, read from a lake as in production."""

import numpy as np
import pytest

from analytics_assets.analyzers.anomaly_model.table import TABLE as ANOMALIES
from analytics_assets.analyzers.anomaly_model.table import TOGETHER
from analytics_assets.analyzers.suspect_model.parameters import SuspectsParameters
from analytics_assets.analyzers.suspects import TABLE
from resources.lake.lake import Facts, Lake
from tests.analytics_assets.analyzers.suspects_lake import (
    FIRST,
    LAST,
    STEPS,
    alarm,
    at,
    bump,
    found,
    neighbours,
    noise,
    vms,
)


def test_the_neighbour_that_moved_with_the_alarm_is_named_with_its_evidence(lake):
    neighbours(lake)
    alarm(lake, ("vm", "web", "cpu_percent", FIRST, LAST, 3.0))
    result, rows = found(lake)
    assert [row["rank"] for row in rows] == [1, 2, 3]
    assert {row["suspect_id"] for row in rows} == {"backup", "calm", "web"}
    first = rows[0]
    assert (first["status"], first["suspect_id"], first["candidates"]) == ("ok", "backup", 3)
    assert (first["suspect_kind"], first["suspect_tenant"], first["suspect_metric"]) == ("vm", "acme", "cpu_percent")
    assert first["agreement"] > 0.9
    assert first["before"] == pytest.approx(40, abs=1.5)
    assert first["during"] > 70
    assert first["distance"] == 2
    assert at(FIRST) <= int(first["onset"].timestamp() * 1000) <= at(FIRST + 1)
    assert first["coverage"] == 1
    assert "agreement with the alarm" in first["evidence"]
    assert result.numbers == {"incidents": 1, "without_answer": 0, "own_cause": 0}
    assert len(result.facts.days_read) == 2


def test_an_interval_of_several_instances_of_anomalies_is_one_incident(lake):
    """Two instances that share a metric stored one interval each, and the table refused the second."""
    neighbours(lake)
    other = ANOMALIES.named("strict_anomalies")
    alarm(lake, ("vm", "web", "cpu_percent", FIRST, LAST, 3.0), ("vm", "calm", "cpu_percent", FIRST, LAST, 2.0))
    once = found(lake)[0]
    alarm(lake, ("vm", "web", "cpu_percent", FIRST, LAST - 3, 1.0), table=other)
    twice = found(lake, more_anomalies=(other,))[0]
    assert twice.numbers["incidents"] == 2
    assert TABLE.conform(twice.data).equals(TABLE.conform(once.data))
    alarm(lake, ("vm", "web", "cpu_percent", FIRST, LAST - 3, 9.0), table=other)
    rows = found(lake, more_anomalies=(other,))[1]
    assert {int(row["end"].timestamp() * 1000) for row in rows if row["entity_id"] == "web"} == {at(LAST - 2)}


def test_who_has_no_samples_around_the_incident_is_no_suspect(lake):
    """Its evidence read: from nan to nan."""
    neighbours(lake)
    gone = np.where(np.arange(STEPS) < FIRST - 50, 1e9, np.nan)
    vms(lake, {
        "web": {"cpu_percent": bump(noise(2), 25)},
        "none": {"cpu_percent": np.full(STEPS, np.nan)},
        "gone": {"memory_bytes": gone},
    })  # fmt: skip
    alarm(lake, ("vm", "web", "cpu_percent", FIRST, LAST, 3.0))
    rows = found(lake)[1]
    assert "none" not in {row["suspect_id"] for row in rows}
    assert not [row for row in rows if "nan" in row["evidence"]]


def test_an_incident_of_which_nobody_has_samples_says_so(lake):
    """There is no metric left to be ranked by."""
    vms(lake, {"web": {"cpu_percent": np.full(STEPS, np.nan)}})
    alarm(lake, ("vm", "web", TOGETHER, FIRST, LAST, 3.0))
    [row] = found(lake)[1]
    assert (row["status"], row["candidates"]) == ("no_data", 1)


def test_what_happens_after_the_incident_does_not_matter(lake, tmp_path):
    """A suspect must not change when the day goes on."""
    neighbours(lake)
    alarm(lake, ("vm", "web", "cpu_percent", FIRST, LAST, 3.0))
    later = Lake(tmp_path / "later")
    neighbours(later, after=90)
    alarm(later, ("vm", "web", "cpu_percent", FIRST, LAST, 3.0))
    assert found(later)[0].data.equals(found(lake)[0].data)


def test_an_incident_of_one_sample_is_looked_at_longer(lake):
    """One step has no course."""
    neighbours(lake)
    alarm(lake, ("vm", "web", "cpu_percent", FIRST + 3, FIRST + 3, 3.0))
    assert found(lake)[1][0]["suspect_id"] == "backup"


def test_an_incident_of_several_metrics_goes_by_change(lake):
    """A multivariate anomaly has no metric of its own that others could agree with."""
    neighbours(lake)
    alarm(lake, ("vm", "web", TOGETHER, FIRST, LAST, 3.0))
    rows = found(lake)[1]
    assert rows[0]["suspect_id"] == "backup"
    assert rows[0]["agreement"] is None
    assert rows[0]["entity_change"] > rows[1]["entity_change"]


def test_an_incident_that_began_the_day_before_is_looked_at_from_there(lake):
    """From midnight on there is neither its way up nor a time before it."""
    series = {"backup": bump(noise(1), 60, 270, 300), "calm": noise(3), "web": bump(noise(2), 25, 270, 300)}
    vms(lake, {vm: {"cpu_percent": values} for vm, values in series.items()})
    alarm(lake, ("vm", "web", "cpu_percent", 288, 300, 3.0), began=at(270))
    [first, *_] = found(lake)[1]
    assert first["suspect_id"] == "backup"
    assert first["before"] == pytest.approx(40, abs=1.5)
    assert int(first["start"].timestamp() * 1000) == at(288)


@pytest.mark.parametrize("more", [{"status": "insufficient_data"}, {"kind": "peer"}])
def test_what_is_no_incident_has_no_suspects(lake, more):
    """Metrics that could not be judged and VMs that differ from their peers all day have rows in anomalies too."""
    neighbours(lake)
    alarm(lake, ("vm", "web", "cpu_percent", FIRST, LAST, 3.0), **more)
    assert found(lake)[1] == []


def test_incidents_without_an_answer_say_why(lake):
    """Too early to know what is usual; unknown VM; a metric that was not there."""
    neighbours(lake)
    alarm(
        lake,
        ("vm", "ghost", "cpu_percent", FIRST, LAST, 1.0),
        ("vm", "calm", "memory_bytes", FIRST, LAST, 1.0),
        ("vm", "web", "cpu_percent", 288 + 2, 288 + 5, 1.0),
    )
    rows = {row["entity_id"]: row for row in found(lake, parameters=SuspectsParameters(history_days=1))[1]}
    assert (rows["ghost"]["status"], rows["ghost"]["candidates"]) == ("no_data", 0)
    assert (rows["calm"]["status"], rows["calm"]["suspect_id"]) == ("no_data", None)
    assert rows["web"]["status"] == "insufficient_data"
    assert rows["web"]["reason"].startswith("2 steps of history")


def test_the_highest_incidents_are_looked_into(lake):
    neighbours(lake)
    alarm(
        lake,
        ("vm", "web", "cpu_percent", FIRST, LAST, 3.0),
        ("vm", "calm", "cpu_percent", 320, 330, 1.0),
        ("vm", "far", "cpu_percent", FIRST, LAST, 2.0),
    )
    parameters = SuspectsParameters(maximum_incidents=2, suspects_per_incident=1)
    rows = found(lake, parameters=parameters)[1]
    assert [(row["entity_id"], row["suspect_id"]) for row in rows] == [("far", "far"), ("web", "backup")]


def test_without_anomalies_there_are_no_rows_and_a_note(lake):
    neighbours(lake)
    result, rows = found(lake, roles=())
    assert rows == []
    assert "no anomalies are read" in result.facts.notes[0]
    alarm(lake)
    result, rows = found(lake)
    assert rows == []
    assert "no anomaly that day" in result.facts.notes[0]


def test_an_unfinished_day_ends_where_its_samples_end(lake):
    neighbours(lake, facts=Facts(as_of_ms=at(LAST - 1)))
    alarm(lake, ("vm", "web", "cpu_percent", FIRST, LAST, 3.0))
    assert found(lake)[1][0]["suspect_id"] == "backup"
