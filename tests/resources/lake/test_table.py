"""Table: what conform refuses, and that one order of the same rows comes out."""

import math
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.lake.table import ENTITY, TIMESTAMP, Column, Table, TableViolation
from tests.resources.lake.scenario import FIRST_DAY, NOTES, VM_LOAD, load_rows

ROWS = load_rows(FIRST_DAY)


def with_column(name: str, values: list, kind: pa.DataType) -> pa.Table:
    return ROWS.set_column(ROWS.schema.get_field_index(name), name, pa.array(values, kind))


@pytest.mark.parametrize(
    ("data", "column", "problem", "count", "example"),
    [
        (ROWS.drop_columns(["samples"]), "samples", "missing", 6, "vm_id"),
        (ROWS.append_column("extra", pa.array([1] * 6)), "extra", "not declared", 6, "int64"),
        (ROWS.append_column("samples", ROWS["samples"]), "samples", "twice", 6, "int32"),
        (with_column("samples", [1] * 6, pa.int64()), "samples", "type is int64, declared int32", 6, "int64"),
        (with_column("vm_id", [1] * 6, pa.int32()), "vm_id", "type is int32", 6, "int32"),
        (with_column("samples", [1, None, 2, None, 3, 4], pa.int32()), "samples", "null", 2, "row 1: None"),
        (with_column("vm_id", ["a", None] * 3, pa.string()), "vm_id", "null", 3, "row 1: None"),
        (with_column("cpu_percent", [1, math.nan] * 3, pa.float32()), "cpu_percent", "NaN", 3, "row 1: nan"),
        (
            with_column("cpu_percent", [1, None, -1, 2, 3, 4], pa.float32()),
            "cpu_percent",
            "minimum 0",
            1,
            "row 2: -1.0",
        ),
        (with_column("cpu_percent", [1, 101] * 3, pa.float32()), "cpu_percent", "maximum 100", 3, "row 1: 101.0"),
        (with_column("cpu_percent", [1, math.inf] * 3, pa.float32()), "cpu_percent", "maximum 100", 3, "row 1: inf"),
        (with_column("samples", [1, -5] * 3, pa.int32()), "samples", "minimum 0", 3, "row 1: -5"),
        (with_column("state", [None, "gone"] * 3, pa.string()), "state", "not one of running", 3, "row 1: 'gone'"),
        (pa.concat_tables([ROWS, ROWS.slice(1, 2)]), "vm_id, ts", "occurs twice", 2, "'vm_id': 'vm-a'"),
    ],
)
def test_each_violation_is_named(data, column, problem, count, example):
    """Stops bad rows from being stored, and errors that do not say where to look."""
    with pytest.raises(TableViolation) as caught:
        VM_LOAD.conform(data)
    error = caught.value
    assert (error.table, error.column, error.rows) == ("vm_load", column, count)
    assert problem in error.problem
    assert example in error.example
    assert "Nothing was written" in str(error)


def test_a_missing_value_hidden_in_a_dictionary_is_found():
    """Stops a null that only the dictionary holds from passing as a value."""
    hidden = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0, 1, 0, 1], pa.int32()), pa.array(["vm-a", None]))
    with pytest.raises(TableViolation, match="null in a column"):
        VM_LOAD.conform(ROWS.set_column(0, "vm_id", hidden))


def test_a_value_twice_in_a_dictionary_is_one_value():
    """Stops two rows of one key from passing because their codes differ."""
    twice = pa.DictionaryArray.from_arrays(pa.array([0, 0, 0, 1, 1, 1], pa.int32()), pa.array(["vm-a", "vm-a"]))
    with pytest.raises(TableViolation, match="primary key occurs twice in 3"):
        VM_LOAD.conform(ROWS.set_column(0, "vm_id", twice))


def test_nan_in_the_slot_of_a_null_is_no_violation():
    """Stops columns made by masking NaN from being refused."""
    masked = pa.array(np.array([np.nan, 1, 2, 3, 4, 5], "f4"), mask=np.array([True] + [False] * 5))
    assert VM_LOAD.conform(ROWS.set_column(2, "cpu_percent", masked))["cpu_percent"].null_count == 1


