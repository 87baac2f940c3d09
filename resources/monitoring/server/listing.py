"""Every value of a label, also from servers that limit how many they list, or how many series they look through.

What a server finds too much is asked in parts. VictoriaMetrics besides cuts a list at its limit
(-search.maxTagValues) and does not say so; that shows when two parts hold more than the whole.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

from resources.errors import PermanentFailure
from resources.monitoring.selector import Matcher, Selector, re2_literal
from resources.monitoring.server.api import Values
from resources.monitoring.server.failures import TooMuch
from resources.partition import DAY_MS

NEVER_CUT = 64
"""No server is set to cut a list as short as this."""


class Lists(Protocol):
    """What can list the values of a label: `PrometheusApi`."""

    def label_values(self, label: str, selectors: Sequence[object], start_ms: int, end_ms: int) -> Values:
        """Return what the server lists."""
        ...


def list_values(api: Lists, label: str, selector: Selector, start_ms: int, end_ms: int) -> Values:
    """Return the values that `label` has on series of `selector` in `[start_ms, end_ms)`.

    Where the server is found to cut its lists, a warning says so.

    Raises:
        PermanentFailure: the server finds even one metric of one day too much, or as `label_values`.
        TransientFailure: as `label_values`.
    """
    try:
        found = api.label_values(label, [selector], start_ms, end_ms)
    except TooMuch as error:
        parts = list(_halves(selector, start_ms, end_ms))
        if not parts:
            raise PermanentFailure(
                f"{error} The request is already as small as it gets: one metric of one day. Raise the server's limit."
            ) from error
        return _together([list_values(api, label, *part) for part in parts])
    return found if len(found.values) <= NEVER_CUT else _proved(api, label, selector, start_ms, end_ms, found)


def _halves(selector: Selector, start_ms: int, end_ms: int) -> Iterator[tuple[Selector, int, int]]:
    """Yield two requests that together ask the same: by metric while several are named, then by time; else none."""
    if named := selector.by_name():
        for half in named:
            yield half, start_ms, end_ms
    elif end_ms - start_ms > DAY_MS:
        middle_ms = (start_ms + end_ms) // 2
        yield selector, start_ms, middle_ms
        yield selector, middle_ms, end_ms


def _proved(api: Lists, label: str, selector: Selector, start_ms: int, end_ms: int, found: Values) -> Values:
    """Return `found`, or more with a warning where it was cut.

    The values are split by a beginning that some of them have and some have not. Of a list that was
    cut at a limit, one part is shorter than the limit and whole, or reaches the limit by itself:
    together they are always longer than it.
    """
    middle = len(found.values) // 2
    before, after = found.values[middle - 1 : middle + 1]
    beginning = next(after[:end] for end in range(1, len(after) + 1) if not before.startswith(after[:end]))
    expression = f"{re2_literal(beginning)}(?s:.*)"
    conditions = Matcher(label, "=~", expression), Matcher(label, "!~", expression)
    parts = [api.label_values(label, [selector.having(condition)], start_ms, end_ms) for condition in conditions]
    whole = _together([found, *parts])
    if len(whole.values) == len(found.values):
        return whole
    again = api.label_values(label, [selector], start_ms, end_ms)
    if len(again.values) >= len(whole.values):
        return _together([whole, again])  # there are just more by now
    cut = (
        f"the server lists {len(again.values)} values of {label} and has more; raise its limit, in VictoriaMetrics "
        "-search.maxTagValues"
    )
    return Values(whole.values, (*whole.warnings, cut))


def _together(parts: Sequence[Values]) -> Values:
    return Values(
        sorted({value for part in parts for value in part.values}),
        tuple(dict.fromkeys(warning for part in parts for warning in part.warnings)),
    )
