"""A simulated VM: what it is, how loaded it is, and everything that is planted in it."""

from dataclasses import dataclass
from datetime import date
from typing import Literal, NamedTuple

from resources.monitoring.simulated.catalogue import RATE_COLUMNS, Flavor

SizeClass = Literal["powered_off", "idle", "undersized", "oversized", "optimal"]
TrendKind = Literal["growth", "leak", "filling_disk"]
Rates = tuple[float, float, float, float]
"""Mean rates in bytes/s, in the order of `RATE_COLUMNS`."""
Span = tuple[int, int]
"""Sample indices `[first, last)`."""


class NodeRef(NamedTuple):
    """A node by its rack and its number there, both counted from 0."""

    rack: int
    number: int

    @property
    def id(self) -> str:
        return f"node-r{self.rack + 1:02d}-{self.number + 1:02d}"


@dataclass(frozen=True)
class Trend:
    """A straight growth of `column` by `slope_per_day` (in its unit) from the index `start` to the run's end.

    With `restart_every_days` it falls back to where it began that often. `exhaustion_day` is the
    day on which a filling disk has no space left.
    """

    column: str
    kind: TrendKind
    start: int
    slope_per_day: float
    restart_every_days: int | None = None
    exhaustion_day: date | None = None


@dataclass(frozen=True)
class Disturbance:
    """Something out of the ordinary in `column` over `span`.

    `hold` keeps it at `value`, `climb` leads it there in the first 60 % of the span and then holds
    it, `add` adds `value`. What it adds to a disk rate moves in blocks of `block_bytes`, or in those
    of the VM's role.
    """

    column: str
    span: Span
    shape: Literal["hold", "climb", "add"]
    value: float
    block_bytes: int | None = None


@dataclass(frozen=True)
class Incident:
    """A planted incident: what happens over `span`, and the alert it raises `alert_after` samples in."""

    kind: str
    span: Span
    columns: tuple[str, ...]
    alertname: str
    severity: Literal["info", "warning", "error", "critical"]
    alert_after: int


@dataclass(frozen=True)
class Late:
    """The samples of `span` arrive `delay` samples after their time."""

    span: Span
    delay: int


@dataclass(frozen=True, eq=False)
class Vm:
    """A VM of a tenant. Levels are those before any trend; shares are of its flavour."""

    tenant: str
    number: int
    role: str
    size_class: SizeClass
    size_reason: str
    flavors: tuple[tuple[int, Flavor], ...]
    """Flavours by the index from which they hold."""
    placements: tuple[tuple[int, NodeRef], ...]
    """Nodes by the index from which the VM is there."""
    running: bool
    offset_ms: int
    """How long after the sampling instant it is scraped."""
    day_shift: int
    """Samples by which its day is later than its role's."""
    cpu_low: float
    cpu_peak: float
    cpu_noise: float
    memory_low: float
    memory_swing: float
    disk_level: float
    rates: Rates
    uptime_days: float
    trends: tuple[Trend, ...] = ()
    disturbances: tuple[Disturbance, ...] = ()
    incidents: tuple[Incident, ...] = ()
    restarts: tuple[int, ...] = ()
    gaps: tuple[Span, ...] = ()
    late: tuple[Late, ...] = ()
    duplicates: tuple[Span, ...] = ()

    @property
    def vm_id(self) -> str:
        return f"{self.tenant}-vm-{self.number + 1:04d}"

    @property
    def name(self) -> str:
        return f"{self.role}-{self.number + 1:02d}"

    @property
    def flavor(self) -> Flavor:
        """The flavour at the end of the run."""
        return self.flavors[-1][1]

    @property
    def node(self) -> NodeRef:
        """The node at the end of the run."""
        return self.placements[-1][1]

    @property
    def counter_zeros(self) -> tuple[int, ...]:
        """Indices at which its counters begin again: at a restart, and as a new series after a migration."""
        return tuple(sorted((*self.restarts, *(start for start, _ in self.placements[1:]))))

    def rate(self, column: str) -> float:
        """Return its mean rate of `column` in bytes/s."""
        return self.rates[RATE_COLUMNS.index(column)]
