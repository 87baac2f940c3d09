"""How a forecast is made, as numbers: one plan for hourly and one for daily values.

The numbers were chosen on the memory, CPU and network of 90 VMs over three months, by round values
in the middle of wide plateaus: half or twice of any of them changes the error by about one percent.
"""

from dataclasses import dataclass

STATUSES = ("ok", "insufficient_data", "no_data", "degenerate")
"""What a forecast may be; only `ok` has values."""

LEVELS = (0.8, 0.95)
"""Shares of the truth that the two intervals are meant to hold."""


@dataclass(frozen=True)
class Plan:
    """What is tried, how it is judged and how its intervals are made. Origins are days before the last one.

    `name` is "h" or "d". A step is an hour or a day; blocks of lead are `(first, end)` in steps.
    """

    name: str
    candidates: tuple[str, ...]
    """In the order in which `hourly_candidates.py` and `daily_candidates.py` make them."""
    steps_per_day: int
    season_steps: int
    """Steps of the season of the naive forecast that MASE compares with."""
    maximum_horizon: int
    """Most steps ahead."""
    weight_blocks: tuple[tuple[int, int], ...]
    interval_blocks: tuple[tuple[int, int], ...]
    selection_days: tuple[int, ...]
    """Origins at which the candidates are compared: the last days and the same weekday in the last weeks."""
    residual_days: tuple[int, ...]
    """Origins whose errors make the intervals."""
    value_days: int
    """Days before the origin that the candidates look at, and whose values make the other half of the intervals."""
    fleet_share: float
    """Share of the fleet in what is believed of a candidate, 0 to 1."""
    value_share: float
    """Share of past values, against past errors, in the ends of an interval, 0 to 1."""
    minimum_values: int
    """Values below which nothing is forecast."""
    rehearsal_days: tuple[int, ...] = (7, 14, 21)
    """Origins at which the whole is rehearsed to learn how much too narrow its intervals are."""
    sharpness: float = 24.0
    """A candidate whose error is 1 % above the best one's gets about exp(-0.01 x this) of its weight."""
    hour_prior: float = 10.0
    """Errors of one hour of the day count fully against those of all hours when there are this many."""
    scale_prior: float = 10.0
    """The same for the size of the errors by hour of the day."""
    fleet_errors: float = 100.0
    """A series' own error quantiles count as much as the fleet's when they come from this many errors."""
    least_scale: float = 0.1
    """Least scale of errors, as a share of the mean absolute deviation of the series from its median."""
    most_inflation: float = 3.0
    """Most by which a rehearsal may widen an interval; more is an event, not a habit."""
    miss_share: float = 0.95
    """Share of the nominal misses that the rehearsals aim at: what comes is a little stranger than what was."""
    growth: float = 0.3
    """Where no error of so far ahead is known, intervals grow with lead to this power."""
    fleet_sample: int = 200
    """Series of a group that the fleet's habits are learned from; of more, those with the least checksum."""


HOURLY = Plan(
    name="h",
    candidates=(
        "recent_days",
        "weekday_profile",
        "recent_days_last_value",
        "seasonal_naive",
        "hour_of_week",
        "week_level_profile",
        "hours_level_profile",
        "settling_level_profile",
        "line_profile",
    ),
    steps_per_day=24,
    season_steps=24,
    maximum_horizon=168,
    weight_blocks=((0, 24), (24, 72), (72, 168)),
    interval_blocks=((0, 24), (24, 72), (72, 168)),
    selection_days=(1, 2, 7, 14),
    residual_days=(1, 2, 7, 8, 9, 14, 21),
    value_days=28,
    fleet_share=0.5,
    value_share=0.5,
    minimum_values=24,
)
"""Hourly values to 7 days ahead."""

DAILY = Plan(
    name="d",
    candidates=("short_level", "middle_level", "long_level", "seasonal_naive", "line"),
    steps_per_day=1,
    season_steps=7,
    maximum_horizon=90,
    weight_blocks=((0, 90),),
    interval_blocks=((0, 7), (7, 14), (14, 28), (28, 56), (56, 90)),
    selection_days=(7, 14, 21, 28),
    residual_days=(3, 7, 10, 14, 17, 21, 24, 28),
    value_days=56,
    fleet_share=0.8,
    value_share=0.8,
    minimum_values=7,
)
"""Daily values to 90 days ahead."""

PLANS = {plan.name: plan for plan in (HOURLY, DAILY)}
