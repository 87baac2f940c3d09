import numpy as np
import pytest

from analytics_assets.kernels.root_cause.suspects import Ranking, rank_suspects
from resources.errors import InvalidInput
from tests.analytics_assets.kernels.root_cause.samples import incident, noise, raised

WINDOW = (150, 155)
COURSE = np.array([0, 30, 60, 45, 20, 5.0])


def disturbed(seed, share):
    values = noise(seed, 240)
    values[150:156] += share * COURSE
    return values


def chain(extra=()):
    """front calls middle calls back; back is at fault, which thins out upstream; idle lives beside them."""
    series = {
        ("front", "latency"): disturbed(1, 0.4),
        ("middle", "latency"): disturbed(2, 0.8),
        ("back", "latency"): disturbed(3, 1.0),
        ("idle", "latency"): noise(4, 240),
        **dict(extra),
    }
    return incident(series, WINDOW)


EDGES = [("front", "middle"), ("middle", "back"), ("front", "idle")]


def names(suspects):
    return [suspect.entity for suspect in suspects]


def test_the_deepest_that_agrees_comes_first():
    found = rank_suspects(chain(), ("front", "latency"), EDGES)
    assert names(found)[:2] == ["back", "middle"]
    assert [suspect.rank for suspect in found] == [1, 2, 3, 4]
    assert found[0].distance == 2
    assert found[1].deeper == "back"
    assert found[1].deeper_relevance > 0.9


def test_what_a_suspect_depends_on_takes_some_of_its_score():
    without = {
        s.entity: s.score for s in rank_suspects(chain(), ("front", "latency"), EDGES, Ranking(dependency_weight=0))
    }
    found = {s.entity: s for s in rank_suspects(chain(), ("front", "latency"), EDGES)}
    assert found["middle"].score == pytest.approx(without["middle"] - 0.1 * found["middle"].deeper_relevance)
    assert found["back"].score == without["back"]


def test_without_a_graph_the_one_that_moved_furthest_leads():
    assert names(rank_suspects(chain(), ("front", "latency")))[0] == "back"


def test_what_the_alarm_does_not_depend_on_counts_half():
    """Who calls the alarming entity suffers with it; it did not cause it."""
    extra = {("caller", "latency"): disturbed(5, 2.0)}
    edges = [*EDGES, ("caller", "front")]
    assert names(rank_suspects(chain(extra), ("front", "latency")))[0] == "caller"
    found = rank_suspects(chain(extra), ("front", "latency"), edges)
    assert names(found)[:2] == ["back", "middle"]
    assert found[2].distance is None


def test_the_alarming_entity_leads_where_no_other_one_agrees():
    series = {("front", "latency"): disturbed(1, 1), ("back", "latency"): noise(2, 240)}
    found = rank_suspects(incident(series, WINDOW), ("front", "latency"), [("front", "back")])
    assert names(found) == ["front", "back"]
    assert found[0].alarming
    assert "no other entity explains" in found[0].evidence()


def test_an_entity_without_the_alarming_metric_is_judged_by_another_one():
    """A disk has no latency of requests; its writes rose with it. A metric may also fall with an alarm that rises."""
    extra = {
        ("disk", "writes"): disturbed(6, 50),
        ("cache", "hits"): disturbed(7, -50),
        ("lake", "reads"): noise(8, 240),
    }
    found = {s.entity: s for s in rank_suspects(chain(extra), ("front", "latency"))}
    assert found["disk"].metric == "writes"
    assert 0.6 < found["disk"].agreement <= 0.8
    assert 0.6 < found["cache"].agreement <= 0.8
    assert found["lake"].agreement < 0.5


def test_without_a_target_the_one_that_changed_most_leads():
    series = {
        (entity, metric): noise(10 * place + number, 240)
        for place, entity in enumerate(["a", "b", "c"])
        for number, metric in enumerate(["cpu", "memory", "latency"])
    }
    series["b", "memory"] = raised(series["b", "memory"], *WINDOW, 50)
    found = rank_suspects(incident(series, WINDOW))
    assert names(found)[0] == "b"
    assert found[0].metric == "memory"
    assert found[0].agreement is None
    assert found[0].inside - found[0].before == pytest.approx(50, abs=2)
    assert found[0].entity_change == pytest.approx(found[0].score)


def test_what_got_better_is_no_change():
    """Stops a service that came back from leading the suspects of what failed elsewhere."""
    rng = [noise(seed, 240, level=90) for seed in range(4)]
    series = {
        ("back again", "availability"): raised(rng[0], *WINDOW, 60),
        ("failing", "availability"): raised(rng[1], *WINDOW, -30),
        ("mended", "errors"): raised(rng[2], *WINDOW, -80),
        ("broken", "errors"): raised(rng[3], *WINDOW, 40),
    }
    found = {suspect.entity: suspect for suspect in rank_suspects(incident(series, WINDOW))}
    assert {name for name, suspect in found.items() if suspect.rank <= 2} == {"failing", "broken"}
    assert found["back again"].change == found["mended"].change == 0


