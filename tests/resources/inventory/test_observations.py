"""The record of what was seen: nothing written is changed, a past day stays what it was."""

import multiprocessing
import threading
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.errors import InvalidInput, PermanentFailure, TransientFailure
from resources.inventory import observations
from resources.inventory.observations import Observations
from resources.inventory.rows import VmRow
from resources.inventory.source import INVENTORY_SCHEMA

SMALL = VmRow("v", 0, "web", "n1", "s1.small", 2.0, 4096, None, "running")
LARGE = replace(SMALL, vcpus=4.0)
OTHER = VmRow("w", 0, "db", "n1", None, None, None, 10, "stopped")


def look(record, at_ms, *rows, tenant="acme", now_ms=None):
    """Record what a look showed, by default at once."""
    return record.record(tenant, at_ms, list(rows), at_ms if now_ms is None else now_ms)


def said(record, start_ms, end_ms, tenant="acme"):
    table = record.inventory(tenant, start_ms, end_ms)
    assert table.schema.equals(INVENTORY_SCHEMA)
    return [(row["vm_id"], row["valid_from_ms"], row["vcpus"], row["state"]) for row in table.to_pylist()]


def test_only_changes_are_written(tmp_path):
    """Stops the record from growing with every look, and a look that shows nothing new from writing."""
    record = Observations(tmp_path)
    assert look(record, 100, SMALL, OTHER) == 2
    file = tmp_path / "tenant=acme" / "observations.parquet"
    before = file.read_bytes(), file.stat().st_mtime_ns
    assert look(record, 200, OTHER, SMALL) == 0
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before
    assert look(record, 300, LARGE, OTHER) == 1
    assert pq.read_metadata(file).num_rows == 3


def test_a_past_window_is_what_was_seen_then(tmp_path):
    """Stops the present from being told as the past, and the time before the first look from being guessed."""
    record = Observations(tmp_path)
    look(record, 100, SMALL)
    before = said(record, 0, 200)
    look(record, 300, LARGE, OTHER)
    assert said(record, 0, 100) == []
    assert said(record, 0, 200) == said(record, 150, 200) == before == [("v", 100, 2.0, "running")]
    assert said(record, 200, 400) == [
        ("v", 100, 2.0, "running"), ("v", 300, 4.0, "running"), ("w", 300, None, "stopped"),
    ]  # fmt: skip
    assert said(record, 300, 400) == [("v", 300, 4.0, "running"), ("w", 300, None, "stopped")]


def test_a_vm_that_vanished_is_unknown_from_then_on_and_then_no_longer_listed(tmp_path):
    """Stops a deleted or moved VM from being called stopped, and from being listed for ever."""
    record = Observations(tmp_path)
    look(record, 100, SMALL)
    assert look(record, 300) == 1
    assert look(record, 400) == 0
    assert said(record, 200, 350) == [("v", 100, 2.0, "running"), ("v", 300, None, None)]
    assert said(record, 300, 350) == said(record, 500, 600) == []
    look(record, 700, SMALL)
    assert said(record, 500, 800) == [("v", 700, 2.0, "running")]
    assert said(record, 200, 800) == [("v", 100, 2.0, "running"), ("v", 300, None, None), ("v", 700, 2.0, "running")]


def test_everything_of_a_row_comes_back(tmp_path):
    record = Observations(tmp_path)
    odd = VmRow("v/1 \n|é", 0, '=1+1"', "n;1", "f", 0.5, 2**60, 1, None)
    look(record, 100, odd)
    (row,) = record.inventory("acme", 0, 200).to_pylist()
    assert VmRow(**row) == replace(odd, valid_from_ms=100)


def test_tenants_have_their_own_files(tmp_path):
    record = Observations(tmp_path)
    look(record, 100, SMALL)
    look(record, 150, OTHER, tenant="globex")
    assert said(record, 0, 200, "globex") == [("w", 150, None, "stopped")]
    assert said(record, 0, 200, "nobody") == []
    for use in (lambda: said(record, 0, 1, "../acme"), lambda: look(record, 1, SMALL, tenant="../acme")):
        with pytest.raises(InvalidInput, match="is not a tenant id"):
            use()


def test_a_clock_that_was_put_back_changes_nothing(tmp_path):
    """Stops a wrong clock from writing between, or over, what was seen before."""
    record = Observations(tmp_path)
    look(record, 100, SMALL)
    for at_ms in (99, 100):
        with pytest.raises(TransientFailure, match="The clock of this machine was put back"):
            look(record, at_ms, LARGE)
    assert look(record, 50, SMALL) == 0
    assert said(record, 0, 200) == [("v", 100, 2.0, "running")]


