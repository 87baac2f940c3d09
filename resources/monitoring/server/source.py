"""A monitoring server as a source of samples: whose series these are, how much at once, and whether that is all."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Literal

import numpy as np

from resources.errors import PermanentFailure, TransientFailure
from resources.monitoring.metrics import METRICS, VM_METRICS
from resources.monitoring.selector import NAME, Matcher, Selector, one_of, parse_selector
from resources.monitoring.server.api import PrometheusApi, Values, check_window
from resources.monitoring.server.failures import TooMuch, shown
from resources.monitoring.server.listing import list_values
from resources.monitoring.server.reader import RawSeries, Read, Reader
from resources.monitoring.server.requests import SHORTEST_MS, Request, Requests, fetch, in_parallel
from resources.monitoring.source import SeriesBatch
from resources.partition import DAY_MS, PLATFORM, day_of_ms, day_start_ms, sort_out_tenants

TENANT_LABEL = "tenant_id"

ENTITY_LABELS = ("vm_id", "node_id", "source_node", "instance")
"""What series may be of, in this order: those of one value of the first label that they have are one entity's."""

EPOCH = date(2000, 1, 1)

# Named one by one, so that a server with limits can be asked for one after the other.
VM_SERIES = Selector((one_of(NAME, [name for name in METRICS if name.startswith("novacron_vm_")]),))
PLATFORM_SERIES = Selector(
    (Matcher(NAME, "=~", "novacron_(system|storage|network)_.+|node_load1"), Matcher(TENANT_LABEL, "=", ""))
)

PLATFORM_GAUGES = (
    "novacron_system_load_average",
    "novacron_storage_usage_bytes",
    "novacron_network_packet_loss_rate",
    "node_load1",
)
"""A few series of nodes, tiers and links each, by which a day of the platform is looked for."""

INDEX_DAYS = 30
"""Asked about more than 40 days, VictoriaMetrics answers for all time."""

CANNOT_LIST = "not implemented"
"""What Prometheus says of every remote store when it lists the values of a label."""


@dataclass(frozen=True)
class Limits:
    """How much is asked at once, and what is done about answers that are not whole; see the settings `source_*`."""

    interval_seconds: int | None = None
    chunk_samples: int = 2_000_000
    concurrency: int = 2
    max_entities: int = 100_000
    partial_answers: Literal["refuse", "accept"] = "refuse"


