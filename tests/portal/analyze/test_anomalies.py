"""`analyze anomalies` on real files."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.portal.analyze.files import analyze, daily, read, summary, write

DAYS = 21
SPIKE = slice(5700, 5712)
"""An hour of the twentieth day."""


def spiked(name: str, seed: int = 0) -> pd.DataFrame:
    rows = daily(name, DAYS, seed)
    rows.loc[rows.index[SPIKE], "value"] += 60
    return rows


def metrics(name: str, seed: int = 0) -> pd.DataFrame:
    """Six metrics of one machine; in the hour of the spike cpu and disk are far off."""
    rows = daily(name, DAYS, seed).drop(columns="value")
    for number, metric in enumerate(("cpu", "memory", "disk", "in", "out", "load")):
        rows[metric] = daily(name, DAYS, 10 * seed + number)["value"]
    rows.loc[rows.index[SPIKE], "cpu"] += 80
    rows.loc[rows.index[SPIKE], "disk"] += 60
    return rows


def scores(path, *options, ending="csv"):
    output = path.parent / f"out.{ending}"
    told = summary("anomalies", path, "--output", output, *options)
    return told, read(output)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_rows_of_the_file_in_its_order_with_score_and_alarm(tmp_path, ending):
    rows = pd.concat([spiked("b"), daily("a", DAYS, seed=1)]).sample(frac=1, random_state=0)
    told, found = scores(write(tmp_path / f"in.{ending}", rows), ending=ending)
    assert list(found.columns) == ["series", "ts", "score", "alarm"]
    assert found["series"].tolist() == rows["series"].tolist()
    assert pd.to_datetime(found["ts"]).tolist() == rows["ts"].tolist()
    assert (told["rows"], told["series"], told["series_with_alarms"]) == (len(rows), 2, 1)
    assert told["alarm_rows"] == found["alarm"].sum()
    start, end = (rows["ts"].min() + place * pd.Timedelta(minutes=5) for place in (SPIKE.start, SPIKE.stop))
    alarms = found[found["alarm"] == 1]
    ts = pd.to_datetime(alarms["ts"])
    assert set(alarms["series"]) == {"b"}
    assert ((ts >= start) & (ts <= end + pd.Timedelta(minutes=30))).all()
    assert ((found["score"] >= 1) == (found["alarm"] == 1)).all()  # 1 is the alarm line everywhere


@pytest.mark.parametrize("options", [(), ("--multivariate",)])
def test_a_score_never_depends_on_later_rows(tmp_path, options):
    """Stops a look ahead: the scores of the first rows are those of a file that has no others."""
    rows = metrics("a") if options else spiked("a")
    rows["reference"] = np.arange(len(rows)) < 2000
    whole = scores(write(tmp_path / "whole.parquet", rows), *options, ending="parquet")[1]
    for cut in (1000, 3000, 5705):
        part = scores(write(tmp_path / "part.parquet", rows.head(cut)), *options, ending="parquet")[1]
        pd.testing.assert_frame_equal(part, whole.head(cut))


@pytest.mark.parametrize("options", [(), ("--multivariate",)])
def test_another_series_changes_nothing(tmp_path, options):
    make = metrics if options else spiked
    alone = scores(write(tmp_path / "alone.parquet", make("a")), *options, ending="parquet")[1]
    both = pd.concat([make("z", seed=5), make("a")])
    found = scores(write(tmp_path / "both.parquet", both), *options, ending="parquet")[1]
    pd.testing.assert_frame_equal(found[found["series"] == "a"].reset_index(drop=True), alone)


def test_the_metrics_that_explain_it(tmp_path):
    told, found = scores(write(tmp_path / "in.csv", metrics("a")), "--multivariate")
    assert list(found.columns) == ["series", "ts", "score", "alarm", "explains"]
    assert told["metrics"] == 6
    assert found["alarm"][SPIKE].any()
    explained = [list(json.loads(text)) for text in found["explains"][SPIKE]]
    assert explained[1][:2] == ["cpu", "disk"]


def test_explanations_belong_to_their_rows_whatever_the_order(tmp_path):
    """Stops the explanations from being written in order of series while the rows are not."""
    rows = pd.concat([metrics("b", seed=1), metrics("a")])
    ordered = scores(write(tmp_path / "in.parquet", rows), "--multivariate", ending="parquet")[1]
    shuffled = rows.sample(frac=1, random_state=0)
    found = scores(write(tmp_path / "shuffled.parquet", shuffled), "--multivariate", ending="parquet")[1]
    keys = ["series", "ts"]
    pd.testing.assert_frame_equal(
        found.sort_values(keys, ignore_index=True), ordered.sort_values(keys, ignore_index=True)
    )


@pytest.mark.parametrize("options", [(), ("--multivariate",)])
def test_rows_without_a_value_have_no_score(tmp_path, options):
    rows = metrics("a") if options else spiked("a")
    values = [column for column in rows if column not in ("series", "ts")]
    rows.loc[rows.index[100:110], values] = np.nan
    found = scores(write(tmp_path / "in.csv", rows), *options)[1]
    assert found["score"].isna().sum() == 10
    assert found["score"][100:110].isna().all()
    assert found["alarm"].isna().sum() == 0


@pytest.mark.parametrize("options", [(), ("--multivariate",)])
def test_dirt_is_scored_and_series_that_cannot_be_are_named(tmp_path, options):
    """Stops a constant, one row or duplicate times from ending the analysis, or from being silently 0."""
    value = "cpu" if options else "value"
    parts = [
        daily("gappy", DAYS)[np.random.default_rng(0).random(DAYS * 288) > 0.3],
        pd.concat([daily("twice", 8), daily("twice", 8, seed=1)]),
        daily("constant", 8).assign(value=3.0),
        daily("one", 8).head(1),
        daily("none", 8).assign(value=np.nan),
    ]
    rows = pd.concat(parts).rename(columns={"value": value})
    told, found = scores(write(tmp_path / "in.csv", rows), *options)
    assert len(found) == len(rows)
    unanswered = {each["series"] for each in told["unanswered"]}
    assert unanswered == {"one", "none"}
    constant = found[found["series"] == "constant"]
    assert (constant["score"].max(), constant["alarm"].sum()) == (0, 0)


def test_a_reference_that_is_never_true_is_none(tmp_path):
    """Stops a machine without known history from getting no score, beside one that has some."""
    known = metrics("known", seed=1).assign(reference=True)
    unknown = metrics("unknown").assign(reference=False)
    alone = scores(write(tmp_path / "alone.parquet", metrics("unknown")), "--multivariate", ending="parquet")[1]
    both = write(tmp_path / "both.parquet", pd.concat([known, unknown]))
    told, found = scores(both, "--multivariate", ending="parquet")
    pd.testing.assert_frame_equal(found[found["series"] == "unknown"].reset_index(drop=True), alone)
    assert (alone["alarm"].sum() > 0, told["unanswered"]) == (True, [])


def test_before_the_reference_begins_a_series_is_scored_without_one(tmp_path):
    rows = metrics("a")
    late = rows.assign(reference=np.arange(len(rows)) >= 5800)
    found = scores(write(tmp_path / "late.parquet", late), "--multivariate", ending="parquet")[1]
    without = scores(write(tmp_path / "without.parquet", rows), "--multivariate", ending="parquet")[1]
    pd.testing.assert_frame_equal(found.head(5800), without.head(5800))
    assert found["alarm"][SPIKE].any()
    for cut in (3000, 5799, 5850):
        part = scores(write(tmp_path / "part.parquet", late.head(cut)), "--multivariate", ending="parquet")[1]
        pd.testing.assert_frame_equal(part, found.head(cut))


def test_two_metrics_are_not_one_series(tmp_path):
    """Stops cpu and memory of one machine from being scored as one series."""
    rows = pd.concat([daily("a", 3).assign(metric="cpu"), daily("a", 3, level=9e9).assign(metric="memory")])
    path = write(tmp_path / "in.csv", rows)
    done = analyze("anomalies", path, "--dry-run")
    assert (done.code, "series 'a' has the metrics 'cpu' and 'memory', which are not one series" in done.err) == (
        1,
        True,
    )
    assert analyze("anomalies", path, "--ignore", "metric", "--dry-run").code == 0
    assert analyze("anomalies", write(tmp_path / "one.csv", rows[rows["metric"] == "cpu"]), "--dry-run").code == 0


def test_columns_that_are_no_metrics_are_left_out_when_told(tmp_path):
    """Stops a label, or the number of a row, from being scored as a metric without a word."""
    rows = metrics("a").assign(host="x", label=0)
    path = write(tmp_path / "in.csv", rows)
    done = analyze("anomalies", path, "--multivariate", "--dry-run")
    assert (done.code, "or leave the column out with --ignore 'host'" in done.err) == (1, True)
    told, found = scores(path, "--multivariate", "--ignore", "host", "--ignore", "label")
    assert "metrics: 'cpu', 'memory', 'disk', 'in', 'out', 'load'" in told["notes"]
    assert "columns not used: 'host', 'label'" in told["notes"]
    pd.testing.assert_frame_equal(found, scores(write(tmp_path / "own.csv", metrics("a")), "--multivariate")[1])
    for name, said in (("nothing", "has no such column"), ("ts", "this column is needed")):
        done = analyze("anomalies", path, "--multivariate", "--ignore", name, "--dry-run")
        assert (done.code, said in done.err) == (1, True)


def test_ids_and_times_come_back_as_they_were(tmp_path):
    """Stops an output that cannot be joined with its input."""
    rows = spiked("x").assign(series=7)
    rows["ts"] = rows["ts"].dt.tz_localize(None).astype("datetime64[ns]")
    found = scores(write(tmp_path / "in.parquet", rows), ending="parquet")[1]
    pd.testing.assert_frame_equal(found[["series", "ts"]], rows[["series", "ts"]])
    text = rows.assign(ts=rows["ts"].dt.strftime("%Y-%m-%d %H:%M"))
    found = scores(write(tmp_path / "in.csv", text))[1]
    assert found["ts"].tolist() == text["ts"].tolist()


def test_metrics_without_the_option_are_refused_and_the_other_way_round(tmp_path):
    many = write(tmp_path / "many.csv", metrics("a").head(10))
    done = analyze("anomalies", many, "--dry-run")
    assert (done.code, "has no column 'value'" in done.err, "--multivariate" in done.err) == (1, True, True)
    none = write(tmp_path / "none.csv", metrics("a").head(10)[["series", "ts"]])
    done = analyze("anomalies", none, "--multivariate", "--dry-run")
    assert (done.code, "has no metric" in done.err) == (1, True)


def test_only_the_direction_that_is_asked_for_alarms(tmp_path):
    path = write(tmp_path / "in.csv", spiked("a"))
    up, down = (np.flatnonzero(scores(path, "--direction", side)[1]["alarm"]) for side in ("up", "down"))
    assert SPIKE.start <= up[0] < SPIKE.stop
    assert not ((down >= SPIKE.start) & (down < SPIKE.stop)).any()  # the fall at its end may be one


def test_the_evidence_is_the_band_that_the_alarm_left(tmp_path):
    rows = spiked("a")
    found = scores(write(tmp_path / "in.csv", rows), "--evidence")[1]
    assert list(found.columns) == ["series", "ts", "score", "alarm", "expected", "low", "high"]
    alarm = int(np.argmax(found["alarm"]))
    assert found["high"][alarm] < rows["value"][alarm]
    told_already = found.index.isin(range(alarm + 1, SPIKE.stop)) & (rows["value"] > found["high"])
    assert (told_already.sum(), found["alarm"][told_already].sum()) == (SPIKE.stop - alarm - 1, 0)  # far out, no alarm
    usual = found[2000:5000]
    assert ((usual["low"] <= usual["expected"]) & (usual["expected"] <= usual["high"])).all()
    done = analyze("anomalies", tmp_path / "in.csv", "--multivariate", "--evidence", "--dry-run")
    assert (done.code, "leave out --multivariate" in done.err) == (2, True)


def unanswered(path, *options):
    """Return series -> why it has no answer, as programs and people are told it."""
    told, found = scores(path, *options)
    reasons = {each["series"]: each["reason"] for each in told["unanswered"]}
    done = analyze("anomalies", path, "--output", path.parent / "out.csv", *options)
    for name, reason in reasons.items():
        assert f"  {name!r}: {reason}" in done.out
    assert found.loc[found["series"].isin(reasons), "alarm"].sum() == 0
    return reasons


@pytest.mark.parametrize(
    ("minutes", "short", "enough", "reason"),
    [
        (1 / 6, 5 * 360, 8641, "its last value is 4 h 59 min after its first; nothing alarms in the first 24 h"),
        (5, 288, 289, "its last value is 23 h 55 min after its first; nothing alarms in the first 24 h"),
        (60, 24, 25, "its last value is 23 h 0 min after its first; nothing alarms in the first 24 h"),
        (1440, 8, 9, "8 rows with a value: too few to learn from; none of the first 8 alarms"),
    ],
)
def test_a_series_too_short_for_an_alarm_is_named(tmp_path, minutes, short, enough, reason):
    """Stops five hours of samples, none of which could alarm, from being told as five hours without an alarm."""
    count = np.arange(enough)
    rows = pd.DataFrame({"series": "enough", "ts": (1_772_366_400 + count * minutes * 60).astype(int)})
    rows["value"] = 50 + np.random.default_rng(0).standard_normal(enough)
    rows.loc[rows.index[-1], "value"] = 5000
    brief = rows.tail(short).assign(series="short")
    path = write(tmp_path / "in.csv", pd.concat([rows, brief]))
    assert unanswered(path) == {"short": reason}
    assert scores(path)[1]["alarm"].sum() == 1  # the last row of the one that is long enough


def test_a_series_in_which_all_that_could_alarm_is_marked_as_normal_is_named(tmp_path):
    """Stops marked rows, which never alarm, from being told as rows without an alarm; the first day counts them."""
    rows = pd.concat([spiked("all").assign(reference=True), spiked("first").assign(reference=False)])
    rows.loc[(rows["series"] == "first") & (rows["ts"] < "2026-03-05"), "reference"] = True
    reasons = unanswered(write(tmp_path / "in.csv", rows))
    assert reasons == {"all": "all its rows that could alarm are marked as normal by reference, and those never do"}


def test_too_few_rows_of_several_metrics_are_named(tmp_path):
    """Stops scores of 0 after a reference too short to learn from, or of a short file, from being taken as calm."""
    marked = metrics("marked").assign(reference=np.arange(DAYS * 288) < 150)
    parts = [marked, metrics("short").head(150), metrics("long").head(300)]
    path = write(tmp_path / "in.csv", pd.concat(parts).fillna({"reference": False}))
    few = "too few to learn from; it takes a little more than two hundred"
    assert unanswered(path, "--multivariate") == {
        "marked": f"150 rows marked as normal by reference: {few}",
        "short": f"150 rows with a value: {few}",
    }


@pytest.mark.parametrize("options", [(), ("--multivariate",)])
def test_values_too_large_are_named_as_such(tmp_path, options):
    """Stops large numbers from being called few."""
    rows = daily("a", 3, level=1e300)
    reason = "values beyond 1e+100 are too large to calculate with: write them in a larger unit"
    assert unanswered(write(tmp_path / "in.csv", rows), *options) == {"a": reason}


def test_a_series_without_anything_on_the_side_that_may_alarm_is_calm(tmp_path):
    """Stops a series that only falls from being called too short where only rises are asked for."""
    rows = daily("a", 30, minutes=1440).assign(value=np.linspace(90, 10, 30))
    told, found = scores(write(tmp_path / "in.csv", rows), "--direction", "up")
    assert (told["unanswered"], found["alarm"].sum()) == ([], 0)
