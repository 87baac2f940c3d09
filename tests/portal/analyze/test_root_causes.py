"""`analyze root-causes` on real files."""

import numpy as np
import pandas as pd
import pytest

from tests.portal.analyze.files import analyze, read, summary, write

START, END = pd.Timestamp("2026-03-02T10:00Z"), pd.Timestamp("2026-03-02T10:09Z")
WINDOW = ("--start", START.isoformat(), "--end", END.isoformat())
ALARM = ("--target-entity", "shop", "--target-metric", "latency")


def incident() -> pd.DataFrame:
    """Shop calls cart, cart calls database: database is slow in the window, cart and shop follow; mail is not in it."""
    ts = pd.Timestamp("2026-03-02T06:00Z") + np.arange(300) * pd.Timedelta(minutes=1)
    inside = (ts >= START) & (ts <= END)
    ramp = np.where(inside, np.cumsum(inside), 0.0)
    parts = []
    for number, (entity, share) in enumerate({"shop": 0.8, "cart": 0.9, "database": 1.0, "mail": 0.0}.items()):
        random = np.random.default_rng(number)
        latency = 0.1 + 0.002 * random.standard_normal(300) + 0.05 * share * ramp
        cpu = 20 + random.standard_normal(300) + (30 * inside if entity == "database" else 0)
        for metric, values in (("latency", latency), ("cpu", cpu)):
            parts.append(pd.DataFrame({"entity": entity, "metric": metric, "ts": ts, "value": values}))
    return pd.concat(parts)


@pytest.fixture
def samples(tmp_path):
    return write(tmp_path / "in.parquet", incident())


def graph(folder, text="source,target\nshop,cart\ncart,database\nshop,mail\n"):
    path = folder / "calls.csv"
    path.write_text(text)
    return path


def test_the_deepest_one_that_moved_with_the_alarm_is_first(tmp_path, samples):
    calls = graph(tmp_path)
    done = analyze("root-causes", samples, *WINDOW, *ALARM, "--graph", calls, "--output", tmp_path / "out.csv")
    assert done.code == 0, done.err
    found = read(tmp_path / "out.csv")
    assert list(found.columns) == ["rank", "entity", "score", "evidence"]
    assert found["rank"].tolist() == [1, 2, 3, 4]
    assert found["entity"].tolist()[:2] == ["database", "cart"]
    assert found["score"].is_monotonic_decreasing
    assert "2 dependencies from the alarm" in found["evidence"][0]
    assert "1. 'database', score" in done.out


def test_target_and_graph_are_optional_and_the_order_of_rows_does_not_matter(tmp_path, samples):
    told = summary("root-causes", samples, *WINDOW, "--output", tmp_path / "out.csv")
    assert (told["first"], told["entities"], told["metrics"]) == ("database", 4, 2)
    shuffled = write(tmp_path / "shuffled.parquet", incident().sample(frac=1, random_state=0))
    summary("root-causes", shuffled, *WINDOW, "--output", tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "out.csv").read_bytes()


def test_times_of_the_window_are_read_as_those_of_the_file(tmp_path, samples):
    """Stops a window in epoch seconds from being refused, and a local time from being taken as UTC."""
    seconds = ("--start", int(START.timestamp()), "--end", int(END.timestamp()))
    local = ("--start", "2026-03-02T12:00:00+02:00", "--end", "2026-03-02T10:09")
    summary("root-causes", samples, *WINDOW, "--output", tmp_path / "out.csv")
    for window in (seconds, local):
        summary("root-causes", samples, *window, "--output", tmp_path / "again.csv")
        assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "out.csv").read_bytes()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--start", "2026-03-02T10:00", "--end", "2026-03-02T09:00"), "--end lies before --start"),
        (("--start", "soon", "--end", "2026-03-02T09:00"), "--start 'soon' is no time"),
        (
            ("--start", "2026-04-02", "--end", "2026-04-03"),
            "Its times are 2026-03-02T06:00:00Z to 2026-03-02T10:59:00Z",
        ),
        (("--start", "2026-03-02", "--end", "2026-03-03"), "steps of 60 s lie outside"),
        ((*WINDOW, "--target-entity", "x\x1b", "--target-metric", "cpu"), r"has no entity 'x\x1b' (--target-entity)"),
        (
            (*WINDOW, "--target-entity", "shop", "--target-metric", "x"),
            "has no metric 'x' (--target-metric). It has: 'cpu'",
        ),
    ],
)
def test_refused_by_name(tmp_path, samples, options, said):
    done = analyze("root-causes", samples, *options, "--output", tmp_path / "out.csv")
    assert (done.code, (tmp_path / "out.csv").exists()) == (1, False)
    assert said in done.err


