import numpy as np

from analytics_assets.kernels.root_cause.silence import silences
from tests.analytics_assets.kernels.root_cause.samples import incident, noise


def without(values, *places):
    values = values.copy()
    values[list(places)] = np.nan
    return values


def test_the_share_of_samples_that_stopped_coming():
    """A window of 6 steps is held against the 12 before it; who was silent already, or always, did not fall silent."""
    after = range(150, 200)
    series = {
        ("half", "cpu"): without(noise(1), *range(153, 200)),
        ("silent", "cpu"): without(noise(2), *after),
        ("silent", "memory"): without(noise(3), *after),
        ("steady", "cpu"): noise(4),
        ("thin", "cpu"): without(noise(5), *range(0, 200, 2)),
        ("was", "cpu"): without(noise(6), *range(100, 200)),
    }
    found = incident(series, (150, 155))
    assert silences(found).tolist() == [0.5, 1, 0, 0, 0]


def test_one_metric_that_goes_missing_is_not_silence():
    """Stops a metric that is sampled now and then from making its entity a suspect."""
    series = {("a", "cpu"): noise(1), ("a", "latency"): without(noise(2), *range(150, 200)), ("b", "cpu"): noise(3)}
    assert silences(incident(series, (150, 155))).tolist() == [0, 0]


def test_a_record_that_lies_elsewhere_tells_of_no_silence():
    """Stops an entity that was there months ago from being a suspect of today."""
    gap = range(100, 150)
    series = {
        ("a", "cpu"): without(noise(1), *gap),
        ("gone", "cpu"): without(noise(2), *gap, *range(150, 156)),
    }
    assert silences(incident(series, (150, 155))).tolist() == [0, 0]
