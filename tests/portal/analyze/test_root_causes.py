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
    told = summary("root-causes", samples, *WINDOW, *ALARM, "--graph", calls, "--output", tmp_path / "out.csv")
    assert "1 edges; 4 of 4 entities are not in the graph, such as 'cart'" in told["notes"]
    calls.write_text("from,to\na,b\n")
    done = analyze("root-causes", samples, *WINDOW, "--graph", calls, "--dry-run")
    assert (done.code, "has no column 'source'" in done.err) == (1, True)


def test_an_entity_without_values_in_the_window_is_ranked_last(tmp_path):
    rows = incident()
    rows.loc[(rows["entity"] == "mail") & (rows["ts"] >= START), "value"] = np.nan
    write(tmp_path / "in.csv", rows)
    summary("root-causes", tmp_path / "in.csv", *WINDOW, *ALARM, "--output", tmp_path / "out.csv")
    assert read(tmp_path / "out.csv")["entity"].tolist()[-1] == "mail"
