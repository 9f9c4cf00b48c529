"""The bank of the fault runs: few accounts, little money, two ledgers that share every code and every key.

So little money is in it that clients meet on every account and are refused for real; two ledgers, so that a query
which forgets its ledger is seen. Nobody may touch `outside`, so what the other accounts hold is constant.
"""

from __future__ import annotations

from typing import NamedTuple

OUTSIDE = "outside"
"""The first part of the codes of accounts that may hold less than nothing."""
TOTAL = 100
"""Units of its currency that each bank of four or eight accounts holds together."""


class Place(NamedTuple):
    """One account: where it is and what it counts in."""

    ledger: str
    code: str
    currency: str
    exponent: int


def _bank(ledger: str, numbers: range, currency: str, exponent: int) -> tuple[Place, ...]:
    return tuple(Place(ledger, f"bank:{number}", currency, exponent) for number in numbers)


BANKS = (
    _bank("main", range(8), "EUR", 2),
    _bank("twin", range(4), "JPY", 0),
    _bank("twin", range(4, 8), "KWD", 3),
)
"""Money moves inside a bank only."""

LEDGERS = ("main", "twin")
EXPONENTS = {place.currency: place.exponent for bank in BANKS for place in bank}
