"""Which lines of a bank's statements and which entries of the books tell of the same payment.

A pure function in rounds, the surest first; what one round has matched, no later one sees:

    reference         the same amount under the same reference; of several, the nearest days
    mention           the same, where one side only mentions the other's reference in its text
    reference-sum     the amounts under one reference add up to the same on both sides: payouts, fees, parts
    date              the same amount within the window of days; of several, the nearest days and the likest texts
    text              the same amount within a month, and texts that are alike
    fee               a line with a known fee: one entry of the gross amount, one of the fee
    sum               one of one side is the sum of several of the other within the window (see `core/sums.py`)
    reversed          an entry and its reversal, both so old that the bank has evidently seen neither

Two of the same day and amount are told apart by count: two lines take two entries, and a third line stays open.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import partial
from itertools import pairwise, product
from typing import NamedTuple, TypeVar

from ledgerctl.core import sums
from ledgerctl.core.assignment import assign, assign_nearest
from ledgerctl.core.likeness import likeness

LIKE_ENOUGH = 0.6
"""Which part of the shorter text the longer must hold for the round `text`."""
TEXT_DAYS = 31
_WEIGHED_MAX = 64
"""Of one amount; among more than these, the best of all assignments takes too long to find."""
_COMPARED_MAX = 500_000
"""Pairs that are compared; of one amount, among more than these only days decide."""
_TRIED_MAX = 2_000_000
"""So many sums are tried for all together, which takes seconds."""
_NEAR_MAX = 200
_FALSE_SUMS = 0.2
"""So many sums, at most, may be expected to come out by chance among all that are asked for at once."""


class Rule(StrEnum):
    """Why a match was made; BY_HAND is an operator's."""

    REFERENCE = "reference"
    MENTION = "mention"
    REFERENCE_SUM = "reference-sum"
    DATE = "date"
    TEXT = "text"
    FEE = "fee"
    SUM = "sum"
    REVERSED = "reversed"
    BY_HAND = "by-hand"


@dataclass(frozen=True, slots=True)
class Item:
    """A line of a statement or an entry of the books: what is compared. Amounts in minor units, in the bank's sign."""

    id: int
    on: date
    amount: int
    fee: int = 0
    """Of a line: what was kept of a gross amount; negative."""
    references: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    words: frozenset[str] = frozenset()
    reverses: int | None = None
    """Of an entry: the entry that its transaction reverses."""


Dated = TypeVar("Dated", Item, "_Batch")


class Match(NamedTuple):
    """Ids of the lines and the entries that go together, and the rule that says so."""

    rule: Rule
    lines: tuple[int, ...]
    entries: tuple[int, ...]


class Terms(NamedTuple):
    """`window` is how many days the bank may be early or late; `seen_until` the last day that it has told of."""

    window: int
    seen_until: date
    apart: frozenset[tuple[int, int]] = frozenset()
    """Lines and entries that must not come together: somebody took them apart."""
    unmade: frozenset[tuple[int, ...]] = frozenset()
    """Entries that were matched with each other alone, until somebody took them apart."""


Round = Callable[[Sequence[Item], Sequence[Item], Terms], Iterable[Match]]


def match(lines: Iterable[Item], entries: Iterable[Item], terms: Terms) -> list[Match]:
    """The matches, no line and no entry in two of them. The same for the same input, in whatever order it comes."""
    open_lines, open_entries = sorted(lines, key=_place), sorted(entries, key=_place)
    matches: list[Match] = []
    for round_ in _ROUNDS:
        found = [one for one in round_(open_lines, open_entries, terms) if _may_stand(one, terms)]
        matches += found
        open_lines = _without(open_lines, {line for one in found for line in one.lines})
        open_entries = _without(open_entries, {entry for one in found for entry in one.entries})
    return matches


def _may_stand(found: Match, terms: Terms) -> bool:
    if not found.lines:
        return found.entries not in terms.unmade
    return not terms.apart or terms.apart.isdisjoint(product(found.lines, found.entries))


