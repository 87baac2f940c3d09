"""What may be set of the capacity analysis; every default is printed in the report that used it."""

import math
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from analytics_assets.analyzers.capacity_model.scenarios import GIB, Scenario, check_scenarios
from analytics_assets.components import Parameters
from analytics_assets.kernels.sizing.rule import SizeRule
from analytics_assets.parameter_files import RowsOrFile


class CapacityParameters(Parameters):
    """Reserves, horizons, levels and the limits of the size classes."""

    window_days: int = Field(28, ge=5, le=400, description="Length of the window that ends with the day, in days.")
    minimum_days: int = Field(5, ge=3, le=400, description="Days with enough hours that an answer needs, a count.")
    minimum_hours: int = Field(12, ge=1, le=24, description="Hours with samples that make a day count, in hours.")
    buffer_percent: float = Field(
        10.0, ge=0, le=90, description="Share of what is there that is kept free, in percent."
    )
    ha_reserve_percent: float = Field(
        0.0, ge=0, le=90, description="Share of a VM's or tenant's size reserved for failures, in percent."
    )
    node_ha_reserve_percent: float = Field(
        0.0, ge=0, le=90, description="Share of a node reserved for the failure of others, in percent."
    )
    horizon_days: int = Field(365, ge=30, le=3650, description="How far the projection looks ahead, in days.")
    significance: float = Field(
        0.05, gt=0, le=0.5, description="Probability of such an order without a trend, below which one is followed."
    )
    minimum_change_share: float = Field(
        0.02, ge=0, le=10, description="Least change over the window that is a trend, as a share of the level."
    )
    bound_share: float = Field(
        0.9, ge=0.5, le=0.999, description="Share of later values that the upper bound is meant to hold."
    )
    critical_days: int = Field(30, ge=1, le=3650, description="Critical below this conservative time left, in days.")
    immediate_days: int = Field(60, ge=1, le=3650, description="Immediate below this conservative time left, in days.")
    warning_days: int = Field(120, ge=1, le=3650, description="Warning below this conservative time left, in days.")
    use_warning_percent: float = Field(
        70.0, gt=0, le=1000, description="Use level warning from this 95th percentile of the size, in percent."
    )
    use_critical_percent: float = Field(
        85.0, gt=0, le=1000, description="Use level critical from this 95th percentile of the size, in percent."
    )
    vcpu_overcommit: float = Field(
        4.0, gt=0, le=100, description="vCPUs that may be allocated on a node's cores, a ratio."
    )
    memory_overcommit: float = Field(
        1.0, gt=0, le=100, description="Memory that may be allocated on a node's memory, a ratio."
    )
    profile_vcpus: float = Field(
        0.0, ge=0, le=1e5, description="vCPUs of the VM whose fitting in is asked for, in cores; 0: not asked."
    )
    profile_memory_gib: float = Field(
        0.0, ge=0, le=1e6, description="Memory of the VM whose fitting in is asked for, in GiB; 0: not asked."
    )
    profile_disk_gib: float = Field(
        0.0, ge=0, le=1e9, description="Disk of the VM whose fitting in is asked for, in GiB; 0: not asked."
    )
    scenarios: Annotated[tuple[Scenario, ...], RowsOrFile(), AfterValidator(check_scenarios)] = Field(
        (),
        description="What-if scenarios, as a list or as the path of a YAML file from the pipeline file's folder; each "
        "has rows of its own, and those that are committed count in all rows.",
    )
    remaining_days: int = Field(3, ge=1, le=30, description="Days ahead that the remaining capacity allows for.")
    recommend_extra_days: int = Field(
        30, ge=0, le=365, description="Days past the warning time that a recommended size lasts, in days."
    )
    resize_days: int = Field(
        30, ge=0, le=365, description="Days of growth, by the bound, that a VM's needed CPU and memory allow for."
    )
    size_headroom: float = Field(
        1.2,
        ge=1,
        le=5,
        description="A recommended VM size is at least the 99th percentile of CPU and the memory peak times this, "
        "a factor.",
    )
    minimum_points: int = Field(
        100, ge=1, le=9600, description="Hours with samples that a size class needs, a count of hours."
    )
    class_days: int = Field(14, ge=1, le=400, description="Days that idle and powered_off look back, in days.")
    powered_off_percent: float = Field(
        95.0, gt=0, le=100, description="Powered off from this share of the time stopped, in percent."
    )
    idle_vcpus: float = Field(0.03, gt=0, le=100, description="Idle hours use less CPU than this, in vCPUs.")
    idle_cpu_percent_of_hours: float = Field(
        97.0, gt=0, le=100, description="Share of hours that must use less CPU for a VM to be idle, in percent."
    )
    idle_receive_bytes_per_second: float = Field(
        2000.0, ge=0, le=1e12, description="Idle hours receive less than this, in bytes/s."
    )
    idle_transmit_bytes_per_second: float = Field(
        1000.0, ge=0, le=1e12, description="Idle hours send less than this, in bytes/s."
    )
    idle_network_percent_of_hours: float = Field(
        95.0, gt=0, le=100, description="Share of hours that must move less data for a VM to be idle, in percent."
    )
    undersized_cpu_p95_percent: float = Field(
        85.0, gt=0, le=100, description="Undersized above this 95th percentile of CPU use, in percent."
    )
    undersized_cpu_p99_percent: float = Field(
        95.0, gt=0, le=100, description="Undersized from this 99th percentile of CPU use, in percent."
    )
    undersized_memory_percent: float = Field(
        90.0, gt=0, le=100, description="Undersized above this highest memory use, in percent."
    )
    undersized_days: int = Field(
        30, ge=0, le=365, description="Undersized below this conservative time left of CPU, memory or disk, in days."
    )
    oversized_percent: float = Field(
        50.0,
        gt=0,
        lt=100,
        description="Oversized when recommended vCPUs and memory are both at most this share of the size, in percent.",
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> "CapacityParameters":
        if not self.critical_days <= self.immediate_days <= self.warning_days <= self.horizon_days:
            raise ValueError("critical_days, immediate_days, warning_days and horizon_days must not fall")
        if self.minimum_days > self.window_days or self.class_days > self.window_days:
            raise ValueError("minimum_days and class_days must not be more than window_days")
        if self.resize_days > self.lasting_days:
            raise ValueError("resize_days is more than warning_days and recommend_extra_days together")
        if self.use_warning_percent > self.use_critical_percent:
            raise ValueError("use_warning_percent is more than use_critical_percent")
        if self.undersized_days > min(self.resize_days, self.warning_days):
            raise ValueError(
                "undersized_days is more than resize_days or warning_days: a recommended size would be undersized"
            )
        fullest = 100 / self.size_headroom
        limits = (
            self.undersized_cpu_p95_percent,
            self.undersized_cpu_p99_percent,
            self.undersized_memory_percent,
        )
        if fullest >= min(limits):
            raise ValueError(
                f"size_headroom {self.size_headroom:g} fills a recommended size to {fullest:.1f} %, "
                f"which the limit of {min(limits):g} % calls undersized"
            )
        return self

    @property
    def size_rule(self) -> SizeRule:
        """The sizing rule with this headroom, whatever the present size."""
        return SizeRule(headroom=self.size_headroom - 1, headroom_below_capacity=0.0, undersized_share=1.0)

    @property
    def lasting_days(self) -> int:
        """How long a recommended size lasts by the bound."""
        return min(self.warning_days + self.recommend_extra_days, self.horizon_days)

    def reserve_percent(self, *, node: bool) -> float:
        """Return the reserve for failures."""
        return self.node_ha_reserve_percent if node else self.ha_reserve_percent

    def usable_share(self, *, node: bool) -> float:
        """Return the share of what is there that may be used."""
        return (1 - self.reserve_percent(node=node) / 100) * (1 - self.buffer_percent / 100)

    def overcommit(self, resource: str) -> float:
        """Return how many times a node's `resource` may be allocated; NaN without a limit."""
        return {"cpu": self.vcpu_overcommit, "memory": self.memory_overcommit}.get(resource, math.nan)

    def profile(self, resource: str) -> float:
        """Return how much of `resource` the VM has whose fitting in is asked for, in cores or bytes; 0: not asked."""
        return {
            "cpu": self.profile_vcpus, "memory": self.profile_memory_gib * GIB, "disk": self.profile_disk_gib * GIB,
        }[resource]  # fmt: skip
