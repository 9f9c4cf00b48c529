"""How much money entries move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from ledgerctl.core import money
from ledgerctl.core.model import Entry

Sums = Counter[tuple[str, int]]
"""Minor units by currency and exponent."""


def volume(entries: Iterable[Entry]) -> dict[str, str]:
    """What they debit, by currency: `{"EUR": "12.50"}`."""
    sums: dict[tuple[str, int], int] = {}
    for account, _, amount, _ in entries:
        if amount < 0:
            counted = account.currency, account.exponent
            sums[counted] = sums.get(counted, 0) - amount
    return texts(sums)


def texts(sums: Mapping[tuple[str, int], int]) -> dict[str, str]:
    """As texts by currency, in the order of their codes."""
    return {currency: money.text(units, exponent) for (currency, exponent), units in sorted(sums.items())}
