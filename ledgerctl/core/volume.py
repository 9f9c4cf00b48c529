"""How much money entries move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ledgerctl.core import money
from ledgerctl.core.model import Entry

Sums = Counter[tuple[str, int]]
"""Minor units by currency and exponent."""


def volume(entries: Iterable[Entry]) -> dict[str, str]:
    """What they debit, by currency: `{"EUR": "12.50"}`."""
    sums: Sums = Counter()
    for account, _, amount, _ in entries:
        if amount < 0:
            sums[account.currency, account.exponent] -= amount
    return texts(sums)


def texts(sums: Sums) -> dict[str, str]:
    """As texts by currency, in the order of their codes."""
    return {currency: money.text(units, exponent) for (currency, exponent), units in sorted(sums.items())}
