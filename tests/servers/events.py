"""Things that happen to VMs in reality and that are planted in traces: plain data, known to what
writes the series and to what computes the expected totals."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Reset:
    """The VM's counters begin again at zero right after the last sample before `at`: no byte is lost."""

    vm_id: str
    at: datetime


@dataclass(frozen=True)
class Migration:
    """The VM moves to `node_id` at `at`.

    From the first sample on that is not before `at` it is shown by new series, whose counters begin at
    zero before that sample. The series of the old node stay, with a sample at each of the same
    instants, frozen at their last value. What was moved between the two is in no series.
    """

    vm_id: str
    at: datetime
    node_id: str


@dataclass(frozen=True)
class Gap:
    """The VM is not scraped in `[start, end)`; its counters count on."""

    vm_id: str
    start: datetime
    end: datetime


Event = Reset | Migration | Gap
