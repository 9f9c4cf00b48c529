"""The running balance of a statement in CSV: whether every row ties to the one before it, and what is left at the end.

Exports begin with the oldest row or with the newest. Which it is shows by the balances: only one way round they tie.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

from ledgerctl.core.money import EXACT
from ledgerctl.core.statements import Balance, StatementLine
from ledgerctl.formats.bank.values import Misread


class Standing(NamedTuple):
    """A line, and what the account held after it if the bank says so."""

    line: StatementLine
    balance: Decimal | None


class _Gap(NamedTuple):
    rows: int
    """So many rows tie before it."""
    before: Standing
    after: Standing


def closing(standings: Sequence[Standing]) -> Balance | None:
    """The balance after the last line in time, None where the bank gives none. Misread where neither way round ties."""
    if any(one.balance is None for one in standings):
        return None
    backward = list(reversed(standings))
    forth, back = _first_gap(standings), _first_gap(backward)
    if forth and back:
        raise _misread(forth if forth.rows >= back.rows else back)
    newest_first = forth is not None or (back is None and _falls(standings))
    last = (backward if newest_first else standings)[-1]
    return None if last.balance is None else Balance(last.balance, last.line.booked_on)


def _first_gap(standings: Sequence[Standing]) -> _Gap | None:
    for rows, (before, after) in enumerate(pairwise(standings)):
        if _sum(before, after) != after.balance:
            return _Gap(rows, before, after)
    return None


def _sum(before: Standing, after: Standing) -> Decimal:
    return EXACT.add(before.balance or Decimal(0), after.line.amount)


def _falls(standings: Sequence[Standing]) -> bool:
    """Whether the days do, of rows that tie both ways round."""
    return standings[0].line.booked_on > standings[-1].line.booked_on


def _misread(gap: _Gap) -> Misread:
    before, after = gap.before, gap.after
    problem = (
        f"its balance is {after.balance:f}, but its amount of {after.line.amount:f} and the balance before it of "
        f"{before.balance:f} ({before.line.place}) make {_sum(before, after):f}"
    )
    return Misread(after.line.place, problem)
