import math

import numpy as np
import pytest

from analytics_assets.analyzers.capacity_model.parameters import CapacityParameters
from analytics_assets.analyzers.recommendation_model.catalogue import GIB, Catalogue, Flavor, Need, Price, Size
from analytics_assets.analyzers.recommendation_model.history import idle_every_day, replay
from analytics_assets.analyzers.recommendation_model.vm_decisions import Vm, decide
from analytics_assets.kernels.matrix import HOUR_MS, Grid
from analytics_assets.kernels.sizing.peaks import Hours

FLAVORS = (
    Flavor(name="s", vcpus=1, memory_gib=2),
    Flavor(name="wide", vcpus=8, memory_gib=4),
    Flavor(name="tall", vcpus=2, memory_gib=32),
)
PRICES = (
    Price(item="s", price_per_hour=0.1), Price(item="wide", price_per_hour=0.5), Price(item="tall", price_per_hour=0.4),
)  # fmt: skip


def vm(size_class, vcpus=8.0, memory_gib=32.0, need=(1.0, 1.5), flavor="", **more):
    size = Size(vcpus, memory_gib * GIB, 10 * GIB, flavor)
    return Vm(size_class, "why", size, Need(need[0], need[1] * GIB, need[0] / 4, need[0] / 2), **more)


def test_the_cheapest_flavor_that_holds_the_need_is_not_the_smallest():
    assert Catalogue(FLAVORS, PRICES).best_fit(Need(2, 3 * GIB, 0, 0)).name == "tall"
    assert Catalogue(FLAVORS, ()).best_fit(Need(1, 4 * GIB, 0, 0)).name == "tall"
    assert Catalogue(FLAVORS, ()).best_fit(Need(9, GIB, 0, 0)) is None


def test_a_price_is_the_flavors_or_that_of_its_parts():
    prices = (*PRICES, Price(item="vcpu", price_per_hour=1), Price(item="memory_gib", price_per_hour=0.1))
    catalogue = Catalogue(FLAVORS, prices)
    assert catalogue.hourly_price(Size(1, 2 * GIB, math.nan, "s")) == 0.1
    assert catalogue.hourly_price(Size(2, 10 * GIB, 10 * GIB, "unknown")) == pytest.approx(3)
    with_disk = Catalogue(FLAVORS, (*prices, Price(item="disk_gib", price_per_hour=0.01)))
    assert with_disk.hourly_price(Size(1, 2 * GIB, 10 * GIB, "s")) == pytest.approx(0.2)
    assert Catalogue(FLAVORS, PRICES).hourly_price(Size(2, GIB, math.nan)) is None


@pytest.mark.parametrize("size_class", ["optimal", "oversized"])
def test_with_flavors_oversized_is_what_has_a_cheaper_one(size_class):
    """Half of a size may be no flavour, and a flavour less may be no half."""
    catalogue = Catalogue(FLAVORS, PRICES)
    found = decide(vm(size_class, 2, 32, need=(1, 1.5), flavor="tall"), catalogue, 30)
    assert (found.action, found.size_class, found.to.flavor) == ("resize", "oversized", "s")
    assert decide(vm(size_class, 1, 2, need=(0.1, 0.1), flavor="s"), catalogue, 30).size_class == "optimal"
    # A size without a price is compared by its parts: `tall` is no smaller than 1 vCPU and 4 GiB.
    assert decide(vm(size_class, 1, 4, need=(0.5, 3)), Catalogue(FLAVORS, PRICES), 30).action == "none"


def test_zombies_are_idle_long_enough():
    assert decide(vm("idle", idle_days=30), Catalogue((), ()), 30).size_class == "zombie"
    assert decide(vm("idle", idle_days=29), Catalogue((), ()), 30).size_class == "idle"
    assert decide(vm("powered_off", idle_days=99), Catalogue((), ()), 30).size_class == "powered_off"


def test_a_short_disk_alone_leaves_the_rest():
    case = vm("undersized", 2, 4, need=(1, 1), disk_need=20.5 * GIB, disk_short=True)
    found = decide(case, Catalogue((), ()), 30)
    assert (found.to.vcpus, found.to.memory_bytes, found.to.disk_bytes) == (2, 4 * GIB, 20.5 * GIB)


