"""Which of several series speaks for an entity, and when.

NovaCron's exporter never drops a label set: after a migration a VM's old series stays exposed with
a frozen value beside the new one, and comes alive again if the VM comes back. Two servers that
scrape the same targets make twins as well, both alive. At every instant one series speaks.

A series has news when it appears and when it takes another value. The interval of an entity is that
of its series with the most samples. First speaks the series that appeared first. Another takes over

- when the speaker was left: for more than `PATIENCE` intervals it has no news (its turn may begin
  in this silence), and after so many a twin has, to which the speaker has none for more than
  `ANSWER` intervals (a second server shows every change, too, a scrape sooner or later);
- when the speaker was gone: for more than `PATIENCE` intervals it has no sample, and after so many a
  twin has news, or a sample of the very value that the speaker had last;
- in the end, if it had the last news of all, its last value is another than the speaker's, and the
  entity is seen for more than `PATIENCE` intervals after the speaker's last news.

Twins that appear within `ANSWER` intervals of the first appear together: which is scraped first in an
interval means nothing. If none of them ever takes another value, none is later than another, and
nothing in them tells which was left. First speaks then the one at the place that the caller knows of;
else, or of several there, the one that goes on by more than `ANSWER` intervals longer; else the first
in order of the labels.

The first twin to give a reason takes over; of two reasons at one instant, the speaker was gone. Its
turn begins with its first news after the speaker fell silent (its last news, the beginning of its
turn, or, if it was gone, its last sample): until then it is frozen itself, or shows the same. After
one that was gone a sample of the value it had last will do. A first speaker that was left, or had
no news to the end, since it appeared gives way from that very instant on: to be there is not yet to
speak, and of two series the one that changes spoke all along.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analytics_assets.kernels.samples import BoolArray, FloatArray, IntArray, OrderedSamples

PATIENCE = 3
"""How many intervals without news are silence, if a twin has news then."""

ANSWER = 2
"""Within how many intervals a living twin shows the same news, even if it missed a scrape."""

# Times are milliseconds from an origin that lets them make one number with that of a series, to search
# by: 2**40 of them are 34 years, which leaves room for four million series.
_SPAN = 1 << 41
_NEVER = _SPAN - 1
_LAST = 1 << 40


@dataclass(frozen=True)
class _Twins:
    """The series of entities that have several, in order of the entity; `owner` numbers the entities by series.

    By entity: the series that is `first` to speak, `patience` and `answer` in milliseconds, and the
    time of its `last` sample. By news, in order of series and time: which sample they are, of which
    series, their time and that of the series' next.
    """

    owner: IntArray
    bounds: IntArray
    ts: IntArray
    values: FloatArray
    first: IntArray
    patience: IntArray
    answer: IntArray
    last: IntArray
    news: IntArray
    news_series: IntArray
    news_ts: IntArray
    news_next: IntArray


def speaking(samples: OrderedSamples, prefer: IntArray | None = None) -> BoolArray | None:
    """Return which samples are of the series that speaks for its entity just then; None if every sample is.

    `prefer` has for each of the entities the number of the place that it is at as far as is known, -1
    where nothing is: of twins that never change, together from the beginning, the one there speaks.
    """
    shared = samples.entity[1:] == samples.entity[:-1]
    if not shared.any():
        return None
    several = np.r_[shared, False] | np.r_[False, shared]
    series = np.flatnonzero(several)
    twins = _twins(samples, series, prefer)
    restless = _restless(twins)
    whole = ~several
    whole[series[twins.first[~restless]]] = True
    spoken = np.repeat(whole, np.diff(samples.bounds))
    moved = samples.bounds[series] - twins.bounds[:-1]
    for speakers, begin, end in _turns(twins, restless):
        spans = zip((moved[speakers] + begin).tolist(), (moved[speakers] + end).tolist(), strict=True)
        for first, stop in spans:
            spoken[first:stop] = True
    return spoken


def _twins(samples: OrderedSamples, series: IntArray, prefer: IntArray | None) -> _Twins:
    sizes = np.diff(samples.bounds)[series]
    bounds: IntArray = np.r_[0, np.cumsum(sizes)]
    ts, values = samples.ts_ms, samples.values
    if len(series) < len(samples.entity):
        at = np.repeat(samples.bounds[series] - bounds[:-1], sizes) + np.arange(bounds[-1])
        ts, values = ts[at], values[at]
    ts = np.maximum(ts - (int(ts.max()) - _LAST), 0)
    entity = samples.entity[series]
    starts = np.flatnonzero(np.r_[True, entity[1:] != entity[:-1]])
    owner = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(series)]))
    interval = samples.interval_ms[series][np.lexsort((-sizes, owner))[starts]]

    new = np.empty(len(ts), bool)
    np.not_equal(values[1:], values[:-1], out=new[1:])
    new[bounds[:-1]] = True
    news = np.flatnonzero(new)
    news_bounds = np.searchsorted(news, bounds).astype(np.int64)
    news_ts = ts[news]

    patience, answer = np.minimum(PATIENCE * interval, _LAST), np.minimum(ANSWER * interval, _LAST)
    appears, ends = ts[bounds[:-1]], ts[bounds[1:] - 1]
    begin = np.minimum.reduceat(appears, starts)[owner]
    together = appears - begin <= answer[owner]
    changes = np.logical_or.reduceat(together & (np.diff(news_bounds) > 1), starts)
    alike = together & ~changes[owner]
    appears = np.where(alike, begin, appears)
    news_ts[news_bounds[:-1]] = appears
    longest = np.maximum.reduceat(np.where(alike, ends, 0), starts)[owner]
    known = np.full(len(series), -1) if prefer is None else prefer[entity]
    elsewhere = alike & (known >= 0) & (samples.place[series] != known)
    shorter = alike & (ends < longest - answer[owner])
    return _Twins(
        owner=owner,
        bounds=bounds,
        ts=ts,
        values=values,
        first=np.lexsort((shorter, elsewhere, appears, owner))[starts],
        patience=patience,
        answer=answer,
        last=np.maximum.reduceat(ends, starts),
        news=news,
        news_series=np.repeat(np.arange(len(series)), np.diff(news_bounds)),
        news_ts=news_ts,
        news_next=_following(news_ts, news_bounds),
    )


def _following(ts: IntArray, bounds: IntArray) -> IntArray:
    """Return the time after each of `ts` in its series, `_NEVER` after the last."""
    found: IntArray = np.r_[ts[1:], _NEVER]
    found[bounds[1:] - 1] = _NEVER
    return found


def _restless(twins: _Twins) -> BoolArray:
    """Return the entities whose first speaker is ever without news for so long that it may not speak all along."""
    long = np.flatnonzero(twins.news_next - twins.news_ts > int(twins.patience.min()))
    series = twins.news_series[long]
    owner = twins.owner[series]
    until = np.minimum(twins.news_next[long], twins.last[owner])
    silent = (until - twins.news_ts[long] > twins.patience[owner]) & (series == twins.first[owner])
    found = np.zeros(len(twins.first), bool)
    found[owner[silent]] = True
    return found


def _turns(twins: _Twins, restless: BoolArray) -> Iterator[tuple[IntArray, IntArray, IntArray]]:
    """Yield who speaks in the `restless` entities: series, and the first and last but one of its samples in a turn."""
    if not restless.any():
        return
    samples_key = np.repeat(np.arange(len(twins.owner)) * _SPAN, np.diff(twins.bounds)) + twins.ts
    news_key = twins.news_series * _SPAN + twins.news_ts
    news = _News.of(twins, restless)
    left, gone = _left(twins, news, restless), _gone(twins, news, restless)
    last_news = twins.news_ts[np.searchsorted(twins.news_series, np.arange(len(twins.owner)), "right") - 1]
    last_value = twins.values[twins.bounds[1:] - 1]

    owner = np.flatnonzero(restless)
    now = twins.first[owner]
    begin = twins.bounds[now]
    first_turn = True
    while len(now):
        since = twins.ts[begin]
        key = now * _SPAN + since
        # Where its turn began in a silence, only what follows counts.
        until = twins.news_next[np.searchsorted(news_key, key, "right") - 1]
        chance = np.stack([since, *news.told(owner, since, until)])
        chance = np.where(chance[1] < _NEVER, chance, left.next(key + 1))
        absent = gone.next(key)
        is_gone = (absent[1] <= chance[1]) & (absent[1] < _NEVER)
        quiet, (heard, heir) = np.maximum(since, last_news[now]), news.last(owner)
        ends = (chance[1] == _NEVER) & (heard > quiet) & (last_value[heir] != last_value[now])
        ends &= twins.last[owner] - quiet > twins.patience[owner]
        chance = np.where(ends, np.stack([quiet, heard, heir]), chance)
        if first_turn:
            chance[0] -= chance[0] == since
            first_turn = False
        chance = np.where(is_gone, absent, chance)

        gives_way = chance[1] < _NEVER
        stop = twins.bounds[now + 1]
        former, is_gone, (since, _, heir) = now[gives_way], is_gone[gives_way], chance[:, gives_way]
        following = np.searchsorted(news_key, heir * _SPAN + since, "right")
        start = twins.news[np.minimum(following, len(twins.news) - 1)]
        # Who has the value of one that is gone need not have news to speak for it.
        there = np.searchsorted(samples_key, heir * _SPAN + since, "right")
        before = np.searchsorted(samples_key, former * _SPAN + since, "right") - 1
        start = np.where(is_gone & (twins.values[there] == twins.values[before]), there, start)
        stop[gives_way] = np.searchsorted(samples_key, former * _SPAN + twins.ts[start])
        yield now, begin, stop
        owner, now, begin = owner[gives_way], heir, start


@dataclass(frozen=True)
class _News:
    """The news of all series of each entity, in order of entity, time and series."""

    twins: _Twins
    key: IntArray
    series: IntArray

    @classmethod
    def of(cls, twins: _Twins, wanted: BoolArray) -> "_News":
        chosen = np.flatnonzero(wanted[twins.owner[twins.news_series]])
        series = twins.news_series[chosen]
        key = twins.owner[series] * _SPAN + twins.news_ts[chosen]
        order = np.argsort(key, kind="stable")
        return cls(twins, key[order], series[order])

    def after_patience(self, owner: IntArray, since: IntArray) -> tuple[IntArray, IntArray]:
        """Return when the first news of an entity after its patience since then are, `_NEVER` without, and whose."""
        place = np.searchsorted(self.key, owner * _SPAN + since + self.twins.patience[owner], "right")
        at = np.minimum(place, len(self.key) - 1)
        own = (place < len(self.key)) & (self.key[at] // _SPAN == owner)
        return np.where(own, self.key[at] % _SPAN, _NEVER), self.series[at]

    def told(self, owner: IntArray, since: IntArray, until: IntArray) -> tuple[IntArray, IntArray]:
        """Return when the first news are that tell that a series silent `since` then was left, and whose."""
        sign, by = self.after_patience(owner, since)
        unanswered = (until == _NEVER) | (sign < until - self.twins.answer[owner])
        return np.where(unanswered, sign, _NEVER), by

    def last(self, owner: IntArray) -> tuple[IntArray, IntArray]:
        """Return when an entity's last news were, and of which series; of several the first."""
        last = self.key[np.searchsorted(self.key, (owner + 1) * _SPAN) - 1]
        return last % _SPAN, self.series[np.searchsorted(self.key, last)]


