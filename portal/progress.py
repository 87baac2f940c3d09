"""How far a long command is, on standard error."""

from typing import Any

import click


class ProgressBar:
    """A progress bar on standard error, or a line every tenth of the way where there is no terminal."""

    def __init__(self, total: int, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._total, self._done, self._quiet = total, 0, quiet
        self._console = Console(stderr=True)
        self._live = self._console.is_terminal and not quiet
        self._progress = Progress(
            TextColumn("{task.description:<44}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._live,
        )
        self._task = self._progress.add_task("starting", total=total)

    def __enter__(self) -> "ProgressBar":
        self._progress.__enter__()
        return self

    def __exit__(self, *stop: Any) -> None:
        self._progress.__exit__(*stop)

    def advance(self, what: str) -> None:
        self._done += 1
        self._progress.update(self._task, advance=1, description=what)
        tenth = self._done * 10 // self._total != (self._done - 1) * 10 // self._total
        if tenth and not self._live and not self._quiet:
            click.echo(f"{self._done} of {self._total} asset partitions ({what})", err=True)