@pytest.mark.parametrize(("flavors", "to"), [((), (1, 1.5)), (FLAVORS, (1, 2))])
def test_a_short_disk_is_no_reason_to_stay_oversized(flavors, to):
    """Stops two restarts, one for the disk today and one for the rest tomorrow."""
    case = vm("undersized", disk_need=20.5 * GIB, disk_short=True, shrinks=True)
    found = decide(case, Catalogue(flavors, ()), 30)
    assert (found.size_class, found.to.vcpus, found.to.memory_bytes) == ("undersized", to[0], to[1] * GIB)
    assert found.to.disk_bytes == 20.5 * GIB
    assert found.grounds == (
        "why; needs 1 of 8 vCPUs and 1.5 of 32.0 GiB memory, headroom and the growth until the next resize included"
    )


def test_oversized_is_never_moved_to_something_larger():
    """Stops the class 'oversized' for a resize to 32 times the vCPUs, because they are cheap."""
    promo = Flavor(name="promo", vcpus=64, memory_gib=512)
    prices = (*PRICES, Price(item="promo", price_per_hour=0.001))
    case = vm("optimal", 2, 32, need=(1, 1.5), flavor="tall")
    assert decide(case, Catalogue((*FLAVORS, promo), prices), 30).to.flavor == "s"
    stays = decide(vm("optimal", 1, 2, need=(1, 1.5), flavor="s"), Catalogue((*FLAVORS, promo), prices), 30)
    assert (stays.action, stays.size_class) == ("none", "optimal")
    assert stays.grounds == "why"  # both analyses agree
    unsold = decide(vm("oversized", 1, 2, need=(1, 1.5), flavor="s"), Catalogue((*FLAVORS, promo), prices), 30)
    assert unsold.grounds.startswith("needs 1 of 1 vCPUs")


def test_what_it_rests_on_is_said_of_the_decision():
    """Stops 'cannot both shrink' as the evidence of a VM that is to shrink to a flavour."""
    found = decide(vm("optimal", 2, 32, need=(1, 1.5), flavor="tall"), Catalogue(FLAVORS, PRICES), 30)
    assert found.grounds.startswith("needs 1 of 2 vCPUs and 1.5 of 32.0 GiB memory")
    assert decide(vm("optimal"), Catalogue((), ()), 30).grounds == "why"


def hours(values):
    matrix = np.asarray(values, np.float32)[None, :]
    return Hours(matrix, matrix, matrix)


def test_a_replay_counts_minutes_and_finds_the_fullest_hour():
    cpu = hours([1.0, 3.0, np.nan, 1.0])
    memory = hours([10.0, 10.0, np.nan, 39.0])
    whole = np.ones((1, 4), np.float32)
    found = replay(cpu, memory, np.array([2.0]), np.array([40.0]), whole, Grid(7 * HOUR_MS, HOUR_MS, 4))
    assert (found.cpu_minutes[0], found.memory_minutes[0], found.hours[0]) == (60, 0, 3)
    assert (found.worst_hour_ms[0], found.worst_percent[0]) == (8 * HOUR_MS, pytest.approx(150))
    half = replay(cpu, memory, np.array([2.0]), np.array([40.0]), whole / 2, Grid(7 * HOUR_MS, HOUR_MS, 4))
    assert half.cpu_minutes[0] == 30  # an hour of which half was measured is no whole one
    alone = replay(cpu, hours([np.nan] * 3 + [1.0]), np.array([2.0]), np.array([40.0]), whole, Grid(0, HOUR_MS, 4))
    assert (alone.cpu_minutes[0], alone.hours[0]) == (0, 1)  # minutes and hours are of the same hours
    unknown = replay(cpu, memory, np.array([np.nan]), np.array([40.0]), whole, Grid(0, HOUR_MS, 4))
    assert np.isnan(unknown.cpu_minutes[0])
    assert unknown.worst_hour_ms[0] == -1


def test_idle_days_are_counted_from_the_last_one_back():
    limits = CapacityParameters()
    quiet, calm = np.full((3, 5 * 24), 0.01), np.full((3, 5 * 24), 10.0)
    quiet[1, 60] = 1.0  # busy for an hour of the third day
    calm[2, -24:] = np.nan  # the network of the last day is not measured
    np.testing.assert_array_equal(idle_every_day(quiet, calm, calm, limits, 17), [5, 2, 0])
