"""`analyze forecasts` on real files."""

import numpy as np
import pandas as pd
import pytest

from tests.portal.analyze.files import analyze, daily, read, summary, write

COLUMNS = ["series", "ts", "mean", "lo80", "hi80", "lo95", "hi95", "model", "backtest_mase", "status", "reason"]


def hourly(name: str, days: int, seed: int = 0, level: float = 50.0) -> pd.DataFrame:
    return daily(name, days, seed, minutes=60, level=level)


def forecast(path, horizon, freq="h", ending="csv", options=()):
    output = path.parent / f"out.{ending}"
    told = summary("forecasts", path, "--horizon", horizon, "--freq", freq, "--output", output, *options)
    return told, read(output)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_cycle_goes_on(tmp_path, ending):
    rows = pd.concat([daily(f"vm-{seed}", 28, seed) for seed in range(3)])
    told, found = forecast(write(tmp_path / f"in.{ending}", rows), 48, ending=ending)
    assert (told["series"], told["forecast"], told["unanswered"]) == (3, 3, [])
    assert list(found.columns) == COLUMNS
    assert len(found) == 3 * 48
    one = found[found["series"] == "vm-1"]
    ts = pd.to_datetime(one["ts"], utc=True)
    assert (ts.iloc[0], ts.iloc[-1]) == (
        pd.Timestamp("2026-03-30", tz="UTC"),
        pd.Timestamp("2026-03-31 23:00", tz="UTC"),
    )
    hours = (np.arange(48) + 0.46) / 24  # the middle of the hour's samples
    np.testing.assert_allclose(one["mean"], 50 + 20 * np.sin(2 * np.pi * hours), atol=1)
    assert (one["lo95"] <= one["lo80"]).all()
    assert (one["lo80"] <= one["mean"]).all()
    assert (one["mean"] <= one["hi80"]).all()
    assert (one["hi80"] <= one["hi95"]).all()
    assert set(one["status"]) == {"ok"}
    assert one["reason"].isna().all()


def test_rows_in_any_order_give_the_same(tmp_path):
    rows = pd.concat([hourly("a", 21), hourly("b", 21, seed=1)])
    first = forecast(write(tmp_path / "in.csv", rows), 24)[1]
    shuffled = rows.sample(frac=1, random_state=0)
    again = forecast(write(tmp_path / "shuffled.csv", shuffled), 24)[1]
    by_name = again.sort_values(["series", "ts"], ignore_index=True)
    pd.testing.assert_frame_equal(by_name, first.sort_values(["series", "ts"], ignore_index=True))


def test_what_cannot_be_forecast_has_its_rows_and_a_reason(tmp_path):
    """Stops a series from being missing in the output without a word."""
    empty = hourly("empty", 21).assign(value=np.nan)
    rows = pd.concat([hourly("a", 21), hourly("short", 21).tail(5), empty])
    told, found = forecast(write(tmp_path / "in.csv", rows), 12)
    reasons = {each["series"]: each["reason"] for each in told["unanswered"]}
    assert set(reasons) == {"short", "empty"}
    for name, reason in reasons.items():
        own = found[found["series"] == name]
        assert len(own) == 12
        assert own["mean"].isna().all()
        assert set(own["reason"]) == {reason}
        assert own["ts"].tolist() == found[found["series"] == "a"]["ts"].tolist()


def test_gaps_duplicates_and_a_constant_are_forecast(tmp_path):
    """Stops ordinary dirt from costing the answer."""
    random = np.random.default_rng(0)
    gappy = hourly("gappy", 28)[random.random(28 * 24) > 0.2]
    twice = pd.concat([hourly("twice", 28), hourly("twice", 28)])
    constant = hourly("constant", 28).assign(value=7.0)
    told, found = forecast(write(tmp_path / "in.csv", pd.concat([gappy, twice, constant])), 24)
    assert told["unanswered"] == []
    assert "672 rows have the same series and time as an earlier one" in " ".join(told["notes"])
    assert found[found["series"] == "constant"]["mean"].tolist() == [7.0] * 24
    expected = 50 + 20 * np.sin(2 * np.pi * np.arange(24) / 24)
    for name in ("gappy", "twice"):
        np.testing.assert_allclose(found[found["series"] == name]["mean"], expected, atol=2)


def test_values_below_zero_are_forecast_as_those_above(tmp_path):
    """Stops temperatures below zero from being forecast as zero."""
    warm = hourly("warm", 28)
    _, found = forecast(
        write(tmp_path / "in.csv", pd.concat([warm, warm.assign(series="cold", value=warm["value"] - 60)])), 24
    )
    by_series = {name: own.reset_index(drop=True) for name, own in found.groupby("series")}
    assert (by_series["cold"]["mean"] < 0).any()
    for column in ("mean", "lo80", "hi80"):
        np.testing.assert_allclose(by_series["cold"][column] + 60, by_series["warm"][column], atol=0.5)


def test_no_forecast_is_above_the_capacity(tmp_path):
    rows = hourly("a", 28).assign(capacity=65.0)
    found = forecast(write(tmp_path / "in.csv", rows), 24)[1]
    assert found["hi95"].max() == 65.0
    assert forecast(write(tmp_path / "free.csv", hourly("a", 28)), 24)[1]["hi95"].max() > 65.0


