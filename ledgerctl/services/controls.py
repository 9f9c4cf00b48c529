"""What is asked of a file before its first row is written: is it the one that was meant, and is it new?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from ledgerctl import errors
from ledgerctl.core import money
from ledgerctl.core.model import DERIVED, Survey, derived_prefix
from ledgerctl.db import accounts, imports, journal
from ledgerctl.db.connection import Connection


@dataclass(frozen=True, slots=True)
class Expected:
    """What the operator was told about the file: its rows, and the sum of its amounts by currency."""

    rows: int | None = None
    totals: Mapping[str, Decimal] = field(default_factory=dict)


def require(conn: Connection, ledger: int, file: str, survey: Survey, expected: Expected) -> None:
    """ControlTotals, with everything that differs, unless the file is what was expected."""
    found = []
    if expected.rows is not None and expected.rows != survey.rows:
        found.append(f"it has {survey.rows} rows, not {expected.rows}")
    sums = _sums(conn, ledger, survey) if expected.totals else {}
    for currency, total in expected.totals.items():
        if sums.get(currency, Decimal(0)) != total:
            found.append(f"its amounts in {currency} sum to {sums.get(currency, 0)}, not {total}")
    if found:
        raise errors.ControlTotals(file=file, found="; ".join(found))


def require_new(conn: Connection, ledger: int, file: str, survey: Survey) -> None:
    """AlreadyPosted when most of the new rows are just like rows that another file brought under other keys.

    A sample of the rows is asked about. A corrected copy of a file that was posted in part is such a file, and an
    export that overlaps the last one; one of which nothing was posted is not. Two rows that were both given keys, and
    not the same, are two payments, however much alike.
    """
    known = journal.known(conn, ledger, [request.key for request in survey.sample])
    new = [request for request in survey.sample if request.key not in known]
    if not new:
        return
    prefix = DERIVED if survey.keyed else ""
    twins = imports.twins(conn, ledger, new, own_prefix=derived_prefix(survey.sha256), key_prefix=prefix)
    if 2 * len(twins) <= len(new):
        return
    [(import_id, _)] = Counter(twins.values()).most_common(1)
    raise errors.AlreadyPosted(file=file, percent=round(100 * len(twins) / len(new)), import_id=import_id)


def _sums(conn: Connection, ledger: int, survey: Survey) -> dict[str, Decimal]:
    """By currency; a row that names none is in that of the account it debits."""
    of_account = accounts.currencies(conn, ledger, [code for currency, code in survey.amounts if currency is None])
    sums: dict[str, Decimal] = {}
    for (named, code), amount in survey.amounts.items():
        currency = named or of_account.get(code, "")
        sums[currency] = money.EXACT.add(sums.get(currency, Decimal(0)), amount)
    return sums
