"""The value of a parameter as it was written, with the line of every part of it: in the pipeline file or in its own."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from analytics_assets.pipelines.yaml_lines import PipelineFileError, Place, read_text, read_yaml


class Written(Protocol):
    """A value and where its parts stand."""

    def value(self) -> Any: ...

    def error_at(self, path: Sequence[int | str], problem: str) -> PipelineFileError:
        """Return the error of the part that `path` (list positions and keys) leads to, as far as it leads."""
        ...


class CsvRows:
    """The rows of a CSV file as mappings; an empty cell is not given."""

    def __init__(self, path: Path) -> None:
        self.path, self.lines = path, [1]
        self.rows: list[dict[str, str]] = []
        reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            if not any(header) or len(set(header)) < len(header):
                raise PipelineFileError(path, 1, "needs a header with a different name for each column")
            self.lines.clear()
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) != len(header):
                    problem = f"has {len(cells)} cells where the header has {len(header)}"
                    raise PipelineFileError(path, reader.line_num, problem)
                self.lines.append(reader.line_num)
                given = zip(header, cells, strict=True)
                self.rows.append({name: cell.strip() for name, cell in given if cell.strip()})
        except csv.Error as error:
            raise PipelineFileError(path, reader.line_num, f"is not CSV: {error}") from error

    def value(self) -> list[dict[str, str]]:
        return self.rows

    def error_at(self, path: Sequence[int | str], problem: str) -> PipelineFileError:
        line = self.lines[path[0]] if path and isinstance(path[0], int) else 1
        return PipelineFileError(self.path, line, problem)


def written_rows(place: Place) -> Written:
    """Return the rows that `place` lists, or those of the YAML or CSV file that it names.

    Raises:
        PipelineFileError: the file is neither by its name, or cannot be read.
    """
    if place.is_list():
        return place
    path = place.path.parent / place.text()
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".yaml", ".yml"):
        raise place.error(f"{place.text()!r} is neither a list nor the path of a .yaml or .csv file")
    if not path.is_file():
        raise place.error(f"there is no file {path}")
    if suffix == ".csv":
        return CsvRows(path)
    rows = read_yaml(path)
    if not rows.is_list():
        raise rows.error("expected a list here")
    return rows