@pytest.mark.parametrize(("metric", "first"), [("cpu_pct", "back"), ("memory", "back"), ("connections", "front")])
def test_where_an_answer_alarms_a_change_of_resources_is_a_cause(metric, first):
    """Stops the victim from leading where the cause shows in what it spends, and not in its own latency."""
    series = {
        ("front", "latency"): disturbed(1, 1),
        ("back", "latency"): noise(2, 240),
        ("back", metric): raised(noise(3, 240), *WINDOW, 60),
        ("idle", "latency"): noise(4, 240),
        ("idle", metric): noise(5, 240),
    }
    found = rank_suspects(incident(series, WINDOW), ("front", "latency"))
    assert found[0].entity == first


def test_the_alarming_entity_leads_where_its_own_resources_changed_most():
    series = {
        ("front", "latency"): disturbed(1, 1),
        ("front", "cpu"): raised(noise(2, 240), *WINDOW, 200),
        ("back", "latency"): noise(3, 240),
        ("back", "cpu"): raised(noise(4, 240), *WINDOW, 20),
    }
    found = rank_suspects(incident(series, WINDOW), ("front", "latency"))
    assert names(found) == ["front", "back"]
    assert "largest change of its resources" in found[0].evidence()


@pytest.mark.parametrize("target", [None, ("front", "latency")])
def test_who_fell_silent_at_the_incident_leads(target):
    crashed = noise(9, 240)
    crashed[150:] = np.nan
    found = rank_suspects(chain({("crashed", "latency"): crashed}), target)
    assert found[0].entity == "crashed"
    assert found[0].silence == 1
    assert "latency was 1" in found[0].evidence()
    assert "has no sample in the incident; it fell silent: 100%" in found[0].evidence()


def test_a_graph_without_the_alarming_entity_is_not_used():
    """Stops a graph of other names from halving everybody but the alarming entity."""
    target = ("front", "latency")
    assert rank_suspects(chain(), target, [("FRONT", "MIDDLE"), ("middle", "back")]) == rank_suspects(chain(), target)


def test_of_equal_ones_who_moved_first_comes_first():
    late, early = np.zeros(240), np.zeros(240)
    early[150:156] = 5
    late[152:156] = 5
    found = rank_suspects(incident({("a", "cpu"): late, ("b", "cpu"): early}, WINDOW))
    assert names(found) == ["b", "a"]
    assert found[0].score - found[1].score == pytest.approx(Ranking().first_weight)
    assert found[1].onset_ms - found[0].onset_ms == 2 * 60_000


@pytest.mark.parametrize("lag", [1, 2, 6])
def test_a_disturbance_that_spreads_leads_back_to_where_it_began(lag):
    """Stops whoever moved right before the alarm from hiding the cause that moved an hour earlier."""
    values = {}
    for place, name in enumerate(["cause", "between", "near", "front", "idle"]):
        series = 100 + noise(20 + place, 300)
        if name != "idle":
            series[200 + place * lag : 240] += 20
        values[name, "latency"] = series
    found = rank_suspects(
        incident(values, (195, 239)),
        ("front", "latency"),
        [("front", "near"), ("near", "between"), ("between", "cause")],
    )
    assert names(found)[0] == "cause"
    assert found[0].agreement > 0.9
    assert found[0].onset_ms == (200 * 60_000)


def test_everything_that_moves_at_once_has_no_first():
    """Stops the weight of who moved first from lowering all scores where nobody did."""
    both = [rank_suspects(chain(), ("front", "latency"), EDGES, Ranking(first_weight=weight)) for weight in (0.0, 0.9)]
    assert both[0][0].score == both[1][0].score


def test_the_order_of_the_rows_does_not_matter():
    series = {
        ("front", "latency"): disturbed(1, 0.4),
        ("back", "latency"): disturbed(3, 1.0),
        ("back", "cpu"): disturbed(9, 1.0),
    }
    shuffled = incident(series, WINDOW, order=np.random.default_rng(1).permutation)
    assert rank_suspects(shuffled, ("front", "latency")) == rank_suspects(
        incident(series, WINDOW), ("front", "latency")
    )


def test_entities_that_nobody_sampled_in_the_window_have_score_0_and_are_not_lost():
    gone = np.where(np.arange(240) > 100, np.nan, 1.0)
    found = {s.entity: s for s in rank_suspects(chain({("gone", "latency"): gone}), ("front", "latency"), EDGES)}
    assert found["gone"].score == 0
    assert found["gone"].onset_ms is None
    assert np.isnan(found["gone"].inside)


def test_one_entity_alone_is_its_own_suspect():
    found = rank_suspects(incident({("a", "cpu"): disturbed(1, 1)}, WINDOW), ("a", "cpu"))
    assert names(found) == ["a"]
    assert found[0].score == 1


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (("nobody", "latency"), "entity 'nobody'"),
        (("front", "smell"), "metric 'smell'"),
        (("front", "cpu"), "no sample"),
    ],
)
def test_a_target_that_is_not_there_is_refused_by_name(target, says):
    extra = {("idle", "cpu"): noise(5, 240)}
    with pytest.raises(InvalidInput, match=says):
        rank_suspects(chain(extra), target)


def test_evidence_shows_every_part():
    text = rank_suspects(chain(), ("front", "latency"), EDGES)[1].evidence()
    for part in ("latency went from", "out of its usual range from 1970-01-01", "agreement with the alarm",
                 "1 dependency from the alarm", "depends on back"):  # fmt: skip
        assert part in text
