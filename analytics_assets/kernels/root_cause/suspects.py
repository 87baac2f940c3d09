"""Which entities most likely caused an incident, ranked, with what speaks for each.

With an alarming metric, a suspect is as relevant as its own metric of that name agrees with it, at the same time or
some steps before, a little more where it moved further (a disturbance thins out on its way from the cause to whom it
disturbs), and where it moved before others that are concerned. Latency and
failures spread to whoever waits; where they alarm, an unusual change of what an entity itself spends (cpu, memory,
reads, writes) makes it relevant as well. Without an alarming metric it is as relevant as its metrics changed, where
availability that rose and failures that fell are no change. Whoever fell silent at the incident is relevant,
too. With a graph of dependencies, what the alarming entity does not depend on counts half, and a
suspect gives off some of its score where something it depends on is relevant too: the cause is the deepest.
The alarming entity itself is relevant as far as no other one is, or as it changed itself. A graph that does
not have the alarming entity says nothing of it, and is not used.

Weights were chosen on injected faults of two public test beds (PetShop and Nezha), at round values within
wide flats. How far an entity moved does not replace agreement there. Who moved first weighs little, for there it tells
nothing: their incidents are five samples long, and a cause and its effects move within one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from analytics_assets.kernels.root_cause.agreement import deviations, leading_agreement
from analytics_assets.kernels.root_cause.change import Changes, changes
from analytics_assets.kernels.root_cause.incident import Incident, Vector
from analytics_assets.kernels.root_cause.metric_kinds import (
    RESOURCES,
    SYMPTOMS,
    bad_direction,
    metric_kind,
    metrics_by_kind,
)
from analytics_assets.kernels.root_cause.silence import silences
from analytics_assets.kernels.root_cause.topology import dependencies, distances, members
from resources.errors import InvalidInput


@dataclass(frozen=True)
class Ranking:
    """How suspects are ranked. Shares and weights are between 0 and 1.

    `reference_steps` is how many steps around the incident tell what is usual; `size_weight` is the part of
    the relevance that goes by how far an entity moved, `first_weight` the part that goes by how early;
    `dependency_weight` what it gives off to what it depends on;
    `elsewhere_share` what is left to entities the alarm does not depend on; `other_metric_share` what is
    left to agreement by another metric, of entities that do not have the alarming one; `resource_share` what a change
    of an entity's resources counts where an answer alarms; `moved_noises` how far, in noises of the series, counts as
    having moved.
    """

    reference_steps: int = 480
    size_weight: float = 0.1
    dependency_weight: float = 0.1
    elsewhere_share: float = 0.5
    other_metric_share: float = 0.8
    resource_share: float = 0.9
    moved_noises: float = 3.0
    first_weight: float = 0.03


DEFAULT_RANKING = Ranking()

CONCERNED = 0.5
"""Who is at least this share as relevant as the most relevant entity is concerned by the incident."""


@dataclass(frozen=True)
class Suspect:
    """An entity and what speaks for it, best first.

    `metric` shows it most: the median went from `before` to `inside` (its own unit; NaN where unknown), which is
    `change` (0 to 1, half at twice its usual step). `entity_change` is the mean over the kinds of its metrics.
    `silence` is the share of its samples that stopped coming, `resource_change` the largest change of what it spends.
    `onset_ms` is when that metric first left its usual range. `agreement` is that with the alarming metric, None
    without one. `distance` counts the dependencies from the alarming entity to it, None where there is no way or
    no graph; `deeper` is the most relevant entity it depends on, with its relevance `deeper_relevance`.
    """

    rank: int
    entity: str
    score: float
    metric: str
    before: float
    inside: float
    change: float
    entity_change: float
    resource_change: float
    silence: float
    onset_ms: int | None
    agreement: float | None
    distance: int | None
    deeper: str | None
    deeper_relevance: float
    alarming: bool

    def evidence(self) -> str:
        """Return the parts of the score in words."""
        parts = [self._movement()]
        if self.silence > 0:
            parts.append(f"it fell silent: {self.silence:.0%} of its samples are missing in the incident")
        elif self.onset_ms is None and not np.isnan(self.before + self.inside):
            parts.append("it did not leave its usual range")
        elif self.onset_ms is not None:
            parts.append(f"out of its usual range from {datetime.fromtimestamp(self.onset_ms / 1000, UTC):%F %TZ}")
        if self.alarming:
            parts.append("it raised the alarm: the score is what no other entity explains, or its own change")
        elif self.agreement is not None:
            parts.append(f"agreement with the alarm {self.agreement:.2f} of 1")
        if self.resource_change > 0:
            parts.append(f"largest change of its resources {self.resource_change:.2f} of 1")
        if self.distance is not None:
            parts.append(f"{self.distance} {'dependency' if self.distance == 1 else 'dependencies'} from the alarm")
        if self.deeper is not None:
            parts.append(f"it depends on {self.deeper}, relevance {self.deeper_relevance:.2f}")
        return "; ".join(parts)

    def _movement(self) -> str:
        if np.isnan(self.before) and np.isnan(self.inside):
            return f"{self.metric} has no sample"
        if np.isnan(self.inside):
            return f"{self.metric} was {self.before:.4g} and has no sample in the incident"
        if np.isnan(self.before):
            return f"{self.metric} is {self.inside:.4g} and has no sample outside of the incident"
        return f"{self.metric} went from {self.before:.4g} to {self.inside:.4g} (change {self.change:.2f} of 1)"


def rank_suspects(
    incident: Incident,
    target: tuple[str, str] | None = None,
    edges: Iterable[tuple[str, str]] = (),
    ranking: Ranking = DEFAULT_RANKING,
) -> list[Suspect]:
    """Return every entity of `incident`, the most likely cause first.

    `target` is the alarming entity and its metric; each of `edges` (source, target) says that source calls
    or depends on target. Ties go to who moved first, then to the order of the ids.

    Raises:
        InvalidInput: `target` has no sample in the incident's window.
    """
    reference = incident.reference(ranking.reference_steps)
    away, relative = deviations(incident, reference)
    moved = changes(incident, reference)
    change = _bad_change(moved, incident.metrics)
    kinds = metrics_by_kind(incident.metrics)
    entity_change = np.mean([change[:, places].mean(axis=1) for places in kinds], axis=0)
    counted = sorted(place for places in kinds for place in places)
    unknown = np.isnan(moved.level) & np.isnan(moved.inside)
    shown = np.array(counted)[np.argmax(np.where(unknown, -1.0, change)[:, counted], axis=1)]
    silence = silences(incident)
    resource_change = np.zeros(len(incident.entities))
    agreements = None
    own = silence
    relevance = np.maximum(entity_change, own)
    alarming = -1
    if target is not None:
        alarming, metric = _target(incident, target)
        agreements, shown = _agreements(relative, shown, alarming, metric, away, ranking.other_metric_share)
        furthest = np.max(np.where(np.isnan(away[:, metric]), 0.0, np.abs(away[:, metric])), axis=1)
        if metric_kind(target[1]) in SYMPTOMS:
            resources = [place for place, name in enumerate(incident.metrics) if metric_kind(name) in RESOURCES]
            resource_change = np.max(change[:, resources], axis=1, initial=0.0)
            own = np.maximum(own, ranking.resource_share * resource_change)
        relevance = np.maximum(agreements * (1 - ranking.size_weight * (1 - _rank_share(furthest))), own)
    onset = _onsets(relative[np.arange(len(shown)), shown], ranking.moved_noises)
    lead = _leads(onset, relevance, onset[alarming] if alarming >= 0 else None)
    relevance = relevance * (1 - ranking.first_weight * (1 - lead))
    depends_on = dependencies(edges)
    if target is not None and target[0] not in members(depends_on):
        depends_on = {}
    way = distances(depends_on, target[0]) if target is not None and depends_on else {}
    if way:
        relevance = relevance * np.array([1 if name in way else ranking.elsewhere_share for name in incident.entities])
    if alarming >= 0:
        relevance = relevance.copy()
        relevance[alarming] = max(1 - np.max(np.delete(relevance, alarming), initial=0.0), own[alarming])

    place_of = {name: place for place, name in enumerate(incident.entities)}
    deeper: list[tuple[str | None, float]] = []
    score = relevance.copy()
    for place, name in enumerate(incident.entities):
        below = [place_of[other] for other in depends_on.get(name, ()) if other in place_of]
        deepest = max(below, key=lambda other: (relevance[other], -other), default=None)
        if deepest is None:
            deeper.append((None, 0.0))
            continue
        deeper.append((incident.entities[deepest], float(relevance[deepest])))
        if place != alarming:
            score[place] -= ranking.dependency_weight * relevance[deepest]

    order = sorted(range(len(score)), key=lambda place: (-score[place], onset[place], place))
    window = incident.window
    return [
        Suspect(
            rank=rank,
            entity=incident.entities[place],
            score=float(score[place]),
            metric=incident.metrics[shown[place]],
            before=float(moved.level[place, shown[place]]),
            inside=float(moved.inside[place, shown[place]]),
            change=float(change[place, shown[place]]),
            entity_change=float(entity_change[place]),
            resource_change=float(resource_change[place]),
            silence=float(silence[place]),
            onset_ms=incident.time_ms(window[onset[place]]) if onset[place] < len(window) else None,
            agreement=None if agreements is None else float(agreements[place]),
            distance=way.get(incident.entities[place]),
            deeper=deeper[place][0],
            deeper_relevance=deeper[place][1],
            alarming=place == alarming,
        )
        for rank, place in enumerate(order, start=1)
    ]


def _target(incident: Incident, target: tuple[str, str]) -> tuple[int, int]:
    entity, metric = target
    for name, known, what in ((entity, incident.entities, "entity"), (metric, incident.metrics, "metric")):
        if name not in known:
            raise InvalidInput(f"the alarming {what} {name!r} is not in the samples. There are: {_some(known)}.")
    places = incident.entities.index(entity), incident.metrics.index(metric)
    if np.isnan(incident.values[places][incident.window]).all():
        raise InvalidInput(
            f"the alarming metric {metric!r} of {entity!r} has no sample in the incident's window. "
            "Give a window that holds the alarm, or leave the target out."
        )
    return places


def _some(names: tuple[str, ...], most: int = 10) -> str:
    return ", ".join(sorted(names)[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _bad_change(moved: Changes, metrics: Sequence[str]) -> Vector:
    """Return the changes [entity, metric] without those for the better."""
    change = moved.change.copy()
    for place, name in enumerate(metrics):
        direction = bad_direction(name)
        if direction:
            change[:, place] = np.where(direction * moved.step[:, place] > 0, change[:, place], 0.0)
    return change


def _agreements(
    relative: Vector, changed: Vector, alarming: int, metric: int, away: Vector, other_share: float
) -> tuple[Vector, Vector]:
    """Return every entity's agreement with the alarming metric, and the metric by which it is."""
    alarm = relative[alarming, metric]
    most_steps = len(alarm) // 2 - 1  # more than half of the window is compared
    along = leading_agreement(relative, alarm, most_steps)
    # Another metric may move against the alarm: availability falls where latency rises.
    other = np.maximum(along, leading_agreement(-relative, alarm, most_steps))
    has_same = ~np.isnan(away[:, metric]).all(axis=1)
    best = np.where(other.max(axis=1) > 0, np.argmax(other, axis=1), changed)
    return (
        np.where(has_same, along[:, metric], other_share * other.max(axis=1)),
        np.where(has_same, metric, best),
    )


def _onsets(relative: Vector, noises: float) -> NDArray[np.int64]:
    """Return per row [entity, step] the first of two steps that are `noises` off; the number of steps if none are."""
    out = np.abs(relative) > noises
    out[:, :-1] &= out[:, 1:]
    return np.asarray(np.where(out.any(axis=1), np.argmax(out, axis=1), out.shape[1]))


def _leads(onset: NDArray[np.int64], relevance: Vector, alarm: np.int64 | None) -> Vector:
    """Return how early each entity moved: 1 with the first of those concerned, 0 with the alarm or the last of them.

    Concerned is who is at least half as relevant as the most relevant one.
    """
    concerned = onset[relevance >= CONCERNED * relevance.max(initial=0.0)]
    last = concerned.max(initial=0) if alarm is None else alarm
    first = concerned.min(initial=last)
    if last <= first:
        return np.ones(len(onset))
    return np.asarray(np.clip((last - onset) / (last - first), 0.0, 1.0))


def _rank_share(values: Vector) -> Vector:
    """Return for each value the share of all values that are smaller."""
    return np.asarray(np.searchsorted(np.sort(values), values) / len(values))
