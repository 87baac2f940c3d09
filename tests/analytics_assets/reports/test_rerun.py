"""The command that runs a figure again, in a shell and on a page."""

import subprocess

from hypothesis import given
from hypothesis import strategies as st

from analytics_assets.reports.rerun import command, wrap

HARMFUL = "SELECT '$(touch made)', `id`, \"quoted\", '\\n' FROM \"t\""


def test_a_shell_passes_the_sql_on_as_it_is():
    """The query is in double quotes: a dollar sign or a backtick in it must not run."""
    line = command(HARMFUL, "acme").replace("novacron-analytics query", "printf '%s|'", 1)
    out = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True).stdout
    assert out == f"\n{HARMFUL}\n|--tenant|acme|"


@given(st.lists(st.text("abc ',()=", min_size=1, max_size=300), max_size=5), st.integers(20, 110))
def test_wrapping_changes_white_space_only_and_keeps_to_the_width(lines, width):
    shown = wrap("\n".join(lines), width)
    assert "".join("".join(shown).split()) == "".join("".join(lines).split())
    assert all(len(line) <= width for line in shown)
