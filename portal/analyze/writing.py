"""Writing what an analysis found: the whole file, or nothing of it."""

import glob
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from portal.analyze.reading import BLOCK_ROWS, CSV_GZ, PARQUET, format_of
from portal.analyze.times import iso_text
from resources.errors import InvalidInput, TransientFailure
from resources.lake.storage import TEMPORARY_PREFIX


def check_output(output: Path, inputs: Sequence[Path]) -> None:
    """Refuse, before any work is done, a name that cannot be written to or that is one of the inputs'."""
    format_of(output)
    if not output.absolute().parent.is_dir():
        raise InvalidInput(f"{output.parent} is not a folder. Make it, or write elsewhere.")
    if output.is_symlink() or (output.exists() and not output.is_file()):
        raise InvalidInput(f"{output} is not a plain file. Give --output another name.")
    for path in inputs:
        if output.exists() and path.exists() and output.samefile(path):
            raise InvalidInput(f"{output} is the input. Give --output another name.")


def write_table(output: Path, table: pa.Table) -> None:
    """Write a table as the file's name says, replacing what was there in one step.

    CSV has ISO 8601 times and nothing where a value is missing; Parquet has nulls.

    Raises:
        TransientFailure: it cannot be written; what was there is unchanged.
    """
    form = format_of(output)
    schema = pa.schema([(field.name, _written_type(field.type, form)) for field in table.schema])
    with _replacing(output) as temporary:
        if form == PARQUET:
            with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
                for batch in _batches(table, schema, form):
                    writer.write_batch(batch)
            return
        options = pacsv.WriteOptions(include_header=False, quoting_style="needed" if _needs_quotes(table) else "none")
        with (
            pa.output_stream(str(temporary), compression="gzip" if form == CSV_GZ else None) as stream,
            pacsv.CSVWriter(stream, schema, write_options=options) as text,
        ):
            stream.write(f"{','.join(schema.names)}\n".encode())  # Arrow would put quotes around these names
            for batch in _batches(table, schema, form):
                text.write_batch(batch)


def number_column(values: NDArray[np.floating[Any]]) -> pa.Array:
    """Return numbers with null where they are NaN."""
    return pa.array(values, mask=np.isnan(values))


def _batches(table: pa.Table, schema: pa.Schema, form: str) -> Iterator[pa.RecordBatch]:
    """Yield some rows at a time, ids as they are and not as codes; in CSV, times as text."""
    for batch in table.to_batches(max_chunksize=BLOCK_ROWS):
        columns = [
            iso_text(column, column.type.tz is not None)
            if pa.types.is_timestamp(column.type) and form != PARQUET
            else column.cast(kind)
            for column, kind in zip(batch.columns, schema.types, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _written_type(kind: pa.DataType, form: str) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return kind.value_type
    return pa.string() if pa.types.is_timestamp(kind) and form != PARQUET else kind


def _needs_quotes(table: pa.Table) -> bool:
    """Return whether some text has a character that means something in CSV."""
    for column in table.columns:
        for chunk in column.chunks:
            texts = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk
            is_text = pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type)
            if is_text and pc.any(pc.match_substring_regex(texts, r'[",\r\n]')).as_py():
                return True
    return False


@contextmanager
def _replacing(output: Path) -> Iterator[Path]:
    """Give a hidden name beside `output` to write to, which then takes its place.

    The hidden file goes when this process is ended; what one that was killed left goes with the next write.
    """
    folder, hidden = output.absolute().parent, f"{TEMPORARY_PREFIX}{output.name}-"
    temporary = folder / f"{hidden}{os.getpid()}"
    with _ending_by_exit():
        try:
            _remove_leftovers(folder, hidden)
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, output)
        except OSError as error:
            reason = error.strerror or error
            raise TransientFailure(
                f"cannot write {output}: {reason}. What was there is unchanged; "
                "free some space or mend the permissions and run it again."
            ) from error
        finally:
            with suppress(OSError):  # it has been renamed, or was never made
                temporary.unlink()


def _remove_leftovers(folder: Path, hidden: str) -> None:
    """Remove the hidden files of the same output whose process is no more."""
    for leftover in folder.glob(f"{glob.escape(hidden)}*"):
        process = leftover.name.removeprefix(hidden)
        if process.isdecimal() and not _is_running(int(process)):
            with suppress(OSError):  # somebody else's, who has to remove it
                leftover.unlink()


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


@contextmanager
def _ending_by_exit() -> Iterator[None]:
    """Let SIGTERM end this process by an exit, which cleans up, and not on the spot."""
    is_main = threading.current_thread() is threading.main_thread()  # no other may say so
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _exit(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # a second one must not stop the cleaning
    sys.exit(128 + number)