def test_an_older_look_adds_nothing_to_a_newer_one(tmp_path):
    """Stops a look that took long from being recorded over one that was taken after it, changed or not."""
    record = Observations(tmp_path)
    look(record, 100, SMALL)
    assert look(record, 300, SMALL) == 0
    assert look(record, 200, LARGE, now_ms=400) == look(record, 300, LARGE, now_ms=400) == 0
    assert look(record, 50, now_ms=400) == 0
    assert said(record, 0, 500) == [("v", 100, 2.0, "running")]
    assert look(record, 301, LARGE, now_ms=400) == 1
    assert said(record, 301, 302) == [("v", 301, 4.0, "running")]


def test_a_record_without_the_time_of_its_newest_look_goes_on(tmp_path):
    """Stops a record that was brought back from a backup, without hidden files, from being refused."""
    record = Observations(tmp_path)
    look(record, 100, SMALL)
    (tmp_path / "tenant=acme" / ".looked").unlink()
    assert look(record, 90, LARGE, now_ms=95 + 100) == 0
    assert look(record, 200, LARGE) == 1


def _hold(root, held, release):
    with Observations(root)._locked("acme"):
        held.set()
        release.wait(30)


def test_two_processes_do_not_record_at_once(tmp_path, monkeypatch):
    """Stops one look from taking away what another one wrote meanwhile, and from failing where it need only wait."""
    record = Observations(tmp_path)
    look(record, 100, SMALL)
    spawn = multiprocessing.get_context("spawn")
    held, release = spawn.Event(), spawn.Event()
    other = spawn.Process(target=_hold, args=(tmp_path, held, release))
    other.start()
    try:
        assert held.wait(30)
        monkeypatch.setattr(observations, "LOCK_SECONDS", 0.1)
        with pytest.raises(TransientFailure, match="another process is recording the VMs of acme"):
            look(record, 150, OTHER)
        assert look(record, 150, OTHER, tenant="globex") == 1
        monkeypatch.setattr(observations, "LOCK_SECONDS", 20)
        threading.Timer(0.2, release.set).start()
        assert look(record, 200, LARGE) == 1
    finally:
        release.set()
        other.join(30)
    assert said(record, 0, 300) == [("v", 100, 2.0, "running"), ("v", 200, 4.0, "running")]


@pytest.mark.parametrize("damage", ["cut", "text", "other table", "null"])
def test_a_damaged_record_is_named(tmp_path, damage):
    """Stops a damaged record from being taken for an empty one, and from being written over."""
    record = Observations(tmp_path)
    look(record, 100, SMALL, OTHER)
    file = tmp_path / "tenant=acme" / "observations.parquet"
    content = file.read_bytes()
    if damage == "cut":
        file.write_bytes(content[:-50])
    elif damage == "text":
        file.write_bytes(b"hello")
    elif damage == "other table":
        pq.write_table(pa.table({"x": [1]}), file)
    else:
        table = pq.read_table(file)
        pq.write_table(table.set_column(0, "vm_id", pa.nulls(2, pa.string())), file)
    after = file.read_bytes()
    for use in (lambda: said(record, 0, 1), lambda: look(record, 300, LARGE)):
        with pytest.raises(PermanentFailure, match=r"observations\.parquet is damaged: .*backup"):
            use()
    assert file.read_bytes() == after


LOOKS = st.lists(
    st.dictionaries(st.sampled_from("abc"), st.sampled_from([1.0, 2.0, None]), max_size=3), min_size=1, max_size=8
)


@settings(max_examples=40)
@given(looks=LOOKS)
def test_every_look_can_be_told_again(looks, tmp_path_factory):
    """Stops a change, a disappearance or a return from being lost: each look is what the record says of its instant."""
    record = Observations(tmp_path_factory.mktemp("looks"))
    for number, shown in enumerate(looks):
        at_ms = 100 * (number + 1)
        look(record, at_ms, *(VmRow(vm, 0, "n", vcpus=vcpus) for vm, vcpus in shown.items()))
    for number, shown in enumerate(looks):
        at_ms = 100 * (number + 1)
        rows = record.inventory("acme", at_ms + 50, at_ms + 51).to_pylist()
        assert {row["vm_id"]: row["vcpus"] for row in rows} == shown