def _place(item: Item) -> tuple[date, int]:
    return item.on, item.id


def _without(items: Sequence[Item], gone: Collection[int]) -> list[Item]:
    return [item for item in items if item.id not in gone]


def _own(item: Item) -> tuple[str, ...]:
    return item.references


def _all(item: Item) -> tuple[str, ...]:
    return (*item.references, *item.mentions)


# -- one with one ----------------------------------------------------------------------------------------------------


def _by_reference(
    rule: Rule, names: Callable[[Item], tuple[str, ...]], lines: Sequence[Item], entries: Sequence[Item], terms: Terms
) -> Iterator[Match]:
    """The nearest days first, over all lines: else an old line would take what belongs to a new one, month by month."""
    named: dict[tuple[str, int], list[int]] = defaultdict(list)
    for place, entry in enumerate(entries):
        for name in dict.fromkeys(names(entry)):
            named[name, entry.amount].append(place)
    edges: list[tuple[float, int, int]] = []
    for place, line in enumerate(lines):
        could = dict.fromkeys(other for name in names(line) for other in named.get((name, line.amount), ()))
        if len(edges) + len(could) > _COMPARED_MAX:
            break  # what is left has a later round, or the next run
        edges += [
            (abs((line.on - entries[other].on).days), place, other)
            for other in could
            if (line.id, entries[other].id) not in terms.apart
        ]
    for place, other in assign_nearest(edges):
        yield Match(rule, (lines[place].id,), (entries[other].id,))


def _by_date(lines: Sequence[Item], entries: Sequence[Item], terms: Terms) -> Iterator[Match]:
    for some_lines, some_entries in _neighbours(lines, entries, terms.window):
        yield from _paired(Rule.DATE, some_lines, some_entries, _Reach(terms.window, 0.0, terms.apart))


def _by_text(lines: Sequence[Item], entries: Sequence[Item], terms: Terms) -> Iterator[Match]:
    for some_lines, some_entries in _neighbours(lines, entries, TEXT_DAYS):
        yield from _paired(Rule.TEXT, some_lines, some_entries, _Reach(TEXT_DAYS, LIKE_ENOUGH, terms.apart))


class _Reach(NamedTuple):
    """How many days apart a pair may be, how alike it must be, and which pairs must not be."""

    days: int
    alike: float
    apart: frozenset[tuple[int, int]]


def _neighbours(lines: Sequence[Item], entries: Sequence[Item], days: int) -> Iterator[tuple[list[Item], list[Item]]]:
    """Lines and entries of one amount, cut where nothing stands for more days than these."""
    of_amount: dict[int, tuple[list[Item], list[Item]]] = defaultdict(lambda: ([], []))
    for side, items in enumerate((lines, entries)):
        for item in items:
            of_amount[item.amount][side].append(item)
    for some_lines, some_entries in of_amount.values():
        if not some_lines or not some_entries:
            continue
        dates = sorted({item.on for item in (*some_lines, *some_entries)})
        ends = [before for before, after in pairwise(dates) if (after - before).days > days] + [dates[-1]]
        parts = zip(_cut(some_lines, ends), _cut(some_entries, ends), strict=True)
        yield from ((ours, theirs) for ours, theirs in parts if ours and theirs)


def _cut(items: Sequence[Item], ends: Sequence[date]) -> Iterator[list[Item]]:
    start = 0
    for end in ends:
        stop = bisect_right(items, end, lo=start, key=lambda item: item.on)
        yield list(items[start:stop])
        start = stop


def _paired(rule: Rule, lines: Sequence[Item], entries: Sequence[Item], reach: _Reach) -> Iterator[Match]:
    """As many pairs as there can be, and of those the nearest; among very many, the best that is soon found."""
    if len(lines) <= _WEIGHED_MAX and len(entries) <= _WEIGHED_MAX:
        found = assign([[_cost(line, entry, reach) for entry in entries] for line in lines])
    elif sum(len(_near(entries, line.on, reach.days)) for line in lines) <= _COMPARED_MAX:
        found = assign_nearest(_edges(lines, entries, reach))
    else:
        found = list(_in_order(lines, entries, reach))
    yield from (Match(rule, (lines[line].id,), (entries[entry].id,)) for line, entry in found)


