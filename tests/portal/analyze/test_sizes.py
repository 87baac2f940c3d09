"""`analyze sizes` on real files."""

import numpy as np
import pandas as pd
import pytest

from tests.portal.analyze.files import analyze, daily, read, summary, write


def usage(days: int = 21) -> pd.DataFrame:
    """Two VMs: one uses a fifth of its capacity, the other nearly all of it; a third has hardly begun."""
    parts = [
        daily("large", days).assign(capacity=500.0),
        daily("small", days, seed=1).assign(capacity=70.0),
        daily("new", 1).assign(capacity=100.0),
    ]
    return pd.concat(parts)


def test_a_row_for_each_series_with_what_it_rests_on(tmp_path):
    done = analyze("sizes", write(tmp_path / "in.csv", usage()), "--days", 30, "--output", tmp_path / "out.csv")
    assert done.code == 0, done.err
    found = read(tmp_path / "out.csv").set_index("series")
    assert list(found.index) == ["large", "new", "small"]
    assert found["class"].to_dict() == {"large": "oversized", "new": "insufficient_data", "small": "undersized"}
    assert found.loc["large", "size"] == pytest.approx(70 * 1.25, rel=0.1)  # its highest hour, and room above it
    assert found.loc["large", "expected_share_above"] < 0.01
    assert np.isnan(found.loc["new", "size"])
    assert "1 without an answer" in done.out
    assert "'new': samples of 1.0 days" in done.out


def test_the_last_capacity_counts_and_ids_keep_their_type(tmp_path):
    """Stops a VM that was made larger from being judged by its old size."""
    rows = daily("x", 21).assign(series=7, capacity=60.0)
    rows.loc[rows.index[-1], "capacity"] = 500.0
    shuffled = rows.sample(frac=1, random_state=0)
    told = summary("sizes", write(tmp_path / "in.parquet", shuffled), "--days", 7, "--output", tmp_path / "out.parquet")
    assert (told["rows"], told["series"], told["oversized"], told["unanswered"]) == (len(rows), 1, 1, [])
    found = read(tmp_path / "out.parquet")
    assert (found["series"].tolist(), found["capacity"].tolist()) == ([7], [500.0])


def test_without_any_capacity_there_is_a_size_and_no_class(tmp_path):
    rows = daily("x", 21).assign(capacity=np.nan)
    told = summary("sizes", write(tmp_path / "in.csv", rows), "--days", 7, "--output", tmp_path / "out.csv")
    assert told["unanswered"][0]["series"] == "x"
    assert "capacity unknown" in told["unanswered"][0]["reason"]
    assert read(tmp_path / "out.csv")["size"][0] > 70


def test_two_metrics_are_not_one_series(tmp_path):
    rows = pd.concat([daily("a", 6).assign(metric="cpu"), daily("a", 6, level=9e9).assign(metric="memory")])
    path = write(tmp_path / "in.csv", rows.assign(capacity=100.0))
    done = analyze("sizes", path, "--days", 7, "--dry-run")
    assert (done.code, "series 'a' has the metrics 'cpu' and 'memory'" in done.err) == (1, True)


def test_days_must_be_told_and_be_some(tmp_path):
    path = write(tmp_path / "in.csv", usage(6))
    assert analyze("sizes", path, "--output", tmp_path / "out.csv").code == 2
    for days in (0, "inf", "-inf", "nan", "-nan"):  # NaN is neither below 0 nor above
        done = analyze("sizes", path, "--days", days, "--output", tmp_path / "out.csv")
        assert (done.code, "Invalid value for '--days'" in done.err) == (2, True)
    assert not (tmp_path / "out.csv").exists()
