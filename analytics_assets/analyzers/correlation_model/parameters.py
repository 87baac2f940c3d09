"""What can be set about correlations, with units and defaults."""

from pydantic import Field

from analytics_assets.components import Parameters


class CorrelationsParameters(Parameters):
    """How far back, how far apart, and how sure."""

    window_days: int = Field(7, ge=1, le=92, description="Length of the window, in days; with hours use 28.")
    maximum_lag_steps: int = Field(
        24, ge=0, le=288, description="How far one series may follow another, in steps of the samples (5 minutes: 2 h)."
    )
    metrics: tuple[str, ...] = Field((), description="Stems of the metrics that are compared; none: all of the table.")
    false_discovery_rate: float = Field(
        0.05, gt=0, lt=1, description="Of the pairs shown of a kind and metric, the share that may be chance (0 to 1)."
    )
    minimum_coefficient: float = Field(
        0.3, ge=0, le=1, description="Coefficient below which a pair is not shown, however sure it is (0 to 1)."
    )
    pairs_per_entity: int = Field(
        5, ge=1, le=100, description="Strongest pairs of a kind that are shown of each VM or node."
    )
    maximum_entities: int = Field(
        1000, ge=2, le=5000, description="VMs that are compared with each other; of more, those that moved most."
    )
