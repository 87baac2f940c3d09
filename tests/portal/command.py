"""Run the command line in this process, as a user's shell would see it."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

from portal import cli


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


def run(*arguments: object) -> Done:
    """Return exit code, standard output and standard error of `novacron-analytics ARGUMENTS`."""
    binary = io.BytesIO()
    out, err = io.TextIOWrapper(binary, encoding="utf-8", write_through=True), io.StringIO()
    before = sys.argv
    sys.argv = ["novacron-analytics", *map(str, arguments)]
    code = 0
    try:
        with redirect_stdout(out), redirect_stderr(err):
            cli.main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        sys.argv = before
    return Done(code, binary.getvalue().decode(), err.getvalue())
