"""A VM's rows of the inventory out of values that were seen of it, step by step."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resources.inventory.libvirt import state_of
from resources.inventory.membership import Machine
from resources.inventory.rows import MOST_BYTES, MOST_VCPUS, VmRow

GONE_STEPS = 6
"""Steps at which others are seen and a VM is not, until its state is unknown: scrapes fail now and then."""

_STATE_NAMES: dict[float | None, str] = {0.0: "stopped", 1.0: "running"}
_STATE_CODES = {name: code for code, name in _STATE_NAMES.items()}

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
Points = tuple[IntArray, FloatArray]


@dataclass(frozen=True)
class Observed:
    """Values of one column for one machine, at the steps that showed it; `ts_ms` is not empty."""

    column: str
    machine: Machine
    flavor: str
    ts_ms: IntArray
    values: FloatArray


def vm_rows(vm_id: str, vm_name: str, seen: Sequence[Observed], steps: IntArray, step_ms: int) -> Iterator[VmRow]:
    """Yield the rows of one VM, oldest first: the first from the first step on, then one for every change.

    `seen` are all series of the VM; where several have a value at a step, as while it moves, the
    one that began last counts. `steps` are the steps at which anything at all was seen.
    """
    # By values at last, so that which of two replicas counts does not hang on the order of an answer.
    ordered = sorted(
        seen, key=lambda one: (int(one.ts_ms[0]), one.machine, one.flavor, one.values.tobytes()), reverse=True
    )
    places = sorted({(one.machine.node_id, one.flavor, one.machine.name) for one in ordered})
    columns: dict[str, Points] = {}
    for column in {one.column for one in ordered}:
        clean = _CLEAN[column]
        columns[column] = _overlaid([(one.ts_ms, clean(one.values)) for one in ordered if one.column == column])
    codes = [places.index((one.machine.node_id, one.flavor, one.machine.name)) for one in ordered]
    place = _overlaid(
        [(one.ts_ms, np.full(len(one.ts_ms), code, np.float64)) for one, code in zip(ordered, codes, strict=True)]
    )
    if "state" in columns:
        columns["state"] = _with_absences(columns["state"], place[0], steps, step_ms)
    changes = {name: _changes(points) for name, points in {**columns, "place": place}.items()}
    for instant in np.unique(np.concatenate([ts_ms for ts_ms, _ in changes.values()])).tolist():
        now = {name: _at(points, instant) for name, points in changes.items()}
        node_id, flavor, name = places[int(now["place"] or 0)]
        memory, disk = now.get("memory_bytes"), now.get("disk_bytes")
        yield VmRow(
            vm_id=vm_id,
            valid_from_ms=instant,
            vm_name=vm_name or name or None,
            node_id=node_id or None,
            flavor=flavor or None,
            vcpus=now.get("vcpus"),
            memory_bytes=None if memory is None else int(memory),
            disk_bytes=None if disk is None else int(disk),
            state=_STATE_NAMES.get(now.get("state")),
        )


def _vcpus(values: FloatArray) -> FloatArray:
    return np.where((values > 0) & (values <= MOST_VCPUS), values, np.nan)


def _bytes(values: FloatArray) -> FloatArray:
    return np.where((values >= 1) & (values <= MOST_BYTES), np.rint(values), np.nan)


def _states(values: FloatArray) -> FloatArray:
    codes = {
        code: _STATE_CODES.get(state_of(int(code)) or "", np.nan) for code in np.unique(values[np.isfinite(values)])
    }
    return np.array([codes.get(value, np.nan) for value in values.tolist()], dtype=np.float64)


_CLEAN: dict[str, Callable[[FloatArray], FloatArray]] = {
    "vcpus": _vcpus,
    "memory_bytes": _bytes,
    "disk_bytes": _bytes,
    "state": _states,
}
"""What turns a query's values into a column's; NaN is unknown, as is what cannot be a size."""


def _overlaid(parts: Sequence[Points]) -> Points:
    """Return the points of all parts; of those at one instant, that of the first part."""
    ts_ms, first = np.unique(np.concatenate([ts for ts, _ in parts]), return_index=True)
    return ts_ms, np.concatenate([values for _, values in parts])[first]


def _with_absences(points: Points, seen: IntArray, steps: IntArray, step_ms: int) -> Points:
    """Return `points` with an unknown value at the beginning of each long absence of the VM."""
    passed = np.searchsorted(steps, seen, "right")
    following = np.r_[np.searchsorted(steps, seen[1:]), len(steps)]
    begins = seen[following - passed >= GONE_STEPS] + step_ms
    return _overlaid([points, (begins, np.full(len(begins), np.nan))])


def _changes(points: Points) -> Points:
    """Return the first point and those whose value is another than the one before."""
    ts_ms, values = points
    same = (values[1:] == values[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1]))
    kept = np.r_[True, ~same]
    return ts_ms[kept], values[kept]


def _at(points: Points, instant: int) -> float | None:
    """Return the value that holds at `instant`, None where none is known."""
    ts_ms, values = points
    index = int(np.searchsorted(ts_ms, instant, "right")) - 1
    value = float(values[index]) if index >= 0 else np.nan
    return None if np.isnan(value) else value
