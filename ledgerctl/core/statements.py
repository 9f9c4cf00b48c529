"""What a bank says: statements of an account, with balances before and after their lines.

Amounts and balances are the bank's: positive is in the account holder's favour. What the bank credits, its customer's
books debit, whatever the type of the account there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import reduce

from ledgerctl.core.money import EXACT


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One movement. Texts are "" where the bank says nothing."""

    place: str
    """Where it stands in its file, for messages: `line 12`, `entry 3 of statement 2`."""
    booked_on: date
    valued_on: date | None
    amount: Decimal
    fee: Decimal = Decimal(0)
    """What the bank or the provider kept (negative) of a gross amount: `amount` is what is left of it."""
    references: tuple[str, ...] = ()
    """What may name the payment, the holder's own reference first: end-to-end id, customer's reference, the bank's."""
    counterparty: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Balance:
    """What the account held at the end of a day, or before its first line of that day."""

    amount: Decimal
    on: date


@dataclass(frozen=True, slots=True)
class Statement:
    """The lines of one account and period, in the bank's order.

    With an `opening` balance the bank means a sheet of a series: it begins where the sheet before it ended. Without one
    it is an extract of what happened lately, which may overlap with other extracts.
    """

    place: str
    """Where it stands in its file, for messages."""
    identifier: str
    """Its number or id, as the bank gives it."""
    account: str
    """The bank's name for the account: an IBAN, or a number with the bank's before it."""
    currency: str
    opening: Balance | None
    closing: Balance | None
    lines: tuple[StatementLine, ...] = field(default=())

    @property
    def begins_on(self) -> date | None:
        """The day of its opening balance, or else of its first line or its closing balance."""
        if self.opening is not None:
            return self.opening.on
        return min((line.booked_on for line in self.lines), default=self.closing.on if self.closing else None)

    @property
    def tells_until(self) -> date | None:
        """The last day that it tells of; None when it says nothing at all."""
        days = [line.booked_on for line in self.lines] + [one.on for one in (self.opening, self.closing) if one]
        return max(days, default=None)

    @property
    def difference(self) -> Decimal:
        """Closing balance less opening balance and lines; zero where the bank gave one of them only. Exact."""
        if self.opening is None or self.closing is None:
            return Decimal(0)
        led_to = reduce(EXACT.add, (line.amount for line in self.lines), self.opening.amount)
        return EXACT.subtract(self.closing.amount, led_to)
