"""Accounts: created, shown, and what they hold."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from ledgerctl.api import bodies
from ledgerctl.api.asking import PROBLEMS, REPLAYED, AccountCode, CreatesAccounts, Key, Reads, by_books
from ledgerctl.api.reading import Route
from ledgerctl.core import times
from ledgerctl.db import accounts as tables
from ledgerctl.db import reports
from ledgerctl.errors import AccountNotFound
from ledgerctl.formats import account_csv, objects
from ledgerctl.services import accounts

router = APIRouter(prefix="/api/v1/accounts", tags=["accounts"], responses=PROBLEMS, route_class=Route)


@router.post("", status_code=201, response_model=bodies.Account)
def create(body: bodies.NewAccount, asked: CreatesAccounts, key: Key, response: Response) -> Any:
    """Create an account. The same again changes nothing; one of that code with other attributes is a conflict."""
    books = by_books(asked)
    given = body.model_dump(exclude={"metadata"})
    exponents = books.database.read(tables.exponents, books.ledger)
    new = account_csv.new_account(given, exponents, body.metadata)
    if not accounts.create_once(books, new, key):
        response.headers[REPLAYED] = "true"
    response.headers["Location"] = f"/api/v1/accounts/{new.code}"
    return objects.account(books.database.read(reports.require_account, books.ledger, new.code))


@router.get("/{code}", response_model=bodies.Account)
def show(code: AccountCode, asked: Reads) -> Any:
    """One account with its attributes."""
    books = by_books(asked)
    return objects.account(books.database.read(reports.require_account, books.ledger, code))


@router.get("/{code}/balance", response_model=bodies.Balance)
def balance(
    code: AccountCode,
    asked: Reads,
    as_of: Annotated[str | None, Query(description="What it was then, by posting time.", max_length=64)] = None,
) -> Any:
    """What an account holds, on its normal side: now, or at some time."""
    now = datetime.now(UTC)
    if as_of is None:
        held = asked.service.library.reader(asked.caller.ledger).balance(code)
        return objects.balance(objects.held(held), now)
    instant = times.parse_relative(as_of, now)
    books = by_books(asked)
    for row in books.database.read(reports.balances_as_of, books.ledger, code, instant):
        if row["code"] == code:
            return objects.balance(row, instant)
    raise AccountNotFound(account=code)
