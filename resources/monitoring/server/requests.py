"""What one call for samples asks of a server: requests of a bounded size, whole or not at all.

A request is a selector, the VMs it is about and a window. What the server finds too much is cut in
two: by VMs while there are several, then by time. A request counts when its whole answer is there.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from resources.errors import PermanentFailure
from resources.monitoring.selector import Selector, one_of
from resources.monitoring.server.failures import TooMuch
from resources.monitoring.server.reader import RawSeries, Read, Reader

VM_LABEL = "vm_id"

FIRST_VMS = 64
"""VMs of the first request of a tenant, which shows how many samples a VM has."""

MOST_VMS = 1_000
"""A request names no more VMs: the server compiles their names into one expression."""

SHORTEST_MS = 60_000
"""A window of this length is not cut any more."""


@dataclass(frozen=True)
class Request:
    """`vms` are all VMs with series in the window that `selector` means; `narrowed` asks for just those."""

    selector: Selector
    vms: tuple[str, ...]
    start_ms: int
    end_ms: int
    narrowed: bool = False

    def asked(self) -> Selector:
        """Return the selector to send."""
        return self.selector.having(one_of(VM_LABEL, list(self.vms))) if self.narrowed else self.selector

    def halves(self) -> "tuple[Request, Request] | None":
        """Return two requests that together ask the same; None for one that cannot be cut."""
        if len(self.vms) > 1:
            middle = len(self.vms) // 2
            return self._of(self.vms[:middle]), self._of(self.vms[middle:])
        if self.end_ms - self.start_ms > SHORTEST_MS:
            between = (self.start_ms + self.end_ms) // 2
            return self._from(self.start_ms, between), self._from(between, self.end_ms)
        return None

    def _of(self, vms: tuple[str, ...]) -> "Request":
        return Request(self.selector, vms, self.start_ms, self.end_ms, narrowed=True)

    def _from(self, start_ms: int, end_ms: int) -> "Request":
        return Request(self.selector, self.vms, start_ms, end_ms, self.narrowed)


def fetch(reader: Reader, request: Request) -> Read:
    """Return the whole answer to `request`, asked in as many parts as the server wants.

    Raises:
        TransientFailure, PermanentFailure: a part failed; nothing of the others is returned.
    """
    try:
        return reader.read(request.asked(), request.start_ms, request.end_ms)
    except TooMuch as error:
        halves = request.halves()
        if halves is None:
            raise PermanentFailure(
                f"{error} The request is already as small as it gets: {request.end_ms - request.start_ms} ms of "
                f"{len(request.vms)} VM(s). Raise the server's limit."
            ) from error
        return joined([fetch(reader, half) for half in halves])


def in_groups(
    selector: Selector, vms: Sequence[str], start_ms: int, end_ms: int, chunk_samples: int, first: Read | None
) -> list[Request]:
    """Return the requests that follow the `first` one (of the first `FIRST_VMS` of `vms`), each for a bounded amount.

    Without a `first` answer, the one request to begin with: of all series if there are few VMs.
    """
    if first is None:
        if len(vms) <= FIRST_VMS:
            return [Request(selector, tuple(vms), start_ms, end_ms)]
        return [Request(selector, tuple(vms[:FIRST_VMS]), start_ms, end_ms, narrowed=True)]
    per_vm = max(1.0, len(first.series.ts_ms) / FIRST_VMS)
    size = int(min(MOST_VMS, max(1, chunk_samples // per_vm)))
    rest = vms[FIRST_VMS:]
    groups = [rest[begin : begin + size] for begin in range(0, len(rest), size)]
    requests = [Request(selector, tuple(group), start_ms, end_ms, narrowed=True) for group in groups]
    # And the series that name no VM, so that a selector of both kinds loses none.
    return [*requests, Request(selector, ("",), start_ms, end_ms, narrowed=True)]


def in_parallel(work: Callable[[Request], Read], requests: Iterable[Request], concurrency: int) -> Iterator[Read]:
    """Yield the answers to `requests` in their order, `concurrency` of them being fetched at a time.

    The next ones are fetched while the caller works on one; no more answers than these are held.
    """
    with ThreadPoolExecutor(concurrency, thread_name_prefix="source") as pool:
        waiting: deque[Future[Read]] = deque()
        try:
            for request in requests:
                waiting.append(pool.submit(work, request))
                if len(waiting) > concurrency:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            # After a failure, or when the caller has had enough, what was not begun is not asked.
            for future in waiting:
                future.cancel()


def joined(reads: Sequence[Read]) -> Read:
    """Return one answer out of several: series of the same labels become one, in the order of the answers."""
    series: dict[frozenset[tuple[str, str]], list[tuple[int, int]]] = {}
    for number, read in enumerate(reads):
        for position, labels in enumerate(read.series.labels):
            series.setdefault(frozenset(labels.items()), []).append((number, position))
    ts_ms, values, sizes, labels_of = [], [], [], []
    for places in series.values():
        labels_of.append(reads[places[0][0]].series.labels[places[0][1]])
        size = 0
        for number, position in places:
            part = reads[number].series
            span = slice(int(part.offsets[position]), int(part.offsets[position + 1]))
            ts_ms.append(part.ts_ms[span])
            values.append(part.values[span])
            size += span.stop - span.start
        sizes.append(size)
    whole = RawSeries(
        tuple(labels_of),
        np.r_[0, np.cumsum(sizes)].astype(np.int64),
        np.concatenate(ts_ms) if ts_ms else np.zeros(0, np.int64),
        np.concatenate(values) if values else np.zeros(0),
    )
    methods = " and ".join(sorted({read.method for read in reads}))
    return Read(whole, methods, tuple(sorted({warning for read in reads for warning in read.warnings})))
