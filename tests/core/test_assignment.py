"""The assignment against trying every one."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from ledgerctl.core.assignment import assign, assign_nearest

Costs = list[list[float | None]]

COSTS = st.tuples(st.integers(1, 4), st.integers(1, 4)).flatmap(
    lambda shape: st.lists(
        st.lists(st.one_of(st.none(), st.integers(0, 6).map(float)), min_size=shape[1], max_size=shape[1]),
        min_size=shape[0],
        max_size=shape[0],
    )
)


def _worth(costs: Costs, pairs: list[tuple[int, int]]) -> tuple[int, float]:
    return -len(pairs), sum(costs[row][column] or 0.0 for row, column in pairs)


def _best(costs: Costs) -> tuple[int, float]:
    """Every way to give each row a column of its own or none."""
    rows, columns = len(costs), len(costs[0])
    places = [*range(columns), *[None] * rows]
    ways = (
        [(row, column) for row, column in enumerate(way) if column is not None and costs[row][column] is not None]
        for way in permutations(places, rows)
    )
    return min(_worth(costs, way) for way in ways)


@given(COSTS)
def test_there_is_no_better_way(costs: Costs) -> None:
    pairs = assign(costs)

    assert all(costs[row][column] is not None for row, column in pairs)
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    assert _worth(costs, pairs) == _best(costs)


@given(COSTS)
def test_of_the_nearest_there_are_as_many_as_there_can_be(costs: Costs) -> None:
    edges = [
        (cost, row, column) for row, line in enumerate(costs) for column, cost in enumerate(line) if cost is not None
    ]

    pairs = assign_nearest(edges)

    assert {(row, column) for row, column in pairs} <= {(row, column) for _, row, column in edges}
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    assert _worth(costs, pairs)[0] == _best(costs)[0]


def test_of_two_that_want_the_same_the_nearer_gets_it() -> None:
    assert assign_nearest([(2.0, 0, 0), (1.0, 1, 0)]) == [(1, 0)]


def test_nothing_is_assigned_to_nobody() -> None:
    assert assign([]) == assign([[]]) == assign_nearest([]) == []
