"""What long work says of itself."""

import pytest

from portal.analyze import progress
from portal.analyze.progress import MANY_ROWS, announce, with_progress


@pytest.mark.parametrize(("seconds", "lines"), [(0.0, ["1 of 3 series", "2 of 3 series", "3 of 3 series"]), (1e9, [])])
def test_without_a_terminal_a_line_now_and_then(monkeypatch, capsys, seconds, lines):
    """Stops minutes of silence, and a line a series where all is done in a moment."""
    monkeypatch.setattr(progress, "LINE_SECONDS", seconds)
    assert list(with_progress("abc", 3, quiet=False)) == ["a", "b", "c"]
    assert capsys.readouterr().err.splitlines() == lines


def test_programs_are_told_nothing(monkeypatch, capsys):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    assert list(with_progress("abc", 3, quiet=True)) == ["a", "b", "c"]
    announce("sizing", MANY_ROWS, quiet=True)
    announce("sizing", MANY_ROWS - 1, quiet=False)
    assert capsys.readouterr().err == ""
    announce("sizing", MANY_ROWS, quiet=False)
    assert capsys.readouterr().err == "sizing (1,000,000 rows)\n"
