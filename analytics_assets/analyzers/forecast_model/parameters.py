"""What may be set of the forecasts."""

from pydantic import Field

from analytics_assets.components import Parameters
from analytics_assets.kernels.forecast.plan import DAILY, HOURLY


class ForecastsParameters(Parameters):
    """Window, horizons and what is forecast. The method's own numbers are in `kernels/forecast/plan.py`."""

    window_days: int = Field(
        56, ge=14, le=400, description="Length of the history that ends with the day, in days; rules look back 56."
    )
    metrics: tuple[str, ...] = Field(
        (), description="Metrics to forecast, as column stems such as cpu_percent; empty: all that the input measures."
    )
    hourly_hours: int = Field(
        HOURLY.maximum_horizon,
        ge=1,
        le=HOURLY.maximum_horizon,
        description="How far hourly values are forecast, in hours.",
    )
    daily_days: int = Field(
        DAILY.maximum_horizon, ge=1, le=DAILY.maximum_horizon, description="How far daily values are forecast, in days."
    )
    minimum_hours: int = Field(12, ge=1, le=24, description="Hours with samples that make a day count, in hours.")
    prophet: bool = Field(
        False,
        description="Whether prophet is tried for totals and nodes, and used where its backtest is better, yes or no.",
    )
