"""Rows of a statement in CSV: what a StatementMap makes of their cells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from ledgerctl.config import StatementMap
from ledgerctl.core.money import EXACT, shown
from ledgerctl.core.statements import StatementLine
from ledgerctl.errors import BadFile, BadTime
from ledgerctl.formats.bank import values
from ledgerctl.formats.bank.values import Misread, tidy
from ledgerctl.formats.columns import Cell, EmptyColumn, cell
from ledgerctl.formats.dialect import Dialect

_NUMBERS = ("amount", "debit", "credit", "gross", "fee", "balance")
_TEXTS = ("date", "valued_on", "currency", "account", "reference", "bank_reference", "counterparty", "description")
FIELDS = (*_TEXTS, *_NUMBERS)

_POINT = re.compile(r"[+-]?[0-9]{1,24}(?:\.[0-9]{0,18})?")
_COMMA = re.compile(
    r"[+-]?(?:[0-9]{1,3}(?:([. \u00a0\u202f'])[0-9]{3}(?:\1[0-9]{3}){0,7})?|[0-9]{1,24})(?:,[0-9]{0,18})?"
)
_DAY = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_CLOCK = re.compile(r"[ T][0-9]{1,2}:[0-9]{2}.*", re.DOTALL)
_CLOCK_OF_FORMAT = re.compile(r"%[HIcX]")


class Row(NamedTuple):
    account: str
    currency: str
    line: StatementLine
    balance: Decimal | None
    """What the account held after it; None when the map names no such column."""


class Rows:
    """The columns of one file, found once, and what they say in each row."""

    def __init__(self, file: str, header: Sequence[str], given: StatementMap, dialect: Dialect) -> None:
        """BadFile when the file lacks a column that the map names."""
        self._texts: dict[str, Cell] = {}
        for name in _TEXTS:
            if (name in given.map or name in given.set) and (found := cell(file, header, name, given.map, given.set)):
                self._texts[name] = found
        self._numbers = {name: _sum(file, header, name, given.map[name]) for name in _NUMBERS if name in given.map}
        self._only = [(_index(file, header, column), set(values)) for column, values in given.only.items()]
        self._pattern = _POINT if dialect.decimal == "." else _COMMA
        self._dialect = dialect
        self._fee_sign = 1 if given.fee_sign == "added" else -1

    def is_wanted(self, cells: Sequence[str]) -> bool:
        return all(cells[index] in values for index, values in self._only)

    def row(self, cells: Sequence[str], place: str) -> Row:
        """What the row says; Misread with the field that is wrong."""
        text = {name: self._text(name, cells, place) for name in self._texts}
        number = {name: self._number(name, cells, place) for name in self._numbers}
        amount, fee = self._amount(number, place)
        if "balance" in number and number["balance"] is None:
            raise Misread(f"{place}, balance", "it is empty")
        line = StatementLine(
            place=place,
            booked_on=self._day(text["date"], f"{place}, date"),
            valued_on=self._day(text["valued_on"], f"{place}, valued_on") if text.get("valued_on") else None,
            amount=amount,
            fee=fee,
            references=values.references([text.get("reference", "")], [text.get("bank_reference", "")]),
            counterparty=tidy(text.get("counterparty", ""), values.COUNTERPARTY_MAX),
            description=tidy(text.get("description", ""), values.DESCRIPTION_MAX),
        )
        currency = values.currency(text["currency"].strip().upper(), f"{place}, currency")
        account = tidy(text.get("account", ""), values.REFERENCE_MAX)
        return Row(account, currency, line, number.get("balance"))

    def _text(self, name: str, cells: Sequence[str], place: str) -> str:
        """The text of a field; a template of which a part is empty says nothing."""
        try:
            return self._texts[name](cells) or ""
        except EmptyColumn as error:
            if name in ("date", "currency", "account"):
                raise Misread(f"{place}, {name}", f"the column '{shown(error.column)}' is empty") from None
            return ""

    def _number(self, name: str, cells: Sequence[str], place: str) -> Decimal | None:
        """The sum of the field's columns, of which some may be empty; None when all are."""
        total = None
        for sign, index in self._numbers[name]:
            if written := cells[index].strip():
                value = EXACT.multiply(sign, self._decimal(written, f"{place}, {name}"))
                total = EXACT.plus(value) if total is None else EXACT.add(total, value)
        return total

    def _decimal(self, written: str, place: str) -> Decimal:
        if not self._pattern.fullmatch(written):
            raise Misread(place, f"'{shown(written)}' is not an amount")
        if self._dialect.decimal == ",":
            whole, _, cents = written.partition(",")
            written = f"{re.sub('[^0-9+-]', '', whole)}.{cents}"
        return Decimal(written)

    def _amount(self, number: dict[str, Decimal | None], place: str) -> tuple[Decimal, Decimal]:
        """What the row moves, and the fee that is in it, as a negative number."""
        fee = EXACT.plus(EXACT.multiply(self._fee_sign, number.get("fee") or Decimal(0)))  # and no -0
        net = self._net(number, place)
        gross = number.get("gross")
        if gross is None:
            if net is None:
                raise Misread(f"{place}, {'gross' if 'gross' in number else 'amount'}", "it is empty")
            return net, fee
        left = EXACT.add(gross, fee)
        if net is not None and net != left:
            raise Misread(place, f"its gross of {gross:f} and its fee of {fee:f} do not make {net:f}")
        return left, fee

    def _net(self, number: dict[str, Decimal | None], place: str) -> Decimal | None:
        """The amount as it stands, or of a debit and a credit the one that is there."""
        if not number.keys() & {"debit", "credit"}:
            return number.get("amount")
        debit, credit = number.get("debit"), number.get("credit")
        for name, value in (("debit", debit), ("credit", credit)):
            if value is not None and value < 0:
                raise Misread(f"{place}, {name}", f"{value:f} is negative")
        if debit and credit:
            raise Misread(place, f"it is a debit of {debit:f} and a credit of {credit:f} at once")
        if debit is None and credit is None:
            raise Misread(place, "it has neither a debit nor a credit")
        return EXACT.subtract(credit or Decimal(0), debit or Decimal(0))

    def _day(self, text: str, place: str) -> date:
        """The day of a date that may have a time behind it, in whatever zone that is."""
        text = text.strip()
        if not _CLOCK_OF_FORMAT.search(self._dialect.date):
            text = _CLOCK.sub("", text)
        try:
            found = _DAY.match(self._dialect.time(text)) if self._dialect.date else _DAY.fullmatch(text)
        except BadTime as error:
            raise Misread(place, str(error)) from None
        if not found:
            raise Misread(place, f"'{shown(text)}' is not a day such as 2026-01-31")
        return values.day(found[1], found[2], found[3], place)


def _sum(file: str, header: Sequence[str], name: str, wanted: str) -> list[tuple[int, int]]:
    """Columns with their signs: `Fee`, or several of them as in `Commission+Markup` and `Credit-Debit`.

    A name may hold such a sign itself: the longest that there is counts.
    """
    parts: list[tuple[int, int]] = []
    sign, rest = 1, wanted
    while True:
        fitting = [one for one in header if rest == one or rest.startswith((f"{one}+", f"{one}-"))]
        if not fitting:
            raise _no_column(file, header, rest, f" for the field '{name}'")
        column = max(fitting, key=len)
        parts.append((sign, header.index(column)))
        if rest == column:
            return parts
        sign = -1 if rest[len(column)] == "-" else 1
        rest = rest[len(column) + 1 :]


def _index(file: str, header: Sequence[str], column: str) -> int:
    if column not in header:
        raise _no_column(file, header, column, "")
    return header.index(column)


def _no_column(file: str, header: Sequence[str], column: str, purpose: str) -> BadFile:
    hint = f"its columns are: {', '.join(shown(name) for name in header)}"
    return BadFile(file=file, problem=f"there is no column '{shown(column)}'{purpose}", hint=hint)
