"""SWIFT MT940, the customer statement message: one statement from each field :20: to its closing balance :62F:/:62M:.

Which fields there are and in which order is checked here, line by line, and so is every value; the library mt-940 says
how a balance and a statement line are written. It does not keep line numbers, drops what it does not know, and would
take the second of two balances without a word, so no more than its patterns are used.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator, Sequence
from datetime import date
from typing import NamedTuple

from ledgerctl.core.money import EXACT, shown
from ledgerctl.core.statements import Balance, Statement, StatementLine
from ledgerctl.errors import BadFile, BadUsage
from ledgerctl.formats.bank import mt940_details, values, whole
from ledgerctl.formats.bank.values import Misread, tidy
from ledgerctl.formats.records import Input

_TAG = re.compile(r":([0-9]{2}[A-Z]?|NS):(.*)", re.DOTALL)
_LINE_END = re.compile(r"\r\n|\r|\n")
_MESSAGE_END = re.compile(r"-(?:\}.*|XXX)?\s*")
_FRAME = {"20": 0, "21": 0, "25": 0, "25P": 0, "28": 0, "28C": 0, "60F": 1, "60M": 1, "62F": 3, "62M": 3}
"""Fields that a statement has once, and in which of its parts: head, opening, lines, closing, end."""
_OPENING, _LINES, _CLOSING, _END = 1, 2, 3, 4
_LEFT_OUT = ("13", "13D", "34F", "64", "65", "90C", "90D", "NS")
_KNOWN = {*_FRAME, *_LEFT_OUT, "61", "86"}
_HALF_A_YEAR = 183


class Field(NamedTuple):
    tag: str
    lines: list[str]
    """What stands behind the tag, and in the lines up to the next one."""
    line: int

    @property
    def place(self) -> str:
        return f"line {self.line}"


class Grammar(NamedTuple):
    """How the library says that a balance and a statement line are written."""

    balance: re.Pattern[str]
    line: re.Pattern[str]


def read(source: Input) -> list[Statement]:
    """The statements in the order of the file. BadFile, BadStatement; BadUsage without the library.

    Text is UTF-8, else Latin-1. Amounts need no comma. A reversal (`RC`, `RD`) has the sign of what it does: RC takes
    back a credit. Lines before :20: and after the closing balance belong to the envelope and are left out, but no field
    may stand there.
    """
    grammar = _grammar()
    with values.of_file(source.name):
        statements = [_statement(fields, grammar) for fields in _messages(_text(whole.content(source)))]
    if not statements:
        raise BadFile(file=source.name, problem="it holds no statement: no line begins with :20:")
    return statements


def _grammar() -> Grammar:
    try:
        from mt940 import tags
    except ImportError:
        raise BadUsage(detail="MT940 is read by the library mt-940", hint="pip install 'ledgerctl[bank]'") from None
    return Grammar(tags.FinalOpeningBalance().re, tags.StatementGLS().re)


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _messages(text: str) -> Iterator[list[Field]]:
    """The fields of each statement. What stands between two messages is their envelope."""
    fields: list[Field] = []
    for number, line in enumerate(_LINE_END.split(text), 1):
        found = _TAG.fullmatch(line)
        if found and found[1] not in _KNOWN:
            if not fields or fields[-1].tag != "86":
                raise Misread(f"line {number}", f":{found[1]}: is not a field of an MT940")
            found = None  # a line of text that looks like one
        if fields and (_MESSAGE_END.fullmatch(line) or (found and found[1] == "20")):
            yield fields
            fields = []
        if found and not fields and found[1] != "20":
            raise Misread(f"line {number}", f":{found[1]}: stands outside of a statement, which begins with :20:")
        if found:
            fields.append(Field(found[1], [found[2]], number))
        elif fields and line.strip():
            fields[-1].lines.append(line)
    if fields:
        yield fields


def _statement(fields: Sequence[Field], grammar: Grammar) -> Statement:
    frame = _frame(fields)
    first, account, opening, closing = (_required(frame, fields, tag) for tag in ("20", "25", "60", "62"))
    before, currency = _balance(opening, grammar)
    after, currency_after = _balance(closing, grammar)
    if currency_after != currency:
        raise Misread(closing.place, f"it closes in {currency_after} and opened in {currency}")
    number = frame["28"].lines[0].strip() if "28" in frame else ""
    return Statement(
        place=first.place,
        identifier=tidy(number if number.strip("0") else first.lines[0], values.REFERENCE_MAX),
        account=tidy(account.lines[0], values.REFERENCE_MAX),
        currency=currency,
        opening=before,
        closing=after,
        lines=tuple(_line(line, details, grammar) for line, details in _lines(fields)),
    )


def _frame(fields: Sequence[Field]) -> dict[str, Field]:
    """The fields that stand once, by the digits of their tag. Every field stands in its part, or is refused."""
    frame: dict[str, Field] = {}
    part = 0
    for field in fields:
        if field.tag in _LEFT_OUT:
            continue
        own = _FRAME.get(field.tag, _LINES)
        if field.tag == "86":
            own = part if part in (_OPENING, _LINES) else _END
        if own < part or (own > _OPENING and part < _OPENING):
            raise Misread(field.place, f":{field.tag}: does not belong here")
        if field.tag in _FRAME and frame.setdefault(field.tag[:2], field) is not field:
            problem = f"it is the second :{field.tag[:2]}: of the statement that began in {fields[0].place}"
            raise Misread(field.place, problem)
        part = own
    return frame


def _required(frame: dict[str, Field], fields: Sequence[Field], tag: str) -> Field:
    if tag not in frame:
        names = {"25": "account (:25:)", "60": "opening balance (:60F:)", "62": "closing balance (:62F:)"}
        raise Misread(fields[-1].place, f"the statement that began in {fields[0].place} ends without {names[tag]}")
    return frame[tag]


def _lines(fields: Sequence[Field]) -> Iterator[tuple[Field, list[str]]]:
    """Each statement line with the text of the fields :86: behind it."""
    line: Field | None = None
    details: list[str] = []
    for field in fields:
        if line and field.tag in ("61", "62F", "62M"):
            yield line, details
            line = None
        if field.tag == "61":
            line, details = field, []
        elif field.tag == "86" and line:
            details.extend(field.lines)


def _balance(field: Field, grammar: Grammar) -> tuple[Balance, str]:
    """`C260131EUR1234,56`: mark, day, currency, amount."""
    text = field.lines[0].strip()
    found = grammar.balance.match(text)
    if not found or (len(field.lines) > 1 and field.tag.startswith("60")):
        raise Misread(field.place, f"'{shown(' '.join(field.lines))}' is not a balance")
    # To the end of the line: the pattern leaves digits over where a bank fills up with zeros.
    amount = values.amount(text[found.start("amount") :], field.place, ",")
    on = _day(_year(found["year"]), found["month"], found["day"], field.place)
    currency = values.currency(found["currency"], field.place)
    return Balance(EXACT.minus(amount) if found["status"].upper() == "D" else amount, on), currency


def _line(field: Field, details: Sequence[str], grammar: Grammar) -> StatementLine:
    """`2601310201DR12,50NTRFORDER-7//BANK-9`: days, mark, funds code, amount, type, references; a line of its own."""
    found = grammar.line.fullmatch(field.lines[0].strip())
    # The library can do without a type. What stands between amount and type would then be taken for a reference.
    if not found or not found["id"]:
        raise Misread(field.place, f"'{shown(field.lines[0])}' is not a statement line")
    amount = values.amount(found["amount"], field.place, ",")
    taken = found["status"].upper() in ("D", "RC")
    valued_on = _day(_year(found["year"]), found["month"], found["day"], field.place)
    said = mt940_details.read(details)
    supplementary = " ".join([found["extra_details"] or "", *field.lines[1:]])
    return StatementLine(
        place=field.place,
        booked_on=_entry_day(found["entry_month"] or "", found["entry_day"] or "", valued_on, field.place),
        valued_on=valued_on,
        amount=EXACT.minus(amount) if taken else amount,
        references=values.references(
            [*said.references, _reference(found["customer_reference"])], [found["bank_reference"] or ""]
        ),
        counterparty=tidy(said.counterparty, values.COUNTERPARTY_MAX),
        description=tidy(f"{said.description} {supplementary}", values.DESCRIPTION_MAX),
    )


def _reference(text: str) -> str:
    """The customer's reference, unless it only says that :86: has it."""
    return "" if text.strip() in ("EREF", "EREF+", "KREF", "KREF+", "PREF") else text


def _year(text: str) -> int:
    """SWIFT reads two digits from 80 on as a year of the last century."""
    return int(text) + (1900 if int(text) >= 80 else 2000)


def _day(year: int, month: str, of_month: str, place: str) -> date:
    """A day of that year.

    Banks that count interest by 30/360 value some lines at the 29th or 30th of February: that is its last day.
    """
    if month == "02" and of_month in ("29", "30"):
        of_month = str(monthrange(year, 2)[1])
    return values.day(str(year), month, of_month, place)


def _entry_day(month: str, of_month: str, valued_on: date, place: str) -> date:
    """The day of booking, which names no year: the one next to the value date, so that January follows December."""
    if not (month + of_month).strip():
        return valued_on
    near = _day(valued_on.year, month, of_month, place)
    years = 1 if (valued_on - near).days > _HALF_A_YEAR else -1 if (near - valued_on).days > _HALF_A_YEAR else 0
    return _day(valued_on.year + years, month, of_month, place)
