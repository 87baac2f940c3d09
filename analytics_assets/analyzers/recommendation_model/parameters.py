"""What may be set of the recommendations."""

from typing import Annotated

from pydantic import Field, model_validator

from analytics_assets.analyzers.recommendation_model.catalogue import DISK_GIB, MEMORY_GIB, VCPU, Flavor, Price
from analytics_assets.components import Parameters
from analytics_assets.parameter_files import RowError, RowsOrFile, check_names


class RecommendationsParameters(Parameters):
    """Flavours, prices, and the limits of what is recommended and how surely."""

    flavors: Annotated[tuple[Flavor, ...], RowsOrFile()] = Field(
        (),
        description="Flavours that VMs can be made in (name, vcpus, memory_gib, baseline_percent), as a list or as the "
        "path of a YAML or CSV file from the pipeline file's folder; none: sizes are free.",
    )
    prices: Annotated[tuple[Price, ...], RowsOrFile()] = Field(
        (),
        description="Prices (item, price_per_hour) of flavours by name, and of one vcpu, memory_gib and disk_gib, as a "
        "list or the path of a file; none: no savings are told.",
    )
    currency: str = Field("", max_length=10, description="Currency of the prices, as it is printed.")
    hours_per_month: float = Field(730.0, gt=0, le=744, description="Hours that a month is taken for, in hours.")
    minimum_monthly_savings: float = Field(
        10.0, ge=0, le=1e9, description="Resizes that save less in a month are not recommended, in the currency."
    )
    zombie_days: int = Field(30, ge=1, le=400, description="A VM idle on each of so many days is a zombie, in days.")
    valid_days: int = Field(7, ge=1, le=90, description="How long a recommendation is valid, in days.")
    high_confidence_days: int = Field(21, ge=1, le=400, description="Days with data that a high confidence needs.")
    medium_confidence_days: int = Field(14, ge=1, le=400, description="Days with data that a medium one needs.")
    high_confidence_coverage: float = Field(0.95, ge=0, le=1, description="Coverage that a high confidence needs.")
    medium_confidence_coverage: float = Field(0.85, ge=0, le=1, description="Coverage that a medium one needs.")
    rebalance_days: int = Field(7, ge=1, le=90, description="Days whose load VMs are moved by, in days.")
    hot_node_percent: float = Field(
        90.0, gt=0, le=1000, description="VMs are moved from nodes that use more of their usable size, in percent."
    )
    cool_node_percent: float = Field(
        80.0, gt=0, le=1000, description="A node may use so much of its usable size after a move, in percent."
    )
    maximum_moves: int = Field(10, ge=0, le=1000, description="Moves recommended for one day at most, a count.")

    @model_validator(mode="after")
    def _makes_sense(self) -> "RecommendationsParameters":
        check_names("flavors", (flavor.name for flavor in self.flavors))
        check_names("prices", (price.item for price in self.prices))
        for row, flavor in enumerate(self.flavors):
            if flavor.name in (VCPU, MEMORY_GIB, DISK_GIB):
                problem = f"flavors: {flavor.name} is the name of a priced unit, and of no flavour"
                raise RowError("flavors", row, problem)
        if self.prices and not self.currency:
            raise ValueError("prices need a currency: set currency")
        if self.cool_node_percent > self.hot_node_percent:
            raise ValueError(
                "cool_node_percent is more than hot_node_percent: a move would make the next one necessary"
            )
        if self.medium_confidence_days > self.high_confidence_days:
            raise ValueError("medium_confidence_days is more than high_confidence_days")
        return self
