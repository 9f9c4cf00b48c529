"""Statements in CSV, as banks and payment providers export them: which column says what is told by a StatementMap.

A row has an `amount`, or a `debit` or a `credit`, or what came in `gross` and the `fee` that was kept of it. With a
column for the running `balance` every row is checked against the one before it. There is no opening balance: an export
says what happened in a time that somebody chose.
"""

from __future__ import annotations

from collections.abc import Iterator

from ledgerctl.config import StatementMap
from ledgerctl.core.statements import Statement, StatementLine
from ledgerctl.errors import BadFile, BadUsage
from ledgerctl.formats.bank import running_balance, values
from ledgerctl.formats.bank.csv_rows import FIELDS, Rows
from ledgerctl.formats.bank.running_balance import Standing
from ledgerctl.formats.bank.values import Misread
from ledgerctl.formats.dialect import Dialect
from ledgerctl.formats.records import Input, Records

_AMOUNTS = ({"amount"}, {"amount", "fee"}, {"debit"}, {"credit"}, {"debit", "credit"}, {"debit", "credit", "fee"},
            {"gross", "fee"}, {"gross", "fee", "amount"}, {"gross", "fee", "debit", "credit"})  # fmt: skip


def read(source: Input, given: StatementMap) -> list[Statement]:
    """One statement for each account and currency, in the order of their first rows, each with its rows in theirs.

    BadUsage for a map that cannot be followed, BadFile, BadStatement for the first row that is wrong.
    """
    dialect = _dialect(given)
    _require_sense(given)
    records = Records(source, dialect)
    rows = Rows(source.name, records.header, given, dialect)
    found: dict[tuple[str, str], list[Standing]] = {}
    with values.of_file(source.name):
        for place, cells in _placed(records):
            if len(cells) != len(records.header):
                raise Misread(place, f"it has {len(cells)} cells where the header has {len(records.header)}")
            if rows.is_wanted(cells):
                row = rows.row(cells, place)
                found.setdefault((row.account, row.currency), []).append(Standing(row.line, row.balance))
        statements = [_statement(account, currency, standings) for (account, currency), standings in found.items()]
    if not statements:
        problem = f"none of its {records.record} rows is one that the map wants" if records.record else "it has no rows"
        raise BadFile(file=source.name, problem=problem)
    return statements


def _placed(records: Records) -> Iterator[tuple[str, list[str]]]:
    """Each row with its place; the number is that of the record, which may have several lines."""
    number = 0
    for chunk in records.chunks(1000):
        for line, cells in zip(records.lines, chunk, strict=True):
            number += 1
            yield f"row {number}, line {line}", cells


def _statement(account: str, currency: str, standings: list[Standing]) -> Statement:
    lines: tuple[StatementLine, ...] = tuple(one.line for one in standings)
    return Statement(
        place=lines[0].place,
        identifier="",
        account=account,
        currency=currency,
        opening=None,
        closing=running_balance.closing(standings),
        lines=lines,
    )


def _dialect(given: StatementMap) -> Dialect:
    delimiter = "\t" if given.delimiter == "\\t" else given.delimiter
    dialect = Dialect(delimiter, given.decimal, given.encoding, given.date, given.skip_lines)
    if wrong := dialect.wrong():
        raise BadUsage(detail=f"{wrong[0]} of the map: {wrong[1]}")
    return dialect


def _require_sense(given: StatementMap) -> None:
    """BadUsage unless the map says where to find the day, the currency and, in one of the ways, the amount."""
    for name in (*given.map, *given.set):
        if name not in FIELDS:
            raise BadUsage(detail=f"the map knows no field '{name}'; there are: {', '.join(FIELDS)}")
    for name in given.set:
        if name not in ("currency", "account"):
            raise BadUsage(detail=f"'{name}' cannot be the same for all rows: set takes currency and account")
    if both := sorted(given.map.keys() & given.set.keys()):
        raise BadUsage(detail=f"'{both[0]}' stands in map and in set")
    if "date" not in given.map:
        raise BadUsage(detail="the map has no column for 'date'")
    if "currency" not in {**given.map, **given.set}:
        raise BadUsage(detail="the map has no column for 'currency', and set has none for all rows")
    amounts = given.map.keys() & {"amount", "debit", "credit", "gross", "fee"}
    if amounts not in _AMOUNTS:
        named = ", ".join(sorted(amounts)) or "none of them"
        raise BadUsage(detail=f"the map needs amount, or debit and credit, or gross and fee; it has {named}")
