"""Parameters that are lists of rows: written in the pipeline file, or in a YAML or CSV file beside it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RowsOrFile:
    """Marks, in `Annotated`, a parameter that is a tuple of models.

    Where the pipeline file gives a text instead of a list, it is the path of a file with the rows, from the folder
    of the pipeline file: a YAML list of mappings, or CSV with a header of the models' field names. It is
    read when the pipeline loads, and a mistake in it is named with its file and line.
    """
