"""ISO 20022 camt.053, BankToCustomerStatement: one statement from each Stmt, in all versions of the family 001.

Entries that are booked (Sts BOOK) are lines; those that are pending or for information are left out. An Ntry with
several TxDtls, a batch, is one movement on the account and so one line, which carries the references of all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from ledgerctl.core.money import EXACT, shown
from ledgerctl.core.statements import Balance, Statement, StatementLine
from ledgerctl.errors import BadFile
from ledgerctl.formats.bank import camt053_xml, values, whole
from ledgerctl.formats.bank.camt053_xml import NotThis, Parsed
from ledgerctl.formats.bank.elements import Element
from ledgerctl.formats.bank.values import Misread, tidy, within
from ledgerctl.formats.records import Input

_DAY = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:T[0-9:.]{5,})?(?:Z|[+-][0-9]{2}:[0-9]{2})?")
_NOT_BOOKED = ("PDNG", "INFO", "FUTR")
_OF_PAYMENTS = ("Refs/EndToEndId", "RmtInf/Strd/CdtrRefInf/Ref", "Refs/InstrId", "Refs/TxId", "Refs/ChqNb")
_OF_ENTRY = (
    "NtryDtls/Btch/PmtInfId", "NtryDtls/Btch/MsgId", "NtryDtls/TxDtls/Refs/PmtInfId", "NtryDtls/TxDtls/Refs/MsgId",
    "AcctSvcrRef", "NtryDtls/TxDtls/Refs/AcctSvcrRef", "NtryRef",
)  # fmt: skip
_NAMES = ("Nm", "Pty/Nm")
"""Since version 8 a party is a person or an agent."""
_TEXTS_MAX = 1000
"""So many details of a batch give their texts; a description is cut far earlier."""


def read(source: Input) -> list[Statement]:
    """The statements in the order of the file. BadFile, BadStatement.

    The opening balance is OPBD, else PRCD, and the closing one CLBD, of several the first and the last by their days;
    other balances are left out. Every amount that is read is in the currency of the account.
    """
    data = whole.content(source)
    with values.of_file(source.name):
        try:
            parsed = camt053_xml.statements(data)
        except NotThis as error:
            raise BadFile(file=source.name, problem=str(error)) from None
        statements = [_statement(one, number) for number, one in enumerate(parsed, 1)]
    if not statements:
        raise BadFile(file=source.name, problem="it holds no statement: there is no Stmt in it")
    return statements


def _statement(parsed: Parsed, number: int) -> Statement:
    statement, place = parsed.statement, f"statement {number}"
    with within(place):
        currency = _currency(parsed)
        opening = _balances(statement, "OPBD", currency) or _balances(statement, "PRCD", currency)
        closing = _balances(statement, "CLBD", currency)
        account = statement.value("Acct/Id/IBAN") or statement.one("Acct/Id/Othr/Id").text
    return Statement(
        place=f"{place}, {statement.place}",
        identifier=tidy(statement.value("Id"), values.REFERENCE_MAX),
        account=tidy(account, values.REFERENCE_MAX),
        currency=currency,
        opening=min(opening, key=_on, default=None),
        closing=max(closing, key=_on, default=None),
        lines=tuple(_lines(parsed.entries, currency, place)),
    )


def _currency(parsed: Parsed) -> str:
    """The account's; where the bank does not name it, that of the first balance or entry."""
    named = parsed.statement.first("Acct/Ccy")
    if named is not None:
        return values.currency(named.text, named.place)
    for element in (*parsed.statement.all("Bal"), *parsed.entries):
        amount = element.one("Amt")
        return values.currency(amount.currency, amount.place)
    raise Misread(parsed.statement.place, "neither the account nor a balance names a currency")


def _balances(statement: Element, code: str, currency: str) -> list[Balance]:
    return [
        Balance(_amount(one, currency), _day(one.one("Dt")))
        for one in statement.all("Bal")
        if one.value("Tp/CdOrPrtry/Cd") == code
    ]


def _on(balance: Balance) -> date:
    return balance.on


