"""Which of several amounts add up to one: a payout of many payments, or a payment that came in parts.

Among enough amounts, some will add up to anything. A sum counts as an explanation only if it is the only one, and if
so few sums were tried that chance would hardly have given it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from math import comb, gcd
from typing import NamedTuple

PARTS_MAX = 12
"""Of a run of neighbours."""
_PICKED_MAX = 4
CHANCE_MAX = 0.01


class Odds(NamedTuple):
    """How likely a sum by chance may be, among amounts no larger than `largest`, and how many sums may be tried."""

    chance: float = CHANCE_MAX
    largest: int = 0
    tried: int = 200_000

    @property
    def tried_at_most(self) -> float:
        """However the amounts lie, no more sums than these are tried."""
        return min(self.tried, 3 * self.largest * min(self.chance, CHANCE_MAX))

    @property
    def allowed_of_batches(self) -> float:
        """So many sums that are given, and not picked, may be compared: they are at least as far apart as amounts."""
        return self.largest * min(self.chance, CHANCE_MAX)


_ANY = Odds()
Ways = Callable[[int, Sequence[int], int], Iterator[tuple[int, ...]]]


def explained(whole: int, parts: Sequence[int], odds: Odds = _ANY) -> tuple[int, ...] | None:
    """The places of the parts that add up to the whole: neighbours if possible, else up to four from anywhere.

    None where none do, several sums do, or where it may be chance with more than the given probability. Amounts are
    minor units; of equal ones any will do.
    """
    if not whole or len(parts) < 2:
        return None
    allowed = min(int(min(odds.chance, CHANCE_MAX) * _spread(whole, parts)), odds.tried)
    for ways in (_runs, _picks):
        found = _only(whole, parts, ways, allowed)
        if found is not None:
            return found
    return None


def _only(whole: int, parts: Sequence[int], ways: Ways, allowed: int) -> tuple[int, ...] | None:
    found: dict[tuple[int, ...], tuple[int, ...]] = {}
    for places in ways(whole, parts, allowed):
        found.setdefault(tuple(sorted(parts[place] for place in places)), places)
        if len(found) > 1:
            return None
    return next(iter(found.values()), None)


def _spread(whole: int, parts: Sequence[int]) -> int:
    """How many different sums the parts could have: amounts that are all whole tens meet ten times as often."""
    return (2 * max(map(abs, parts)) + abs(whole)) // gcd(whole, *parts)


def _runs(whole: int, parts: Sequence[int], allowed: int) -> Iterator[tuple[int, ...]]:
    """Neighbours; so many of them that no more sums than allowed are tried."""
    longest = min(PARTS_MAX, len(parts), 1 + allowed // len(parts))
    for start in range(len(parts)):
        total = parts[start]
        for end in range(start + 1, min(start + longest, len(parts))):
            total += parts[end]
            if total == whole:
                yield tuple(range(start, end + 1))


def _picks(whole: int, parts: Sequence[int], allowed: int) -> Iterator[tuple[int, ...]]:
    """From anywhere: pairs, then threes and fours, as long as no more sums than allowed are tried."""
    tried = 0
    for size in range(2, _PICKED_MAX + 1):
        tried += comb(len(parts), size)
        if tried > allowed:
            return
        hit = False
        for places in combinations(range(len(parts)), size):
            if sum(parts[place] for place in places) == whole:
                hit = True
                yield places
        if hit:
            return