@pytest.mark.parametrize(
    "text",
    [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.dictionary(pa.int8(), pa.string()),
        pa.dictionary(pa.int32(), pa.large_string()),
    ],
)
def test_every_encoding_of_text_is_stored_the_same(text):
    """Stops a frame library's choice of text type from changing or refusing what is stored."""
    given_ids = ROWS["vm_id"].cast(pa.string()).cast(text)
    assert VM_LOAD.conform(ROWS.set_column(0, "vm_id", given_ids)).equals(VM_LOAD.conform(ROWS), check_metadata=True)


def test_dictionaries_of_chunks_that_together_outgrow_their_index():
    """Stops an error where the chunks of a small index type name more values than it can count."""
    kind = pa.dictionary(pa.int8(), pa.string())
    halves = [pa.array([f"vm-{n:03}" for n in range(first, first + 100)]).cast(kind) for first in (0, 100)]
    many = load_rows(FIRST_DAY, [f"vm-{n:03}" for n in range(200)], 1).set_column(0, "vm_id", pa.chunked_array(halves))
    assert VM_LOAD.conform(many).num_rows == 200


def test_no_rows_conform():
    assert VM_LOAD.conform(VM_LOAD.empty()).equals(VM_LOAD.empty(), check_metadata=True)
    assert VM_LOAD.conform(pa.table(VM_LOAD.empty().columns, names=VM_LOAD.column_names)).num_rows == 0


def test_unit_and_description_travel_in_the_schema():
    field = VM_LOAD.schema().field("cpu_percent")
    assert field.metadata == {b"description": b"CPU use", b"unit": b"percent"}
    assert VM_LOAD.schema().metadata[b"primary_key"] == b"vm_id,ts"


@pytest.mark.parametrize(
    "changes",
    [
        {"primary_key": ()},
        {"primary_key": ("nothing",)},
        {"sort_order": ("nothing",)},
        {"primary_key": ("state",)},
        {"sort_order": ("cpu_percent",)},
        {"columns": (*VM_LOAD.columns, VM_LOAD.columns[0])},
        {"columns": (*VM_LOAD.columns, Column("day", pa.date32(), "x"))},
        {"columns": (*VM_LOAD.columns, Column("tenant", pa.string(), "x"))},
    ],
)
def test_a_wrong_declaration_is_refused_when_it_is_made(changes):
    """Stops a table whose key is missing, may be null, or clashes with the path's columns."""
    with pytest.raises(ValueError, match="vm_load"):
        replace(VM_LOAD, **changes)


def test_rows_of_equal_position_have_one_order():
    """Stops two runs from storing rows that sort alike in different orders."""
    first = pa.table(
        {"note_id": ["b", "a", "c"], "position": pa.array([1, 1, 0], pa.int32()), "text": ["x", "y", None]}
    )
    second = first.take([2, 1, 0])
    assert NOTES.conform(first)["note_id"].to_pylist() == ["c", "a", "b"]
    assert NOTES.conform(second).equals(NOTES.conform(first))


@given(st.permutations(range(6)))
def test_rows_taken_in_the_declared_order_are_stored_as_they_are(shuffled):
    """Stops an order made for the data's own encoding of ids, from which the lake sorts millions of rows again."""
    rows = VM_LOAD.conform(load_rows(FIRST_DAY)).take(shuffled)
    reversed_ids = pa.array(["vm-b", "vm-a"])
    codes = pa.array([1 if vm == "vm-a" else 0 for vm in rows["vm_id"].to_pylist()], pa.int32())
    keys = {"vm_id": pa.chunked_array([pa.DictionaryArray.from_arrays(codes, reversed_ids)]), "ts": rows["ts"]}
    taken = rows.take(VM_LOAD.row_order(keys))
    assert taken.equals(VM_LOAD.conform(rows))


