"""A sample of rows is spread over the whole file, and is all of a short one."""

from __future__ import annotations

import pytest

from ledgerctl.formats.sample import Sample


def taken(length: int, chunk: int, least: int = 16) -> list[int]:
    sample = Sample[int](least)
    for first in range(1, length + 1, chunk):
        sample.add(first, list(range(first, min(first + chunk, length + 1))))
    assert all(one.row == one.number for one in sample.rows)
    return [one.row for one in sample.rows]


@pytest.mark.parametrize("length", [0, 1, 15, 31])
def test_all_of_a_short_file(length: int) -> None:
    assert taken(length, 4) == list(range(1, length + 1))


@pytest.mark.parametrize("length", [32, 33, 100, 1000, 12_345])
@pytest.mark.parametrize("chunk", [1, 7, 5000])
def test_so_many_of_a_long_one_from_every_part_of_it(length: int, chunk: int) -> None:
    rows = taken(length, chunk)

    assert 16 <= len(rows) <= 32
    assert rows == sorted(set(rows))
    assert all(1 <= row <= length for row in rows)
    thirds = [sum(1 for row in rows if row * 3 // (length + 1) == third) for third in range(3)]
    assert min(thirds) >= len(rows) // 4


def test_a_file_that_alternates_is_seen_from_both_sides() -> None:
    odd = sum(row % 2 for row in taken(100_000, 5000, 200))

    assert 120 < odd < 280


def test_the_same_file_has_the_same_sample_however_it_is_read() -> None:
    assert taken(5000, 1) == taken(5000, 999)
