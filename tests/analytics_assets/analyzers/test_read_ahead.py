"""Blocks of history are read in the background: in order, one ahead, and with their errors."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from analytics_assets.analyzers.anomaly_model.history import History, read_ahead


def block(name: str) -> History:
    return History((name,), {}, np.zeros(1, np.int64), np.ones(1, np.int64))


def test_every_block_comes_once_and_in_order() -> None:
    names = [f"vm-{number}" for number in range(7)]
    assert [found.entities[0] for found in read_ahead(map(block, names))] == names


def test_no_block_at_all_is_no_error() -> None:
    assert list(read_ahead(iter(()))) == []


def test_only_one_block_is_read_ahead() -> None:
    """Two blocks and the table one is made of are what the memory of a fleet is reckoned with."""
    begun: list[int] = []
    reading = threading.Event()

    def counted() -> Iterator[History]:
        for number in range(5):
            begun.append(number)
            if number == 1:
                reading.set()
            yield block(str(number))

    ahead = read_ahead(counted())
    next(ahead)
    assert reading.wait(10)
    ahead.close()
    assert begun == [0, 1]


def test_failure_to_read_reaches_the_reader() -> None:
    """A day whose second block cannot be read has no answer, rather than the answers of the first."""

    def damaged() -> Iterator[History]:
        yield block("vm-0")
        raise ValueError("day 2026-11-01 is damaged")

    ahead = read_ahead(damaged())
    assert next(ahead).entities == ("vm-0",)
    with pytest.raises(ValueError, match="2026-11-01"):
        next(ahead)
