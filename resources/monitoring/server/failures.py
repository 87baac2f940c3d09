"""How talking to a monitoring server can fail, and how foreign text is shown in such a message."""

from resources.errors import PermanentFailure, TransientFailure

SHOWN_CHARACTERS = 200


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
