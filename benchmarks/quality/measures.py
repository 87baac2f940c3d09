"""What was measured of a set of labelled data, beside what is asked of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Measure:
    """One figure; it should be at least `low` and at most `high`, where these are given."""

    what: str
    reached: float
    low: float | None = None
    high: float | None = None

    @property
    def asked(self) -> str:
        """Say what is asked, nothing where the figure only informs."""
        if self.low is not None and self.high is not None:
            return f"{self.low:g} to {self.high:g}"
        if self.low is not None:
            return f">= {self.low:g}"
        return f"<= {self.high:g}" if self.high is not None else ""

    @property
    def met(self) -> bool | None:
        """Whether what is asked was reached; None where nothing is."""
        if self.low is None and self.high is None:
            return None
        low = -float("inf") if self.low is None else self.low
        high = float("inf") if self.high is None else self.high
        return low <= self.reached <= high


@dataclass(frozen=True)
class SetReport:
    """One set: how it was made into input files, what was called, and what the scorers said."""

    about: str
    measures: Sequence[Measure]
    commands: Sequence[str]
    scorer_output: str = ""
    notes: Sequence[str] = field(default_factory=tuple)


def as_text(report: SetReport) -> str:
    """Return the measures as lines for a terminal."""
    verdicts = {True: "met", False: "MISSED", None: ""}
    lines = [
        f"  {each.what}: {each.reached:.4g}" + (f"  (asked {each.asked}: {verdicts[each.met]})" if each.asked else "")
        for each in report.measures
    ]
    return "\n".join([*lines, *(f"  {note}" for note in report.notes)])