def _amount(element: Element, currency: str) -> Decimal:
    """The amount of an entry or a balance, positive for a credit. `CdtDbtInd` says which it is.

    It says so of a reversal too (`RvslInd`): ISO 20022 has it tell what happens to the account now, not then.
    """
    amount = element.one("Amt")
    if amount.currency != currency:
        raise Misread(amount.place, f"an amount in '{shown(amount.currency)}' stands on an account in {currency}")
    indicator = element.one("CdtDbtInd")
    if indicator.text not in ("CRDT", "DBIT"):
        raise Misread(indicator.place, f"CdtDbtInd is neither CRDT nor DBIT but '{shown(indicator.text)}'")
    value = values.amount(amount.text, f"{amount.place}, Amt", ".")
    return EXACT.minus(value) if indicator.text == "DBIT" else value


def _day(element: Element) -> date:
    """The day of `Dt` or `DtTm`, in whatever zone the bank writes it."""
    written = element.first("Dt") or element.one("DtTm")
    found = _DAY.fullmatch(written.text)
    if not found:
        raise Misread(written.place, f"'{shown(written.text)}' is not a day")
    return values.day(found[1], found[2], found[3], written.place)


def _lines(entries: Sequence[Element], currency: str, place: str) -> list[StatementLine]:
    lines = []
    for number, entry in enumerate(entries, 1):
        own_place = f"entry {number} of {place}"
        with within(own_place):
            if _is_booked(entry):
                lines.append(_line(entry, currency, f"{own_place}, {entry.place}"))
    return lines


def _is_booked(entry: Element) -> bool:
    """`<Sts>BOOK</Sts>` until version 7, `<Sts><Cd>BOOK</Cd></Sts>` since."""
    status = entry.one("Sts")
    code = status.value("Cd") or status.text
    if code != "BOOK" and code not in _NOT_BOOKED:
        raise Misread(status.place, f"an entry of the status '{shown(code)}' is not known")
    return code == "BOOK"


def _line(entry: Element, currency: str, place: str) -> StatementLine:
    booked, valued = entry.first("BookgDt"), entry.first("ValDt")
    valued_on = _day(valued) if valued else None
    booked_on = _day(booked) if booked else valued_on
    if booked_on is None:
        raise Misread(entry.place, "the entry has neither a BookgDt nor a ValDt")
    amount = _amount(entry, currency)
    return StatementLine(
        place=place,
        booked_on=booked_on,
        valued_on=valued_on,
        amount=amount,
        references=_references(entry),
        counterparty=_counterparty(entry, credited=amount > 0),
        description=_description(entry),
    )


def _references(entry: Element) -> tuple[str, ...]:
    own = [value for path in _OF_PAYMENTS for value in entry.values(f"NtryDtls/TxDtls/{path}")]
    return values.references(own, [value for path in _OF_ENTRY for value in entry.values(path)])


def _counterparty(entry: Element, *, credited: bool) -> str:
    """Who paid what came in, or was paid what went out; in a reversal, which goes back, it is the other way round."""
    reversal = entry.value("RvslInd") in ("true", "1")
    party = "Dbtr" if credited is not reversal else "Cdtr"
    names = [
        next(filter(None, (parties.value(f"{one}/{path}") for one in (party, f"Ultmt{party}") for path in _NAMES)), "")
        for parties in entry.all("NtryDtls/TxDtls/RltdPties")[:_TEXTS_MAX]
    ]
    return tidy(", ".join(dict.fromkeys(filter(None, names))), values.COUNTERPARTY_MAX)


def _description(entry: Element) -> str:
    """What the payers wrote, else what the bank says of the entry."""
    details = entry.all("NtryDtls/TxDtls")[:_TEXTS_MAX]
    written = [text for one in details for text in one.values("RmtInf/Ustrd")]
    said = [text for one in details for text in one.values("AddtlTxInf")] + entry.values("AddtlNtryInf")
    return tidy(" ".join(written or said), values.DESCRIPTION_MAX)
