"""Take in what a bank says of an account: each statement once, each line once, one balance leading to the next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from ledgerctl import errors
from ledgerctl.core import money
from ledgerctl.core.statements import Statement, StatementLine
from ledgerctl.db import bank_statements
from ledgerctl.db.bank_statements import Account, BankAccount, Covered, Standing
from ledgerctl.db.connection import Connection


@dataclass(frozen=True, slots=True)
class Delivery:
    """A file of statements, and how it is to be taken."""

    file: str
    statements: Sequence[Statement]
    bank_account: str = ""
    """The bank's name for the account, where the file tells of several."""
    accept: str | None = None
    """Why statements are taken whose balances do not lead to one another."""


class TakenIn(NamedTuple):
    """How many statements and lines were new, and how many statements had been read before.

    `before` counts the lines of extracts that were left out, since they are from before the first day that was told of.
    """

    statements: int = 0
    lines: int = 0
    known: int = 0
    before: int = 0


def take_in(conn: Connection, ledger: int, account: Account, delivery: Delivery, window: int, run_id: int) -> TakenIn:
    """Keep what is new in a file. BadStatement and WrongBankAccount, and then nothing of it."""
    begun = bank_statements.bank_account(conn, ledger, account.id)
    name, mine = _of_account(account, delivery, begun)
    digests = [bank_statements.digest(statement) for statement in mine]
    known = set(bank_statements.known(conn, ledger, account.id, digests))
    taken = TakenIn()
    for statement, digest in sorted(zip(mine, digests, strict=True), key=lambda one: one[0].tells_until or date.max):
        if digest in known:
            taken = taken._replace(known=taken.known + 1)
            continue
        known.add(digest)
        _require_sound(account, delivery, statement)
        if begun is None:
            begun = _begin(conn, ledger, account, name, statement, window)
        since = _since(statement, begun.begins_on)
        lines = _new_lines(conn, ledger, account.id, statement, since)
        _require_chain(account, delivery, statement, lines, bank_statements.standing(conn, ledger, account.id))
        kept = bank_statements.Kept(statement, digest, lines, delivery.file, delivery.accept, run_id)
        bank_statements.insert(conn, ledger, account.id, kept)
        before = taken.before + len(statement.lines) - len(since)
        taken = TakenIn(taken.statements + 1, taken.lines + len(lines), taken.known, before)
    return taken


def _of_account(account: Account, delivery: Delivery, begun: BankAccount | None) -> tuple[str, list[Statement]]:
    """The bank's name for the account, and the statements of it."""
    known = begun.bank_account if begun is not None else ""
    if known and delivery.bank_account and _plain(delivery.bank_account) != _plain(known):
        problem = f"at the bank it is {known}, and not {delivery.bank_account}"
        raise errors.WrongBankAccount(file=delivery.file, account=account.code, problem=problem)
    wanted = known or delivery.bank_account
    names = sorted({statement.account for statement in delivery.statements})
    if wanted:
        mine = [one for one in delivery.statements if not one.account or _plain(one.account) == _plain(wanted)]
        problem = f"it is of {', '.join(names)}, and this is {wanted} at the bank"
    else:
        mine = list(delivery.statements) if len(names) <= 1 else []
        problem = f"it tells of {', '.join(names)}"
    if not mine:
        raise errors.WrongBankAccount(file=delivery.file, account=account.code, problem=problem)
    of_currency = [one for one in mine if one.currency == account.currency]
    if not of_currency:
        currencies = ", ".join(sorted({one.currency for one in mine}))
        problem = f"it is in {currencies}, and the account in {account.currency}"
        hint = "give the statement of this account"
        raise errors.WrongBankAccount(file=delivery.file, account=account.code, problem=problem, hint=hint)
    return wanted or names[0], of_currency


def _plain(name: str) -> str:
    return "".join(name.split()).casefold()


