"""OFX 1.x and 2.x: one statement from each STMTRS and CCSTMTRS, the downloads of a bank's or a card's account.

A download says what happened lately and what the account holds now (LEDGERBAL); it has no opening balance.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal

from ledgerctl.core.money import shown
from ledgerctl.core.statements import Balance, Statement, StatementLine
from ledgerctl.errors import BadFile
from ledgerctl.formats.bank import ofx_tags, values, whole
from ledgerctl.formats.bank.elements import Element
from ledgerctl.formats.bank.values import Misread, tidy, within
from ledgerctl.formats.records import Input

_STATEMENTS = (("BANKMSGSRSV1/STMTTRNRS", "STMTRS"), ("CREDITCARDMSGSRSV1/CCSTMTTRNRS", "CCSTMTRS"))
_ACCOUNTS = ("BANKACCTFROM", "CCACCTFROM")
_CHARSET = re.compile(r"CHARSET:\s*([A-Za-z0-9._-]+)|<\?xml[^>]{0,200}?encoding=[\"']([A-Za-z0-9._-]+)", re.ASCII)
_HEADER_MAX = 4096
_TIME = re.compile(
    r"([0-9]{4})([0-9]{2})([0-9]{2})(?:[0-9]{4}(?:[0-9]{2}(?:\.[0-9]{1,6})?)?)?"
    r"(?:\s*\[\s*[+-]?[0-9]{1,2}(?:[.:][0-9]{1,2})?(?::[A-Za-z0-9 _/+-]{0,32})?\])?"
)


def read(source: Input) -> list[Statement]:
    """The statements in the order of the file. BadFile, BadStatement.

    Text is UTF-8, else what the header says (1252 or 8859-1). A day is that of the zone in which the bank writes it.
    """
    data = whole.content(source)
    with values.of_file(source.name):
        text = _text(data)
        start = ofx_tags.body(text)
        if start is None:
            raise BadFile(file=source.name, problem="it is no OFX: there is no <OFX> in it")
        if declared := ofx_tags.DECLARATION.search(text, 0, start):
            place = f"line {text.count(chr(10), 0, declared.start()) + 1}"
            raise Misread(place, "it declares a document type or an entity, which no OFX has and which is not read")
        statements = list(_statements(ofx_tags.tree(text, start)))
    if not statements:
        raise BadFile(file=source.name, problem="it holds no statement of a bank's or a credit card's account")
    return statements


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        named = _CHARSET.search(data[:_HEADER_MAX].decode("latin-1"))
        line = data.count(b"\n", 0, error.start) + 1
    charset = ((named[1] or named[2]) if named else "1252").lower()
    if charset in ("8859-1", "iso-8859-1", "latin1", "latin-1"):
        return data.decode("latin-1")
    if charset not in ("1252", "cp1252", "windows-1252", "none"):
        raise Misread(f"line {line}", f"it is not UTF-8, and the encoding '{shown(charset)}' of its header is not read")
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Misread(f"line {line}", f"the byte 0x{data[error.start]:02x} is no character of Windows-1252") from None


def _statements(ofx: Element) -> Iterator[Statement]:
    number = 0
    for responses, name in _STATEMENTS:
        for response in ofx.all(responses):
            for statement in response.all(name):
                number += 1
                yield _statement(statement, response.value("TRNUID"), f"statement {number}")


def _statement(statement: Element, identifier: str, place: str) -> Statement:
    with within(place):
        named = statement.one("CURDEF")
        currency = values.currency(named.text, named.place)
        account = next(filter(None, map(statement.first, _ACCOUNTS)), None)
        if account is None:
            raise Misread(statement.place, f"{statement.name} names no account")
        number = account.one("ACCTID").text
        balance = statement.first("LEDGERBAL")
        closing = _balance(balance) if balance else None
    period = "/".join(filter(None, (statement.value(f"BANKTRANLIST/{name}")[:8] for name in ("DTSTART", "DTEND"))))
    return Statement(
        place=f"{place}, {statement.place}",
        identifier=tidy(period or identifier, values.REFERENCE_MAX),
        account=tidy("/".join(filter(None, (account.value("BANKID"), number))), values.REFERENCE_MAX),
        currency=currency,
        opening=None,
        closing=closing,
        lines=tuple(
            _line(transaction, currency, f"transaction {number} of {place}")
            for number, transaction in enumerate(statement.all("BANKTRANLIST/STMTTRN"), 1)
        ),
    )


def _balance(element: Element) -> Balance:
    return Balance(_amount(element.one("BALAMT")), _day(element.one("DTASOF")))


def _amount(element: Element) -> Decimal:
    """Digits with a sign or without, and a point or a comma before the decimals (OFX 1.6, 3.2.9.1); no groups."""
    return values.amount(element.text, f"{element.place}, {element.name}", ".,", "+-")


def _line(transaction: Element, currency: str, place: str) -> StatementLine:
    with within(place):
        _require_of_account(transaction, currency)
        amount = _amount(transaction.one("TRNAMT"))
        available = transaction.first("DTAVAIL")
        booked_on = _day(transaction.one("DTPOSTED"))
        valued_on = _day(available) if available else None
    name = transaction.value("NAME") or transaction.value("PAYEE/NAME")
    own = [one for one in transaction.values("CHECKNUM") if one.strip("0")]
    return StatementLine(
        place=f"{place}, {transaction.place}",
        booked_on=booked_on,
        valued_on=valued_on,
        amount=amount,
        references=values.references(
            [*own, *transaction.values("REFNUM")], [*transaction.values("FITID"), *transaction.values("SRVRTID")]
        ),
        counterparty=tidy(name, values.COUNTERPARTY_MAX),
        description=tidy(transaction.value("MEMO"), values.DESCRIPTION_MAX),
    )


def _require_of_account(transaction: Element, currency: str) -> None:
    """Of what stands in another currency, or takes the place of an earlier transaction, the amount is no movement."""
    other = transaction.first("CURRENCY/CURSYM")
    if other is not None and other.text != currency:
        raise Misread(
            other.place, f"an amount in '{shown(other.text)}' stands on an account that is kept in {currency}"
        )
    corrects = transaction.first("CORRECTFITID")
    if corrects is not None:
        raise Misread(corrects.place, f"it corrects the transaction '{shown(corrects.text)}', which is not read")


def _day(element: Element) -> date:
    found = _TIME.fullmatch(element.text)
    if not found:
        raise Misread(element.place, f"{element.name} '{shown(element.text)}' is not a time of OFX")
    return values.day(found[1], found[2], found[3], element.place)
