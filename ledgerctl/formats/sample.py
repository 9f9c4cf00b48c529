"""A sample of the rows of a file whose length is not known before its end."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

Row = TypeVar("Row")


class Sampled(NamedTuple, Generic[Row]):
    number: int
    row: Row


class Sample(Generic[Row]):
    """Between `least` rows and twice as many (all, of a shorter file), spread evenly over what has gone by.

    One row is drawn from each block of rows; when there are too many, every second is given up and the blocks are
    doubled. Drawn, since a file may alternate: every second row of it may be a fee. The same file has the same sample.
    """

    def __init__(self, least: int) -> None:
        self.rows: list[Sampled[Row]] = []
        self._most = 2 * least
        self._block = 1
        self._next = 1
        self._draw = random.Random(0)  # noqa: S311 - a spread, not a secret

    def add(self, first: int, rows: Sequence[Row]) -> None:
        """The rows from number `first` on; those before it have been added already."""
        while self._next < first + len(rows):
            self.rows.append(Sampled(self._next, rows[self._next - first]))
            if len(self.rows) == self._most:
                self.rows = [self._draw.choice(self.rows[at : at + 2]) for at in range(0, self._most, 2)]
                self._block *= 2
            self._next = len(self.rows) * self._block + 1 + self._draw.randrange(self._block)