def test_half_an_alarm_is_wrong_usage(samples):
    done = analyze("root-causes", samples, *WINDOW, "--target-entity", "shop", "--dry-run")
    assert (done.code, "give both or none" in done.err) == (2, True)


def test_a_graph_that_does_not_fit_is_noticed(tmp_path, samples):
    """Stops a graph with other names from silently changing nothing."""
    calls = graph(tmp_path, "source,target\nShop,Cart\n")
    told = summary("root-causes", samples, *WINDOW, "--graph", calls, "--output", tmp_path / "out.csv")
    assert "1 edges; 4 of 4 entities are not in the graph, such as 'cart'" in told["notes"]
    calls.write_text("from,to\na,b\n")
    done = analyze("root-causes", samples, *WINDOW, "--graph", calls, "--dry-run")
    assert (done.code, "has no column 'source'" in done.err) == (1, True)
    assert "Rename its columns to source and target" in done.err


def test_a_graph_without_the_alarming_entity_is_not_used(tmp_path, samples):
    """Stops such a graph from halving what everybody else is suspected of."""
    summary("root-causes", samples, *WINDOW, *ALARM, "--output", tmp_path / "without.csv")
    calls = graph(tmp_path, "source,target\nshop,shop\ncart,database\n")
    told = summary("root-causes", samples, *WINDOW, *ALARM, "--graph", calls, "--output", tmp_path / "out.csv")
    assert "the graph is not used: 'shop', which raised the alarm, is in none of its 2 edges" in told["notes"]
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "without.csv").read_bytes()


@pytest.mark.parametrize("alarm", [(), ALARM])
def test_an_entity_that_falls_silent_at_the_incident_is_a_suspect(tmp_path, alarm):
    """Stops a database that crashed from ranking last, as it sent nothing that could have changed."""
    rows = incident()
    rows.loc[(rows["entity"] == "database") & (rows["ts"] >= START), "value"] = np.nan
    write(tmp_path / "in.csv", rows)
    summary("root-causes", tmp_path / "in.csv", *WINDOW, *alarm, "--output", tmp_path / "out.csv")
    found = read(tmp_path / "out.csv")
    assert found["entity"][0] == "database"
    assert "it fell silent: 100% of its samples are missing in the incident" in found["evidence"][0]
    assert "has no sample in the incident" in found["evidence"][0]


def test_an_entity_that_was_silent_before_the_incident_is_no_suspect(tmp_path):
    rows = incident()
    rows.loc[(rows["entity"] == "mail") & (rows["ts"] >= START - pd.Timedelta("1h")), "value"] = np.nan
    new = incident().query("entity == 'mail' and @START <= ts <= @END").assign(entity="new")
    write(tmp_path / "in.csv", pd.concat([rows, new]))
    summary("root-causes", tmp_path / "in.csv", *WINDOW, *ALARM, "--output", tmp_path / "out.csv")
    found = read(tmp_path / "out.csv").set_index("entity")
    assert found.loc["mail", "score"] == 0
    assert "has no sample outside of the incident" in found.loc["new", "evidence"]
    assert not found["evidence"].str.contains("nan").any()


def test_several_statistics_of_a_metric_are_not_mixed(tmp_path):
    """Stops an average and a percentile from being taken as one series."""
    rows = pd.concat([incident().assign(stat="Average"), incident().assign(stat="p99")])
    path = write(tmp_path / "in.csv", rows)
    done = analyze("root-causes", path, *WINDOW, "--dry-run")
    assert done.code == 1
    assert "entity 'shop', metric 'latency' has the stats 'Average' and 'p99', which are not one series" in done.err
    told = summary("root-causes", path, *WINDOW, "--ignore", "stat", "--dry-run")
    assert "2,400 rows have the same entity, metric and time as an earlier one" in told["notes"]
    assert summary("root-causes", write(tmp_path / "one.csv", incident().assign(stat="p99")), *WINDOW, "--dry-run")


def test_a_window_in_a_hole_of_the_record_is_told_so(tmp_path, samples):
    rows = incident()
    write(tmp_path / "in.csv", rows[(rows["ts"] < START) | (rows["ts"] > END)])
    done = analyze("root-causes", tmp_path / "in.csv", *WINDOW, "--dry-run")
    assert done.code == 1
    assert "with none between 2026-03-02T09:59:00Z and 2026-03-02T10:10:00Z" in done.err