def _edges(lines: Sequence[Item], entries: Sequence[Item], reach: _Reach) -> Iterator[tuple[float, int, int]]:
    for place, line in enumerate(lines):
        start, end = _range(entries, line.on, reach.days)
        for other in range(start, end):
            if (cost := _cost(line, entries[other], reach)) is not None:
                yield cost, place, other


def _cost(line: Item, entry: Item, reach: _Reach) -> float | None:
    """How far apart two are in days and in words; None when too far. Squared: rather all a bit late than one a lot."""
    days = abs((line.on - entry.on).days)
    like = likeness(line.words, entry.words)
    if days > reach.days or like < reach.alike or (line.id, entry.id) in reach.apart:
        return None
    return (days / (reach.days + 1)) ** 2 + 1 - like


def _in_order(lines: Sequence[Item], entries: Sequence[Item], reach: _Reach) -> Iterator[tuple[int, int]]:
    """The first with the first that it can go with; no other way gives more pairs within the days."""
    place = 0
    for number, line in enumerate(lines):
        while place < len(entries) and (line.on - entries[place].on).days > reach.days:
            place += 1
        if place == len(entries):
            return
        if _cost(line, entries[place], reach) is not None:
            yield number, place
            place += 1


# -- several together ------------------------------------------------------------------------------------------------


def _by_reference_sum(lines: Sequence[Item], entries: Sequence[Item], _: Terms) -> Iterator[Match]:
    taken_lines: set[int] = set()
    taken_entries: set[int] = set()
    for names in (_own, _all):
        entries_of = _named(entries, names)
        for name, some in _named(lines, names).items():
            ours = _without(some, taken_lines)
            theirs = _without(entries_of.get(name, ()), taken_entries)
            if ours and theirs and sum(line.amount for line in ours) == sum(entry.amount for entry in theirs):
                taken_lines.update(line.id for line in ours)
                taken_entries.update(entry.id for entry in theirs)
                yield Match(Rule.REFERENCE_SUM, tuple(line.id for line in ours), tuple(entry.id for entry in theirs))


def _named(items: Iterable[Item], names: Callable[[Item], tuple[str, ...]]) -> Mapping[str, list[Item]]:
    found: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        for name in dict.fromkeys(names(item)):
            found[name].append(item)
    return found


def _by_fee(lines: Sequence[Item], entries: Sequence[Item], terms: Terms) -> Iterator[Match]:
    taken: set[int] = set()
    for line in lines:
        if not line.fee:
            continue
        near = _without(_near(entries, line.on, terms.window), taken)
        gross = _likest(line, [entry for entry in near if entry.amount == line.amount - line.fee])
        fee = _likest(line, [entry for entry in near if entry.amount == line.fee and entry is not gross])
        if gross is not None and fee is not None:
            taken |= {gross.id, fee.id}
            yield Match(Rule.FEE, (line.id,), (gross.id, fee.id))


def _likest(line: Item, entries: Sequence[Item]) -> Item | None:
    return min(
        entries,
        key=lambda entry: (-likeness(line.words, entry.words), abs((entry.on - line.on).days), entry.id),
        default=None,
    )


def _by_sum(lines: Sequence[Item], entries: Sequence[Item], terms: Terms) -> Iterator[Match]:
    """One line of several entries, then one entry of several lines."""
    taken: set[int] = set()
    used: set[int] = set()
    for line, parts in _summed(lines, entries, terms):
        taken.update(parts)
        used.add(line)
        yield Match(Rule.SUM, (line,), parts)
    for entry, parts in _summed(_without(entries, taken), _without(lines, used), terms):
        yield Match(Rule.SUM, parts, (entry,))


