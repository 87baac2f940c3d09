"""Parameters that are lists of rows: written in the pipeline file, or in a YAML or CSV file beside it."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class RowsOrFile:
    """Marks, in `Annotated`, a parameter that is a tuple of models.

    Where the pipeline file gives a text instead of a list, it is the path of a file with the rows, from the folder
    of the pipeline file: a YAML list of mappings, or CSV with a header of the models' field names. It is
    read when the pipeline loads, and a mistake in it is named with its file and line.
    """


class RowError(ValueError):
    """What is wrong with a row of a list, seen with the others: `row` of the parameter `parameter`, 0 the first."""

    def __init__(self, parameter: str, row: int, problem: str) -> None:
        self.parameter, self.row = parameter, row
        super().__init__(problem)


def check_names(parameter: str, names: Iterable[str]) -> None:
    """Raise `RowError` where a row of `parameter` has the name of an earlier one."""
    seen: set[str] = set()
    for row, name in enumerate(names):
        if name in seen:
            raise RowError(parameter, row, f"{parameter}: {name} is there twice")
        seen.add(name)
