"""What may be set of the anomaly analysis."""

import math
from typing import Literal

from pydantic import Field, model_validator

from analytics_assets.components import Parameters
from analytics_assets.kernels.anomaly.intervals import IntervalRule
from analytics_assets.kernels.anomaly.recurrence import Recurrence
from analytics_assets.kernels.anomaly.scores import DetectorParameters

Direction = Literal["both", "up", "down"]


class AnomaliesParameters(Parameters):
    """The window, what is too small to matter, and which analyses are made."""

    window_days: int = Field(
        28, ge=1, le=90, description="Length of the history before the day that the day is judged by, in days."
    )
    metrics: tuple[str, ...] = Field(
        (), description="Metrics to analyze, as column stems such as cpu_percent; empty: all that the input measures."
    )
    minimum_history_days: float = Field(
        3.0, gt=0, le=90, description="Samples before the day that an answer needs, in days' worth of them."
    )
    direction: Direction = Field("both", description="Deviations of a metric that count: up, down or both.")
    minimum_change_percent: float = Field(
        5.0, ge=0, le=100, description="Least deviation of a metric in percent, in percentage points."
    )
    minimum_change_bytes: float = Field(
        64 * 2**20, ge=0, le=1e15, description="Least deviation of a metric in bytes, in bytes."
    )
    minimum_change_bytes_per_second: float = Field(
        1e6,
        ge=0,
        le=1e15,
        description="Least deviation of a metric in bytes/s, in bytes/s; by default 1 % of 1 Gbit/s.",
    )
    minimum_change_cores: float = Field(
        0.1, ge=0, le=1e6, description="Least deviation of a metric in cores, in cores."
    )
    minimum_change_share: float = Field(
        0.05,
        ge=0,
        le=10,
        description="Least deviation of any metric but those in percent, as a share of what was expected.",
    )
    outside_points: int = Field(
        1, ge=1, le=50, description="Points outside of the band that open an interval, a count; one of them an alarm."
    )
    of_points: int = Field(5, ge=1, le=50, description="Last points among which they must be, a count.")
    recurring_days_share: float = Field(
        0.3,
        gt=0,
        le=1,
        description="What was as far out on this share of the days before, at any time, is the metric's way, 0 to 1.",
    )
    recurring_days_at_that_time: int = Field(
        2, ge=1, le=90, description="As is what was so within an hour of that time of the day on so many days, a count."
    )
    together: bool = Field(True, description="Whether all metrics of an entity are also judged together.")
    together_metrics: int = Field(
        3, ge=1, le=10, description="Metrics named as those that explain a joint anomaly, a count at most."
    )
    peers_by: Literal["name", "flavor", "none"] = Field(
        "name",
        description="Peers of a VM: name (those of its flavour named alike but for a number), flavor, or none.",
    )
    peer_tolerance: float = Field(
        3.0, gt=1, le=100, description="An outlier is farther from its peers than this many of their usual distances."
    )
    peers_minimum: int = Field(
        5, ge=3, le=1000, description="VMs that a group of peers needs, the compared one among them, a count."
    )
    threads: int = Field(2, ge=1, le=64, description="Threads that score; the results do not depend on it.")

    @model_validator(mode="after")
    def _can_open(self) -> "AnomaliesParameters":
        if self.outside_points > self.of_points:
            raise ValueError(f"outside_points {self.outside_points} is more than of_points {self.of_points}")
        return self

    def detector(self, unit: str) -> DetectorParameters:
        """Return what may alarm of a metric in `unit`."""
        return DetectorParameters(
            self.direction, self.floor(unit), 0.0 if unit == "percent" else self.minimum_change_share
        )

    def floor(self, unit: str) -> float:
        """Return the least deviation of a metric in `unit`."""
        return {
            "percent": self.minimum_change_percent,
            "bytes": self.minimum_change_bytes,
            "bytes/s": self.minimum_change_bytes_per_second,
            "cores": self.minimum_change_cores,
        }.get(unit, 0.0)

    def recurs(self, found: Recurrence) -> bool:
        """Return whether what was as far out on those earlier days is the metric's way."""
        often = found.any_time >= max(2, math.ceil(self.recurring_days_share * found.days))
        return often or found.same_time >= self.recurring_days_at_that_time

    @property
    def rule(self) -> IntervalRule:
        return IntervalRule(outside_points=self.outside_points, of_points=self.of_points)
