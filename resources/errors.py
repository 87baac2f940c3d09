"""The failures a caller may want to tell apart.

Every message says what was wrong, which input it was, and what to do about it.
"""


class AnalyticsError(Exception):
    """Anything this software refuses or cannot do; the message is meant for the person who asked."""


class InvalidInput(AnalyticsError):
    """What was asked for cannot be asked for: a bad id, day, setting, file or query."""


class TransientFailure(AnalyticsError):
    """It failed now and may succeed when tried again: a server that is down, a full disk."""


class PermanentFailure(AnalyticsError):
    """It fails the same way until somebody changes the input: corrupt data, a refused query."""