def _summed(wholes: Sequence[Item], others: Sequence[Item], terms: Terms) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Those that are a sum of others, and of which."""
    largest = max((abs(item.amount) for item in (*wholes, *others)), default=0)
    asked = max(1, len(wholes))
    odds = sums.Odds(_FALSE_SUMS / asked, largest, _TRIED_MAX // asked)
    batches = _batches(others)
    taken: set[int] = set()
    for whole in wholes:
        if parts := _parts(whole, others, batches, taken, odds, terms):
            taken.update(parts)
            yield whole.id, parts


class _Batch(NamedTuple):
    """Neighbours that are all open, while those around them are matched: likely one thing on the other side."""

    on: date
    amount: int
    ids: tuple[int, ...]


def _batches(items: Sequence[Item]) -> list[_Batch]:
    """By their days. Ids are given in order: a gap between two is something that is matched."""
    in_order = sorted(items, key=lambda item: item.id)
    starts = [0, *(place for place in range(1, len(in_order)) if in_order[place].id != in_order[place - 1].id + 1)]
    groups = [in_order[start:end] for start, end in zip(starts, [*starts[1:], len(in_order)], strict=True)]
    several = [group for group in groups if len(group) > 1]
    found = [_Batch(group[0].on, sum(i.amount for i in group), tuple(i.id for i in group)) for group in several]
    return sorted(found)


def _parts(
    whole: Item,
    others: Sequence[Item],
    batches: Sequence[_Batch],
    taken: Set[int],
    odds: sums.Odds,
    terms: Terms,
) -> tuple[int, ...]:
    """A whole batch if there is one that fits; or some of those whose texts are like its own; or else of all near."""
    near_batches = _near(batches, whole.on, terms.window)
    fitting = [batch for batch in near_batches if batch.amount == whole.amount and not taken & set(batch.ids)]
    if len(fitting) == 1 and len(near_batches) <= odds.allowed_of_batches:
        return fitting[0].ids
    near = _near(others, whole.on, terms.window)
    for some in (_alike(whole, near), near):
        if len(some) > odds.tried_at_most:  # most of what is left open ends here, before anything is added up
            continue
        free = _without(some, taken)
        places = sums.explained(whole.amount, [item.amount for item in free], odds)
        if places is not None:
            return tuple(free[place].id for place in places)
    return ()


def _alike(whole: Item, near: Sequence[Item]) -> list[Item]:
    if not whole.words or len(near) > _NEAR_MAX:
        return []
    return [item for item in near if likeness(whole.words, item.words) >= LIKE_ENOUGH]


def _near(items: Sequence[Dated], day: date, window: int) -> Sequence[Dated]:
    start, end = _range(items, day, window)
    return items[start:end]


def _range(items: Sequence[Dated], day: date, window: int) -> tuple[int, int]:
    """Where those within the window around a day begin and end; the items are in the order of their days."""
    first = date.fromordinal(max(day.toordinal() - window, date.min.toordinal()))
    last = date.fromordinal(min(day.toordinal() + window, date.max.toordinal()))
    start = bisect_left(items, first, key=lambda item: item.on)
    return start, bisect_right(items, last, lo=start, key=lambda item: item.on)


def _by_reversal(_: Sequence[Item], entries: Sequence[Item], terms: Terms) -> Iterator[Match]:
    old = {entry.id: entry for entry in entries if (terms.seen_until - entry.on).days > terms.window}
    for entry in old.values():
        original = old.get(entry.reverses) if entry.reverses is not None else None
        if original is not None and original.amount == -entry.amount:
            yield Match(Rule.REVERSED, (), tuple(sorted((original.id, entry.id))))


_ROUNDS: tuple[Round, ...] = (
    partial(_by_reference, Rule.REFERENCE, _own),
    partial(_by_reference, Rule.MENTION, _all),
    _by_reference_sum,
    _by_date,
    _by_text,
    _by_fee,
    _by_sum,
    _by_reversal,
)
