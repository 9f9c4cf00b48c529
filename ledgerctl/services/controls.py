"""What is asked of a file before its first row is written: is it the one that was meant, and is it new?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from ledgerctl.core import money
from ledgerctl.core.rows import DERIVED, Survey, derived_prefix
from ledgerctl.db import accounts, imports, journal
from ledgerctl.db.connection import Connection

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Expected:
    """What the operator was told about the file: its rows, and the sum of its amounts by currency."""

    rows: int | None = None
    totals: Mapping[str, Decimal] = field(default_factory=dict)


class Overlap(NamedTuple):
    """How much of what is new in a file was posted before under other keys, and most of that by which import."""

    percent: int
    import_id: int


def unexpected(conn: Connection, ledger: int, survey: Survey, expected: Expected) -> list[str]:
    """In words, all that differs from what was expected."""
    found = []
    if expected.rows is not None and expected.rows != survey.rows:
        found.append(f"it has {survey.rows} rows, not {expected.rows}")
    sums = _sums(conn, ledger, survey) if expected.totals else {}
    for currency, total in expected.totals.items():
        if sums.get(currency, _ZERO) != total:
            found.append(f"its amounts in {currency} sum to {sums.get(currency, _ZERO)}, not {total}")
    return found


def overlap(conn: Connection, ledger: int, survey: Survey) -> Overlap | None:
    """What it is when the new rows are, by half or more, just like rows that another file brought under other keys.

    Or when they hold half or more of what an import posted that left other rows out: a corrected copy of its file is
    such a file, however little of it was posted. A file of which nothing was posted is not. A sample of the rows is
    asked about. Two rows that were both given keys, and not the same, are two payments, however much alike; and rows
    that are alike are as many payments as there are rows.
    """
    known = journal.known(conn, ledger, [request.key for request in survey.sample])
    new = [request for request in survey.sample if request.key not in known]
    if not new:
        return None
    copies = Counter(request.fingerprint for request in new)
    different = {request.fingerprint: request for request in new}
    own, of_key = derived_prefix(survey.sha256), DERIVED if survey.keyed else ""
    there, by_import = Counter[bytes](), Counter[int]()
    for mark, import_id, rows in imports.twins(conn, ledger, different.values(), own_prefix=own, key_prefix=of_key):
        # Of rows that are alike the sample has its share only, and so has what was posted of them.
        share = rows if copies[mark] == 1 else rows * survey.sampled // survey.rows
        there[mark] += share
        by_import[import_id] += min(copies[mark], share)
    posted = sum(min(copies[mark], share) for mark, share in there.items())
    if not posted:
        return None

    [(first, _)] = by_import.most_common(1)
    halves = [
        import_id
        for import_id, rows in imports.left_in_part(conn, ledger, by_import.keys()).items()
        if 2 * by_import[import_id] * survey.rows >= rows * survey.sampled
    ]
    if not halves and 2 * posted < len(new):
        return None
    return Overlap(max(1, round(100 * posted / len(new))), min(halves, default=first))


def _sums(conn: Connection, ledger: int, survey: Survey) -> dict[str, Decimal]:
    """By currency; a row that names none is in that of the account it debits."""
    of_account = accounts.currencies(conn, ledger, [code for currency, code in survey.amounts if currency is None])
    sums: dict[str, Decimal] = {}
    for (named, code), amount in survey.amounts.items():
        currency = named or of_account.get(code, "")
        sums[currency] = money.EXACT.add(sums.get(currency, _ZERO), amount)
    return sums
