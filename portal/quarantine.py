"""Labels that are no tenant ids, as the commands show them."""

from collections.abc import Iterator, Mapping

from resources.monitoring.server.failures import shown

MOST_LINES = 20
"""Labels that are shown one by one; there may be a million."""

SHOWN_CHARACTERS = 80


def quarantine_lines(refused: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each label with the reason, and a last one for those that are too many."""
    for label in sorted(refused)[:MOST_LINES]:
        yield f"tenant label {shown(label, SHOWN_CHARACTERS)}: {refused[label]}"
    if len(refused) > MOST_LINES:
        yield f"and {len(refused) - MOST_LINES} more"
