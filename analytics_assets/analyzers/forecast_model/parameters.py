"""What may be set of the forecasts."""

import hashlib

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
    silent_days: int = Field(
        2, ge=1, le=7, description="Days without a value after which a series is not forecast any more, in days."
    )
    threads: int = Field(2, ge=1, le=64, description="Threads that forecast; the results do not depend on it.")
    prophet: bool = Field(
        False,
        description="Whether prophet is tried for totals and nodes, and used where its backtest is better, yes or no.",
    )


def recipe(parameters: ForecastsParameters) -> str:
    """Return what tells forecasts made with these parameters and this method from others, stored in their facts.

    Threads change no value and do not count; the numbers of the plans do.
    """
    given = [parameters.model_dump_json(exclude={"threads"}), repr(HOURLY), repr(DAILY)]
    return hashlib.sha256("\n".join(given).encode()).hexdigest()[:16]