def test_a_key_that_is_not_the_order_is_checked():
    """Stops duplicates that the stored order keeps apart."""
    data = pa.table({"note_id": ["a", "b", "a"], "position": pa.array([1, 2, 3], pa.int32()), "text": ["", "", ""]})
    with pytest.raises(TableViolation, match=r"primary key occurs twice in 1 row.*'note_id': 'a'"):
        NOTES.conform(data)


KEYED = Table(
    "keyed",
    "A row of every kind of key",
    (
        Column("whole", pa.int64(), "k"),
        Column("entity", ENTITY, "k"),
        Column("ts", TIMESTAMP, "k"),
        Column("name", pa.string(), "k"),
        Column("day_of", pa.date32(), "k"),
        Column("real", pa.float64(), "k"),
        Column("truth", pa.bool_(), "k"),
        Column("value", pa.float32(), "v", nullable=True, minimum=-5, maximum=5),
    ),
    ("whole", "entity", "ts", "name", "day_of", "real", "truth"),
)
SOME_TEXT = st.sampled_from(["", "a", "b", "ä", "vm-10", "vm-9", "\U0001f600"])
ROW = st.tuples(
    st.sampled_from([-(2**31), -1, 0, 2**40]),
    SOME_TEXT,
    st.sampled_from([-(2**40), -(2**31), 0, 1]),
    SOME_TEXT,
    st.integers(-2, 2),
    st.sampled_from([-(2.0**31), 0.0, 1.5]),
    st.booleans(),
    st.one_of(st.none(), st.sampled_from([-6.0, -5.0, 0.0, 5.0, 5.5, math.nan])),
)


def keyed_table(rows: list) -> pa.Table:
    """The rows as they might arrive: text is plain, a day is a number of days."""
    plain = {ENTITY: pa.string(), pa.date32(): pa.int32()}
    arrays = []
    for place, column in enumerate(KEYED.columns):
        array = pa.array([row[place] for row in rows], plain.get(column.type, column.type))
        arrays.append(array.cast(pa.date32()) if column.type == pa.date32() else array)
    return pa.table(arrays, names=KEYED.column_names)


def oracle(rows: list) -> list | None:
    """The rows in order, None if they break the declaration: one by one, in plain Python."""
    for row in rows:
        if row[-1] is not None and not -5 <= row[-1] <= 5:
            return None
    if len({row[:-1] for row in rows}) < len(rows):
        return None
    return sorted(rows, key=lambda row: (row[0], row[1].encode(), row[2], row[3].encode(), *row[4:7]))


@given(st.lists(ROW, max_size=12), st.randoms(use_true_random=False))
def test_conform_agrees_with_a_plain_python_oracle(rows, random):
    """Stops wrong orders, missed duplicates and missed range errors for any kind of key column."""
    expected = oracle(rows)
    random.shuffle(rows)
    data = keyed_table(rows)
    if expected is None:
        with pytest.raises(TableViolation):
            KEYED.conform(data)
        return
    assert KEYED.conform(data).equals(KEYED.conform(keyed_table(expected)))
    stored = KEYED.conform(data)
    assert stored["value"].to_pylist() == [row[-1] for row in expected]
    assert stored["entity"].to_pylist() == [row[1] for row in expected]


def test_rows_become_a_table_that_conforms():
    """Stops each analyzer from turning rows into columns in a way of its own: NaN stored as a value, a key left out."""
    table = Table(
        "t",
        "a row",
        (
            Column("vm_id", ENTITY, "VM"),
            Column("ts", TIMESTAMP, "instant"),
            Column("value", pa.float64(), "value", nullable=True),
            Column("on", pa.date32(), "day", nullable=True),
        ),
        primary_key=("vm_id",),
    )
    rows = [{"vm_id": "b", "ts": 1000, "value": float("nan")}, {"vm_id": "a", "ts": datetime(1970, 1, 1, tzinfo=UTC)}]
    stored = table.conform(table.from_rows(rows)).to_pylist()
    assert [(row["vm_id"], row["ts"].timestamp(), row["value"], row["on"]) for row in stored] == [
        ("a", 0.0, None, None),
        ("b", 1.0, None, None),
    ]
    assert table.conform(table.from_rows([])).num_rows == 0