class ServerSource:
    """A `MetricSource` over a `Reader` of samples and the server's JSON interface.

    Every selector carries the tenant, and every series that comes back is held against it.
    """

    def __init__(
        self, kind: str, server: str, reader: Reader, api: PrometheusApi, limits: Limits, first_day: date | None = None
    ) -> None:
        self.kind = kind
        self.server = server
        self.reader = reader
        self.api = api
        self.limits = limits
        self.first_day = first_day or EPOCH

    def tenants(self) -> list[str]:
        legal, _ = sort_out_tenants(self._label_values(TENANT_LABEL, VM_SERIES).values)
        platform = self._label_values(NAME, PLATFORM_SERIES).values
        return [*legal, PLATFORM] if platform else legal

    def refused_tenants(self) -> dict[str, str]:
        return sort_out_tenants(self._label_values(TENANT_LABEL, VM_SERIES).values)[1]

    def has_passed(self, tenant: str, ts_ms: int) -> bool:
        return _now_ms() >= ts_ms

    def sample_interval_seconds(self, tenant: str) -> int | None:
        return self.limits.interval_seconds

    def extent(self, tenant: str) -> tuple[date, date] | None:
        """Return the first and last day with samples of `tenant` from the grid's first day to now."""
        days = [self.first_day + timedelta(days=n) for n in range((day_of_ms(_now_ms()) - self.first_day).days + 1)]
        for selector in (_representative(tenant), _anything(tenant)):
            first = self._first_sampled(selector, days)
            if first is not None:
                last = self._first_sampled(selector, [day for day in reversed(days) if day >= first])
                return first, last or first
        return None

    def _first_sampled(self, selector: Selector, days: Sequence[date]) -> date | None:
        """Return the first of consecutive `days`, in either order, that has samples.

        The index is asked month by month first, which costs next to nothing; it knows of blocks
        (Prometheus) or days (VictoriaMetrics), so what it names is then looked at.
        """
        for begin in range(0, len(days), INDEX_DAYS):
            window = days[begin : begin + INDEX_DAYS]
            if self._indexed(selector, min(window), max(window)):
                found = next((day for day in window if self._sampled(selector, *_window(day))), None)
                if found is not None:
                    return found
        return None

    def samples(self, tenant: str, selectors: Sequence[str], start_ms: int, end_ms: int) -> Iterator[SeriesBatch]:
        check_window(start_ms, end_ms, _now_ms())
        for selector in together([parse_selector(text) for text in selectors]):
            own = selector.having(_of_tenant(tenant))
            for read in self._reads(own, start_ms, end_ms):
                yield from self._batches(read, own, tenant)
                if read.warnings and not read.series.labels:
                    # Nothing, and the server doubts it: an empty batch carries the doubt.
                    yield _batch(_a_name_of(selector), read.series, [], read)

    def _reads(self, selector: Selector, start_ms: int, end_ms: int) -> Iterator[Read]:
        """Yield the answers that together are all series of `selector`; all series of an entity are in one of them."""
        whole = Request(selector, start_ms, end_ms)
        for label in ENTITY_LABELS:
            found = self._list(label, whole.selector, start_ms, end_ms)
            if found.warnings:
                # What a doubtful list lacks, nobody would ask for by name.
                yield from self._rest(whole, found.warnings)
                return
            if found.values:
                self._refuse_crowd(whole.selector, len(found.values), label)
                yield from self._entities(replace(whole, label=label, entities=tuple(found.values)))
                whole = replace(whole, selector=whole.selector.having(Matcher(label, "=", "")))
                if not self._list(NAME, whole.selector, start_ms, end_ms).values:
                    return
        yield from self._rest(whole, ())

    def _entities(self, whole: Request) -> Iterator[Read]:
        for reads in in_parallel(self._answer, Requests(whole, self.limits.chunk_samples), self.limits.concurrency):
            yield from reads

    def _rest(self, whole: Request, warnings: tuple[str, ...]) -> Iterator[Read]:
        """Yield the series that name no entity, or of which it is not known which they name."""
        for instant_ms in ((whole.start_ms + whole.end_ms) // 2, whole.end_ms - 1):
            for _, count in self.api.instant(f"count({whole.selector})", instant_ms):
                self._refuse_crowd(whole.selector, int(count))
        for read in self._answer(whole):
            # What lists were warned of, remote-read does not pass on.
            yield replace(read, warnings=(*warnings, *read.warnings))

    def _answer(self, request: Request) -> list[Read]:
        reads = fetch(self.reader, request)
        for read in reads:
            self._check_whole(read.warnings, str(request.selector))
        return reads

    def _refuse_crowd(self, selector: Selector, count: int, label: str = "") -> None:
        if count > self.limits.max_entities:
            what = f"{count} values of {label}" if label else f"{count} series at once that name no VM and no node"
            raise PermanentFailure(
                f"{self.server}: {shown(str(selector))} means {what}, more than source_max_entities = "
                f"{self.limits.max_entities}. If there may be so many, raise it; otherwise mend what exports so many."
            )

    def _batches(self, read: Read, selector: Selector, tenant: str) -> Iterator[SeriesBatch]:
        """Yield the series of each metric, in the order of their names."""
        series = read.series
        by_name: dict[str, list[int]] = {}
        for number, labels in enumerate(series.labels):
            name = labels.get(NAME, "")
            if labels.get(TENANT_LABEL, "") != ("" if tenant == PLATFORM else tenant) or not selector.matches(
                name, labels
            ):
                raise PermanentFailure(
                    f"{self.server}: asked for {shown(str(selector))}, it answered with the series "
                    f"{shown(str(labels))}. Nothing of this answer was used. Check what lies between this "
                    "software and the server: something ignores the conditions on labels."
                )
            by_name.setdefault(name, []).append(number)
        for name in sorted(by_name):
            yield _batch(name, series, by_name[name], read)

    def _label_values(self, label: str, selector: Selector) -> Values:
        start_ms, end_ms = day_start_ms(self.first_day), _now_ms() + DAY_MS
        return self._list(label, selector, start_ms, end_ms)

    def _indexed(self, selector: Selector, first: date, last: date) -> bool:
        """Return whether the server's index has series of `selector` near these days."""
        start_ms, end_ms = day_start_ms(first), day_start_ms(last) + DAY_MS
        return bool(self._list(NAME, selector, start_ms, end_ms).values)

    def _sampled(self, selector: Selector, start_ms: int, end_ms: int) -> bool:
        """Return whether any series of `selector` has a sample in the window; in parts where the server wants that."""
        try:
            answer = self.api.instant(f"count(last_over_time({selector}[{end_ms - start_ms - 1}ms]))", end_ms - 1)
        except TooMuch:
            if halves := selector.by_name():
                return any(self._sampled(half, start_ms, end_ms) for half in halves)
            if end_ms - start_ms <= SHORTEST_MS:
                raise
            middle_ms = (start_ms + end_ms) // 2
            # From the end on: the newest samples are the cheapest.
            return self._sampled(selector, middle_ms, end_ms) or self._sampled(selector, start_ms, middle_ms)
        self._check_whole(answer.warnings, str(selector))
        return bool(answer.rows)

    def _list(self, label: str, selector: Selector, start_ms: int, end_ms: int) -> Values:
        found = list_values(self.api, label, selector, start_ms, end_ms)
        self._check_whole(found.warnings, str(selector))
        return found

    def _check_whole(self, warnings: Sequence[str], what: str) -> None:
        if warnings and self.limits.partial_answers == "refuse":
            advice = "Mend the server"
            if CANNOT_LIST in warnings:
                advice = "A Prometheus with remote_read cannot list what its remote stores hold: read these themselves"
            raise TransientFailure(
                f"{self.server}: {shown(what)}: the answer is not whole: {shown('; '.join(warnings))}. It was not "
                f"used; what was stored is kept. {advice}, or accept such answers with "
                "ANALYTICS_SOURCE_PARTIAL_ANSWERS=accept."
            )


def together(selectors: Sequence[Selector]) -> list[Selector]:
    """Return `selectors` with all plain metric names in one, so that a VM's metrics come in one request."""
    plain = sorted({s.name for s in selectors if s.name is not None and len(s.matchers) == 1})
    rest = [s for s in dict.fromkeys(selectors) if s.name is None or len(s.matchers) > 1]
    return [*([Selector((one_of(NAME, plain),))] if plain else []), *rest]


def _representative(tenant: str) -> Selector:
    """Return the selector of a few series by which a day of `tenant` is looked for."""
    names = list(PLATFORM_GAUGES) if tenant == PLATFORM else [metric.name for metric in VM_METRICS[:2]]
    return Selector((one_of(NAME, names), _of_tenant(tenant)))


def _anything(tenant: str) -> Selector:
    """Return the selector of all series by which `tenant` is known."""
    return (PLATFORM_SERIES if tenant == PLATFORM else VM_SERIES).having(_of_tenant(tenant))


def _window(day: date) -> tuple[int, int]:
    return day_start_ms(day), day_start_ms(day) + DAY_MS


def _of_tenant(tenant: str) -> Matcher:
    return Matcher(TENANT_LABEL, "=", "" if tenant == PLATFORM else tenant)


def _a_name_of(selector: Selector) -> str:
    """Return a metric that `selector` means, the first of several that it names; empty if it names none."""
    named = next((matcher.value for matcher in selector.matchers if matcher.label == NAME), "")
    return selector.name or named.partition("|")[0]


def _batch(name: str, series: RawSeries, numbers: list[int], read: Read) -> SeriesBatch:
    chosen = np.array(numbers, np.int64)
    sizes = np.diff(series.offsets)
    keep = np.zeros(len(series.labels), bool)
    keep[chosen] = True
    labels = tuple({key: value for key, value in series.labels[n].items() if key != NAME} for n in numbers)
    offsets = np.r_[0, np.cumsum(sizes[chosen])].astype(np.int64)
    if len(chosen) and chosen[-1] - chosen[0] == len(chosen) - 1:  # they stand together: nothing is copied
        span = slice(int(series.offsets[chosen[0]]), int(series.offsets[chosen[-1] + 1]))
        return SeriesBatch(name, labels, offsets, series.ts_ms[span], series.values[span], read.method, read.warnings)
    picked = np.repeat(keep, sizes)
    return SeriesBatch(name, labels, offsets, series.ts_ms[picked], series.values[picked], read.method, read.warnings)


def _now_ms() -> int:
    """Return the wall clock's time: it tells an impossible window, and whether a day is over."""
    return int(time.time() * 1000)
