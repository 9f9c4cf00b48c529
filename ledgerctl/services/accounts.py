"""Create accounts, ledgers and currencies; freeze, unfreeze and close."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from ledgerctl import errors
from ledgerctl.core import money
from ledgerctl.core.currencies import EXPONENTS
from ledgerctl.core.model import NewAccount, Status
from ledgerctl.db import accounts, audit
from ledgerctl.db.accounts import LockedAccount
from ledgerctl.db.connection import Connection, Database
from ledgerctl.db.pipeline import Executor
from ledgerctl.services.books import Books

T = TypeVar("T")

_CHUNK = 10_000
_BY_KEY = "account create by key"
_COMPARED = ("type", "currency", "name", "min_balance", "max_balance", "metadata")


class Created(NamedTuple):
    created: int
    unchanged: int


def create(books: Books, new: Sequence[NewAccount]) -> Created:
    """Create the accounts, all or none. One that exists with the same attributes stays; with others: AccountExists."""
    return _created(books, _create, new)


def create_once(books: Books, new: NewAccount, key: str) -> bool:
    """Create an account under a key; False when it was there, the same. IdempotencyConflict when the key was used for
    another one, or for other attributes; AccountExists."""
    return _created(books, _create_once, new, key)


def _created(books: Books, work: Callable[..., T], *asked: object) -> T:
    """In one transaction; what is refused is told to the audit log in another."""
    try:
        return books.database.transact_at_length(books.database.limits, work, books, *asked)
    except (errors.AccountExists, errors.IdempotencyConflict) as refusal:
        line = audit.Line("account create", refusal.details["account"], "refused", {"reason": refusal.code})
        books.database.transact(audit.log, books.ledger, books.actor, books.request_id, [line])
        raise


def _create_once(conn: Connection, books: Books, new: NewAccount, key: str) -> bool:
    audit.exclude(conn, books.ledger, key)
    before = audit.detail(conn, books.ledger, _BY_KEY, key)
    if before is not None and before["account"] != new.code:
        raise _used(key, before["account"], "account")
    try:
        created = _create(conn, books, [new]).created > 0
    except errors.AccountExists as other:
        raise other if before is None else _used(key, new.code, other.details["fields"]) from None
    if before is None:
        line = audit.Line(_BY_KEY, key, "done", {"account": new.code})
        audit.log(conn, books.ledger, books.actor, books.request_id, [line])
    return created


def _used(key: str, account: str, fields: str) -> errors.IdempotencyConflict:
    return errors.IdempotencyConflict(key=key, account=account, fields=fields, hint=f"ledgerctl account show {account}")


def _create(conn: Connection, books: Books, new: Sequence[NewAccount]) -> Created:
    once: dict[str, NewAccount] = {}
    for account in new:
        _require_same(account, once.setdefault(account.code, account))
    distinct = list(once.values())
    total = 0
    for start in range(0, len(distinct), _CHUNK):
        chunk = distinct[start : start + _CHUNK]
        created = accounts.insert(conn, books.ledger, chunk)
        repeated = [account for account in chunk if account.code not in created]
        stored = accounts.attributes(conn, books.ledger, [account.code for account in repeated])
        for account in repeated:
            _require_same(account, stored[account.code])
        lines = [audit.Line("account create", account.code, "done") for account in chunk if account.code in created]
        audit.log(conn, books.ledger, books.actor, books.request_id, lines)
        total += len(created)
    return Created(total, len(new) - total)


def _require_same(asked: NewAccount, stored: NewAccount) -> None:
    fields = [field for field in _COMPARED if getattr(asked, field) != getattr(stored, field)]
    if fields:
        raise errors.AccountExists(account=asked.code, fields=", ".join(fields))


_ACTIONS = {Status.FROZEN: "account freeze", Status.ACTIVE: "account unfreeze", Status.CLOSED: "account close"}


def freeze(books: Books, code: str) -> None:
    """Nothing is posted to a frozen account until it is unfrozen. AccountNotFound, AccountClosed."""
    _change_status(books, code, Status.FROZEN)


def unfreeze(books: Books, code: str) -> None:
    """Let a frozen account be posted to again. AccountNotFound, AccountClosed."""
    _change_status(books, code, Status.ACTIVE)


def close(books: Books, code: str) -> None:
    """Close an account for good; only at zero. AccountNotFound, AccountNotEmpty."""
    _change_status(books, code, Status.CLOSED)


def _change_status(books: Books, code: str, status: Status) -> None:
    refusal = books.database.transact(_set_status, books, code, status)
    if refusal is not None:
        raise refusal


def _set_status(conn: Executor, books: Books, code: str, status: Status) -> errors.LedgerError | None:
    """A refusal is returned, not raised, so that its line in the audit log is committed."""
    account = accounts.lock_one(conn, books.ledger, code)
    if account is not None and account.status == status:
        return None

    refusal = _status_refusal(account, code, status)
    detail = {} if refusal is None else {"reason": refusal.code}
    if account is not None and refusal is None:
        accounts.set_status(conn, books.ledger, account.id, status)
        detail = {"from": account.status}
    line = audit.Line(_ACTIONS[status], code, "done" if refusal is None else "refused", detail)
    audit.log(conn, books.ledger, books.actor, books.request_id, [line])
    return refusal


def _status_refusal(account: LockedAccount | None, code: str, status: Status) -> errors.LedgerError | None:
    if account is None:
        return errors.AccountNotFound(account=code)
    if account.status == Status.CLOSED:
        return errors.AccountClosed(account=code)
    if status is Status.CLOSED and account.balance != 0:
        balance = money.fixed(abs(account.balance), account.exponent)
        return errors.AccountNotEmpty(account=code, balance=balance, currency=account.currency)
    return None


def create_ledger(database: Database, name: str, actor: str, request_id: str) -> bool:
    """Create a ledger with the currencies of ISO 4217; False when it is there already."""

    def work(conn: Executor) -> bool:
        ledger, created = accounts.create_ledger(conn, name, EXPONENTS)
        if created:
            audit.log(conn, ledger, actor, request_id, [audit.Line("ledger create", name, "done")])
        return created

    return database.transact(work)


def add_currency(books: Books, code: str, exponent: int) -> None:
    """Add a currency that ISO 4217 does not know, or a withdrawn one. CurrencyExists when it has other decimals."""
    if not money.is_currency_code(code):
        raise errors.BadUsage(detail=f"'{money.shown(code)}' is not a currency code: three to twelve of A-Z and 0-9")
    if not 0 <= exponent <= money.EXPONENT_MAX:
        raise errors.BadUsage(detail=f"a currency has 0 to {money.EXPONENT_MAX} decimals, not {exponent}")

    def work(conn: Executor) -> None:
        if accounts.add_currency(conn, books.ledger, code, exponent):
            line = audit.Line("currency add", code, "done", {"exponent": exponent})
            audit.log(conn, books.ledger, books.actor, books.request_id, [line])
            return
        known = accounts.exponents(conn, books.ledger)[code]
        if known != exponent:
            raise errors.CurrencyExists(currency=code, exponent=known)

    books.database.transact(work)
