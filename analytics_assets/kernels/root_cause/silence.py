"""Which entities fell silent at the incident: whoever crashed sends nothing that could have changed."""

import numpy as np

from analytics_assets.kernels.root_cause.change import steps_before
from analytics_assets.kernels.root_cause.incident import Incident, Vector


def silences(incident: Incident) -> Vector:
    """Return for each entity which share of its samples stopped coming at the incident, 0 to 1.

    A step counts as sampled where any metric of the entity was. The window's share of sampled steps is held against
    that of the steps right before it; an entity that nobody sampled there, or of a record that lies elsewhere, has
    not fallen silent.
    """
    sampled = np.any(np.isfinite(incident.values), axis=1)
    before = steps_before(incident)
    if not len(before):
        return np.zeros(len(incident.entities))
    usual = sampled[:, before].mean(axis=1)
    missing = usual - sampled[:, incident.window].mean(axis=1)
    return np.asarray(np.where(missing > 0, missing / np.where(usual > 0, usual, 1.0), 0.0))
