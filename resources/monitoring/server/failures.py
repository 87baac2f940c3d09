"""How talking to a monitoring server can fail, and how foreign text is shown in such a message."""

import re

from resources.errors import PermanentFailure, TransientFailure

SHOWN_CHARACTERS = 200

_SCHEME = re.compile("([A-Za-z][A-Za-z0-9+.-]*:)?//")


class ServerUnavailable(TransientFailure):
    """The server gave no whole answer in all attempts; the same question may succeed later."""


class TooMuch(PermanentFailure):
    """The server (or this client) refuses so large an answer: ask for less time or for fewer series."""


class Refused(PermanentFailure):
    """The server answered, and asking the same again cannot help: credentials, address, query or a proxy are wrong.

    `status` is the HTTP status, or None where the failure is not a status.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


def shown(text: str, limit: int = SHOWN_CHARACTERS) -> str:
    """Return foreign `text` quoted, escaped and cut, so that it can stand in a message or a log line.

    Line ends, quotes and invisible characters come out as escapes. What is cut off is counted.
    """
    quoted = repr(text[:limit])
    if len(quoted) > 2 * limit:  # escapes are up to ten times as long as what they stand for
        quoted = quoted[: 2 * limit] + "..."
    return quoted if len(text) <= limit else f"{quoted} and {len(text) - limit} more characters"


def without_secrets(url: str) -> str:
    """Return `url` with `***` in place of user, password, query and fragment, so that it can be shown.

    It need not be a good one: whatever stands before an `@` may be a password, and is not shown.
    """
    start = _SCHEME.match(url)
    scheme = start.group() if start else ""
    mark = re.search("[?#]", url)
    place = url[: mark.start()] if mark else url
    if "@" in url[len(place) :]:  # a password that holds the mark, or a query that holds an address
        return f"{scheme}***"
    _, at, host = place.rpartition("@")
    return (f"{scheme}***@{host}" if at else place) + (f"{mark.group()}***" if mark else "")
