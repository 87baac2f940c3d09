"""What is asked of a server, one bounded request after the other, so that nothing is too much for it or for us.

All series of an entity (a VM, a node) are in one answer. How many entities a request may name shows
in the answers that have come: the first request names few.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from resources.errors import PermanentFailure
from resources.monitoring.selector import Selector, one_of
from resources.monitoring.server.failures import TooMuch, shown
from resources.monitoring.server.reader import RawSeries, Read, Reader

FIRST_ENTITIES = 8
"""Entities of the first request, which shows how many samples an entity has."""

BLIND_ENTITIES = 64
"""Entities of a request while no answer has had a sample."""

MOST_ENTITIES = 1_000
"""A request names no more: the server compiles their names into one expression."""

SHORTEST_MS = 60_000
"""A window of this length is not cut any more."""


@dataclass(frozen=True)
class Request:
    """The series of `selector` in `[start_ms, end_ms)` whose `label` is one of `entities`; without a label all."""

    selector: Selector
    start_ms: int
    end_ms: int
    label: str = ""
    entities: tuple[str, ...] = ()

    def asked(self) -> Selector:
        """Return the selector to send."""
        return self.selector.having(one_of(self.label, list(self.entities))) if self.label else self.selector

    def by_entity(self) -> "tuple[Request, Request] | None":
        """Return two requests for half of the entities each; None where there is only one."""
        middle = len(self.entities) // 2
        if not middle:
            return None
        return replace(self, entities=self.entities[:middle]), replace(self, entities=self.entities[middle:])

    def by_time(self) -> "tuple[Request, Request] | None":
        """Return two requests for half of the window each; None where it is too short to be cut."""
        if self.end_ms - self.start_ms <= SHORTEST_MS:
            return None
        between = (self.start_ms + self.end_ms) // 2
        return replace(self, end_ms=between), replace(self, start_ms=between)


def fetch(reader: Reader, request: Request) -> list[Read]:
    """Return the whole answer to `request` in as many parts as the server wants, each with whole entities.

    Raises:
        TransientFailure, PermanentFailure: a part failed; nothing of the others is returned.
    """
    try:
        return [reader.read(request.asked(), request.start_ms, request.end_ms)]
    except TooMuch as error:
        if halves := request.by_entity():
            return [read for half in halves for read in fetch(reader, half)]
        if halves := request.by_time():
            return [joined([read for half in halves for read in fetch(reader, half)])]
        of = f" of the {request.label} {shown(request.entities[0])}" if request.entities else ""
        raise PermanentFailure(
            f"{error} The request is already as small as it gets: {request.end_ms - request.start_ms} ms{of}. "
            "Raise the server's limit."
        ) from error


@dataclass
class Requests:
    """The requests that together ask for all entities of `whole`, each of about `chunk_samples` by what was learned."""

    whole: Request
    chunk_samples: int
    _size: int = FIRST_ENTITIES
    _samples: int = 0
    _sampled: int = 0

    def __iter__(self) -> Iterator[Request]:
        begin = 0
        while begin < len(self.whole.entities):
            end = begin + self._size
            yield replace(self.whole, entities=self.whole.entities[begin:end])
            begin = end
            if not self.learned:
                self._size = BLIND_ENTITIES

    @property
    def learned(self) -> bool:
        """Whether an answer has shown how many samples an entity has; a server may list many that have none."""
        return self._sampled > 0

    def learn(self, reads: Iterable[Read]) -> None:
        """Take from the answers to one request how many samples an entity has."""
        reads = list(reads)
        self._samples += sum(len(read.series.ts_ms) for read in reads)
        self._sampled += len({labels.get(self.whole.label) for read in reads for labels in read.series.labels})
        if self.learned:
            self._size = int(min(MOST_ENTITIES, max(1, self.chunk_samples * self._sampled // max(1, self._samples))))


def in_parallel(work: Callable[[Request], list[Read]], requests: Requests, concurrency: int) -> Iterator[list[Read]]:
    """Yield the answers to `requests` in their order, `concurrency` of them being fetched at a time.

    The next ones are fetched while the caller works on one; no more answers than these are held. As
    long as nothing is learned, one is fetched after the other.
    """
    with ThreadPoolExecutor(concurrency, thread_name_prefix="source") as pool:
        waiting: deque[Future[list[Read]]] = deque()

        def next_one() -> list[Read]:
            reads = waiting.popleft().result()
            requests.learn(reads)
            return reads

        try:
            for request in requests:
                waiting.append(pool.submit(work, request))
                while len(waiting) > (concurrency if requests.learned else 0):
                    yield next_one()
            while waiting:
                yield next_one()
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