@dataclass(frozen=True)
class _Chances:
    """Reasons to give way, in order of series and time: silent or gone `since`, as the `sign` of series `by` tells."""

    key: IntArray
    what: IntArray
    """`since`, `sign` and `by`."""

    @classmethod
    def of(cls, series: IntArray, since: IntArray, sign: IntArray, by: IntArray) -> "_Chances":
        real = np.flatnonzero(sign < _NEVER)
        key = np.r_[series[real] * _SPAN + since[real], np.iinfo(np.int64).max]
        return cls(key, np.concatenate([np.stack([since, sign, by])[:, real], [[0], [_NEVER], [0]]], axis=1))

    def next(self, key: IntArray) -> IntArray:
        """Return the first chance from `key` on of the same series; the sign is `_NEVER` where there is none."""
        place = np.searchsorted(self.key, key)
        found = self.what[:, place]
        found[1] = np.where(self.key[place] // _SPAN == key // _SPAN, found[1], _NEVER)
        return found


def _left(twins: _Twins, news: _News, restless: BoolArray) -> _Chances:
    """Return when each series was left."""
    long = np.flatnonzero(twins.news_next - twins.news_ts > int(twins.patience.min()))
    long = long[restless[twins.owner[twins.news_series[long]]]]
    series, since = twins.news_series[long], twins.news_ts[long]
    return _Chances.of(series, since, *news.told(twins.owner[series], since, twins.news_next[long]))


def _gone(twins: _Twins, news: _News, restless: BoolArray) -> _Chances:
    """Return when each series was gone."""
    following = _following(twins.ts, twins.bounds)
    at = np.flatnonzero(following - twins.ts > int(twins.patience.min()))
    series = np.searchsorted(twins.bounds, at, "right") - 1
    owner = twins.owner[series]
    wanted = restless[owner] & (np.minimum(following[at], twins.last[owner]) - twins.ts[at] > twins.patience[owner])
    at, series, owner = at[wanted], series[wanted], owner[wanted]
    since, until = twins.ts[at], following[at]
    seen = _samples_between(twins, owner, since + twins.patience[owner], until)
    at, series, owner, since, until = (array[seen] for array in (at, series, owner, since, until))

    sign, by = news.after_patience(owner, since)
    same_sign, same_by = _first_of_same_value(twins, at, since + twins.patience[owner])
    by = np.where(same_sign < sign, same_by, np.where(same_sign == sign, np.minimum(by, same_by), by))
    sign = np.minimum(sign, same_sign)
    return _Chances.of(series, since, np.where(sign < until, sign, _NEVER), by)


def _of_entities(twins: _Twins, owner: IntArray) -> tuple[IntArray, IntArray]:
    """Return the samples of the entities `owner`, and their series."""
    wanted = np.zeros(len(twins.first), bool)
    wanted[owner] = True
    series = np.flatnonzero(wanted[twins.owner])
    sizes = np.diff(twins.bounds)[series]
    first = np.r_[0, np.cumsum(sizes)]
    return np.repeat(twins.bounds[series] - first[:-1], sizes) + np.arange(first[-1]), np.repeat(series, sizes)


def _samples_between(twins: _Twins, owner: IntArray, after: IntArray, before: IntArray) -> BoolArray:
    """Return whether an entity has any sample between these times."""
    at, series = _of_entities(twins, owner)
    key = np.sort(twins.owner[series] * _SPAN + twins.ts[at])
    found: BoolArray = np.searchsorted(key, owner * _SPAN + before) > np.searchsorted(
        key, owner * _SPAN + after, "right"
    )
    return found


def _first_of_same_value(twins: _Twins, at: IntArray, after: IntArray) -> tuple[IntArray, IntArray]:
    """Return the entity's first sample later than `after` that has the value of the sample `at`; the same."""
    if not len(at):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    own, series = _of_entities(twins, twins.owner[np.searchsorted(twins.bounds, at, "right") - 1])
    ts, values, owner = twins.ts[own], twins.values[own], twins.owner[series]
    order = np.lexsort((ts, values, owner))
    other = (owner[order][1:] != owner[order][:-1]) | (values[order][1:] != values[order][:-1])
    group = np.r_[0, np.cumsum(other)]
    group_of = np.empty(len(order), np.int64)
    group_of[order] = group
    asked = group_of[np.searchsorted(own, at)]
    key = group * _SPAN + ts[order]
    place = np.searchsorted(key, asked * _SPAN + after, "right")
    chosen = np.minimum(place, len(key) - 1)
    found = (place < len(key)) & (group[chosen] == asked)
    return np.where(found, ts[order][chosen], _NEVER), series[order][chosen]