def _require_sound(account: Account, delivery: Delivery, statement: Statement) -> None:
    """Amounts fit the currency, and the lines lead from the opening balance to the closing one."""
    said = [(statement.place, one.amount) for one in (statement.opening, statement.closing) if one is not None]
    said += [(line.place, amount) for line in statement.lines for amount in (line.amount, line.fee)]
    for place, amount in said:
        if money.decimals(amount.normalize(money.EXACT)) > account.exponent or abs(amount) >= money.LIMIT:
            problem = f"{amount} is no amount in {account.currency}, which has {account.exponent} decimals"
            raise errors.BadStatement(file=delivery.file, place=place, problem=problem)
    if statement.tells_until is None:
        raise _refused(delivery, statement, "it holds neither a line nor a balance with its day")
    if statement.closing is not None and statement.difference and delivery.accept is None:
        closing = statement.closing.amount
        come_to = account.text(closing - statement.difference)
        problem = f"its opening balance and its lines come to {come_to}, its closing balance is {account.text(closing)}"
        hint = "ask the bank for the whole statement; --accept REASON takes it as it is"
        raise _refused(delivery, statement, problem, hint)


def _require_chain(
    account: Account,
    delivery: Delivery,
    statement: Statement,
    lines: Sequence[StatementLine],
    standing: Standing | None,
) -> None:
    """It begins where the one before it ended."""
    if statement.opening is None and not lines:
        return  # an extract that tells nothing new
    begins_with = _begins_with(statement, lines)
    if standing is None or begins_with is None or begins_with == standing.balance or delivery.accept is not None:
        return
    before = f"the statement before it{f' ({standing.identifier})' if standing.identifier else ''}"
    ended_with = account.text(standing.balance)
    problem = f"it begins with {account.text(begins_with)}, but {before} ended with {ended_with}"
    hint = "read first what is missing between them; --accept REASON takes it as it is"
    raise _refused(delivery, statement, problem, hint)


def _refused(delivery: Delivery, statement: Statement, problem: str, hint: str = "") -> errors.BadStatement:
    return errors.BadStatement(file=delivery.file, place=statement.place, problem=problem, hint=hint)


def _begins_with(statement: Statement, lines: Iterable[StatementLine]) -> Decimal | None:
    """The balance before its new lines: as the bank gives it, or else what the closing balance leaves for it."""
    if statement.opening is not None:
        return statement.opening.amount
    if statement.closing is not None:
        return statement.closing.amount - sum(line.amount for line in lines)
    return None


def _begin(
    conn: Connection, ledger: int, account: Account, name: str, statement: Statement, window: int
) -> BankAccount:
    """Entries that come to the opening balance are in it. If none do, those older than the window; the rest is open."""
    first = statement.begins_on
    if first is None:
        raise ValueError("a sound statement names a day")
    opening = _begins_with(statement, statement.lines)
    covered = None if opening is None else bank_statements.covered(conn, ledger, account.id, opening, first)
    begun = BankAccount(name, first)
    eve = date.fromordinal(max(first.toordinal() - window - 1, date.min.toordinal()))
    older = Covered(eve, account.seq)
    bank_statements.begin_account(conn, ledger, account, begun, covered or older)
    return begun


def _since(statement: Statement, begins_on: date) -> Sequence[StatementLine]:
    """All lines of a sheet; of an extract, those that are not in the first opening balance."""
    if statement.opening is not None:
        return statement.lines
    return [line for line in statement.lines if line.booked_on >= begins_on]


def _new_lines(
    conn: Connection, ledger: int, account_id: int, statement: Statement, lines: Sequence[StatementLine]
) -> Sequence[StatementLine]:
    """All lines of a sheet. Extracts overlap: of lines that are alike, as many are new as were not told of before."""
    if statement.opening is not None or not lines:
        return lines
    first = min(line.booked_on for line in lines)
    told = Counter(bank_statements.lines_since(conn, ledger, account_id, first))
    new = []
    for line in lines:
        if told[bank_statements.told(line)] > 0:
            told[bank_statements.told(line)] -= 1
        else:
            new.append(line)
    return new
