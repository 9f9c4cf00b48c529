"""Who goes with whom, when several could: as many pairs as there can be, and of those the ones that cost least.

Shortest augmenting paths with potentials, row by row (Kuhn 1955; Jonker and Volgenant, Computing 38, 1987).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

_NONE = -1
_APART = 1e6
"""More than all pairs of one question may cost together, so that no pair is given up to make others cheaper."""


def assign(costs: Sequence[Sequence[float | None]]) -> list[tuple[int, int]]:
    """Pairs of a row and a column, by rows. `costs` are those of each row with each column: small, None for never."""
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
