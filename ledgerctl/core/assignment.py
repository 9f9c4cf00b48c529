"""Who goes with whom, when several could: as many pairs as there can be, and of those the ones that cost least."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from math import inf

_NONE = -1
_ASKED_MAX = 2_000
"""Of so many columns it is asked whether they could be given up, for one row that has none."""
_APART = 1e6
"""More than all pairs of one question may cost together, so that no pair is given up to make others cheaper."""


def assign(costs: Sequence[Sequence[float | None]]) -> list[tuple[int, int]]:
    """The best pairs of a row and a column, by rows. A cost is small, or None for a pair that cannot be.

    Shortest augmenting paths with potentials, row by row (Kuhn 1955; Jonker and Volgenant, Computing 38, 1987). The
    time grows with the third power of the number of rows.
    """
    if not costs or not costs[0]:
        return []
    if len(costs) > len(costs[0]):
        turned = assign([list(column) for column in zip(*costs, strict=True)])
        return sorted((row, column) for column, row in turned)
    full = [[_APART if cost is None else cost for cost in row] for row in costs]
    pairs = sorted((row, column) for column, row in enumerate(_rows_of_columns(full)) if row != _NONE)
    return [(row, column) for row, column in pairs if costs[row][column] is not None]


def _rows_of_columns(costs: Sequence[Sequence[float]]) -> list[int]:
    """For each column its row, or none. There are at least as many columns as rows."""
    width = len(costs[0])
    of_rows, of_columns = [0.0] * len(costs), [0.0] * width
    row_of = [_NONE] * width
    for start in range(len(costs)):
        row, column = start, _NONE
        slack, seen = [inf] * width, [False] * width
        came_from = [_NONE] * width
        while True:
            reached, step = _NONE, inf
            for other in range(width):
                if seen[other]:
                    continue
                reduced = costs[row][other] - of_rows[row] - of_columns[other]
                if reduced < slack[other]:
                    slack[other], came_from[other] = reduced, column
                if slack[other] < step:
                    reached, step = other, slack[other]
            of_rows[start] += step
            for other in range(width):
                if not seen[other]:
                    slack[other] -= step
                    continue
                of_columns[other] -= step
                of_rows[row_of[other]] += step
            seen[reached] = True
            column = reached
            if row_of[column] == _NONE:
                break
            row = row_of[column]
        while column != _NONE:
            before = came_from[column]
            row_of[column] = start if before == _NONE else row_of[before]
            column = before
    return row_of


def assign_nearest(edges: Iterable[tuple[float, int, int]]) -> list[tuple[int, int]]:
    """Good pairs, by rows, for many rows. `edges` are costs, each with its row and its column.

    The cheapest first; whoever is left then gets a pair if others can change theirs without ado (Berge 1957).
    """
    near: dict[int, list[int]] = defaultdict(list)
    column_of: dict[int, int] = {}
    row_of: dict[int, int] = {}
    for _, row, column in sorted(edges):
        near[row].append(column)
        if row not in column_of and column not in row_of:
            column_of[row], row_of[column] = column, row
    for row in sorted(near):
        if row not in column_of:
            _augment(row, near, column_of, row_of)
    return sorted(column_of.items())


def _augment(start: int, near: Mapping[int, Sequence[int]], column_of: dict[int, int], row_of: dict[int, int]) -> None:
    """Give a row a column, if a few others can take another in turn until one takes a free one."""
    came_from: dict[int, int] = {}
    waiting = deque([start])
    while waiting and len(came_from) < _ASKED_MAX:
        row = waiting.popleft()
        for column in near[row]:
            if column in came_from:
                continue
            came_from[column] = row
            if column not in row_of:
                _turn(column, came_from, column_of, row_of)
                return
            waiting.append(row_of[column])


def _turn(column: int, came_from: Mapping[int, int], column_of: dict[int, int], row_of: dict[int, int]) -> None:
    while True:
        row = came_from[column]
        before = column_of.get(row)
        row_of[column], column_of[row] = row, column
        if before is None:
            return
        column = before