def test_days_are_forecast_from_finer_samples(tmp_path):
    rows = daily("a", 42, minutes=60)
    rows["value"] += np.where(rows["ts"].dt.day_of_week >= 5, -20, 0)
    told, found = forecast(write(tmp_path / "in.csv", rows), 14, freq="d")
    assert told["forecast"] == 1
    weekend = pd.to_datetime(found["ts"]).dt.day_of_week >= 5
    assert found[~weekend]["mean"].mean() - found[weekend]["mean"].mean() > 10


def test_numbers_stay_numbers(tmp_path):
    """Stops epoch seconds in the history from coming back as text that cannot be joined with it."""
    rows = hourly("a", 21)
    seconds = rows["ts"].astype("int64") // (10**6 if rows["ts"].dt.unit == "us" else 10**9)
    found = forecast(write(tmp_path / "in.csv", rows.assign(ts=seconds)), 3)[1]
    last = int(seconds.iloc[-1])
    assert found["ts"].tolist() == [last + 3600, last + 7200, last + 10800]


def test_a_begin_that_is_told(tmp_path):
    """Stops a record that ends two hours before midnight from being forecast from ten in the evening on."""
    path = write(tmp_path / "in.csv", hourly("a", 21))
    short = write(tmp_path / "short.csv", hourly("a", 21).iloc[:-2])
    options = ("--from", "2026-03-23")
    assert forecast(short, 24)[1]["ts"][0] == "2026-03-22 22:00:00+00:00".replace(" ", "T").replace("+00:00", "Z")
    told, found = forecast(short, 24, options=options)
    assert (told["forecast"], found["ts"][0], found["ts"][23]) == (1, "2026-03-23T00:00:00Z", "2026-03-23T23:00:00Z")
    np.testing.assert_allclose(found["mean"], 50 + 20 * np.sin(2 * np.pi * np.arange(24) / 24), atol=2)
    later = pd.concat([hourly("a", 21), hourly("a", 30).iloc[21 * 24 :].assign(value=1e6)])
    cut = forecast(write(tmp_path / "later.csv", later), 24, options=options)[1]
    pd.testing.assert_frame_equal(cut, forecast(path, 24)[1])
    nothing, empty = forecast(path, 24, options=("--from", "2020-01-01"))
    assert (nothing["forecast"], len(empty), empty["mean"].isna().all()) == (0, 24, True)
    for begin, said in (
        ("soon", "--from 'soon' is no time"),
        ("20260301", "--from '20260301' is no time"),
        ("2999-01-01", "--from '2999-01-01' is out of range. Give a time of 1970 to 2262-04-11"),
        ("2262-04-11T23", "--from '2262-04-11T23' and --horizon 1 go beyond 2262-04-11"),
    ):
        done = analyze("forecasts", path, "--horizon", 1, "--freq", "h", "--from", begin, "--dry-run")
        assert (done.code, said in done.err) == (1, True), done.err


@pytest.mark.parametrize(
    ("begin", "reason"),
    [
        ("2200-01-01", "its last value before the forecast is of 2026-03-22T23:00:00Z, too long before it begins"),
        ("2020-01-01", "no value before the forecast begins: its first is of 2026-03-02T00:00:00Z"),
    ],
)
def test_a_begin_far_from_the_history_is_named_as_such(tmp_path, begin, reason):
    """Stops a history that is there from being called empty."""
    empty = hourly("empty", 1).assign(value=np.nan)
    path = write(tmp_path / "in.csv", pd.concat([hourly("a", 21), empty]))
    told, found = forecast(path, 2, options=("--from", begin))
    assert told["unanswered"] == [
        {"series": "a", "reason": reason},
        {"series": "empty", "reason": "no value in the history"},
    ]
    assert found["reason"].tolist()[:2] == [reason, reason]


def test_a_capacity_of_nothing_is_no_capacity(tmp_path):
    """Stops a capacity of 0 from making every forecast 0."""
    for capacity in (0.0, -1.0):
        found = forecast(write(tmp_path / "in.csv", hourly("a", 28).assign(capacity=capacity)), 24)[1]
        assert found["mean"].min() > 20


def test_metrics_learn_from_their_own_kind_only(tmp_path):
    rows = pd.concat([hourly("a", 28).assign(metric="cpu"), hourly("b", 28, seed=1, level=1e9).assign(metric="memory")])
    together = forecast(write(tmp_path / "in.csv", rows), 24)[1]
    alone = forecast(write(tmp_path / "alone.csv", rows[rows["metric"] == "cpu"]), 24)[1]
    pd.testing.assert_frame_equal(together[together["series"] == "a"], alone)
    mixed = pd.concat([rows, rows.head(1).assign(metric="disk")])
    done = analyze("forecasts", write(tmp_path / "mixed.csv", mixed), "--horizon", 1, "--freq", "h", "--dry-run")
    assert (done.code, "series 'a' has the metrics" in done.err) == (1, True)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--horizon", 169, "--freq", "h"), 1, "at most 168. Ask for less, or --freq d for up to 90 days"),
        (("--horizon", 91, "--freq", "d"), 1, "at most 90. Ask for less."),
        (("--horizon", 0, "--freq", "h"), 2, "--horizon"),
        (("--horizon", 5), 2, "--freq"),
        (("--horizon", 5, "--freq", "w"), 2, "--freq"),
    ],
)
def test_wrong_usage(tmp_path, options, code, said):
    done = analyze("forecasts", write(tmp_path / "in.csv", hourly("a", 3)), *options, "--output", tmp_path / "out.csv")
    assert (done.code, (tmp_path / "out.csv").exists()) == (code, False)
    assert said in done.err
