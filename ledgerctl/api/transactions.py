"""What was posted: one transaction, an account's history, and the reversal."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response

from ledgerctl.api import bodies
from ledgerctl.api.asking import PROBLEMS, AccountCode, Key, Reads, Reverses, by_books, told
from ledgerctl.api.reading import Route
from ledgerctl.core import money
from ledgerctl.db import reports
from ledgerctl.formats import objects
from ledgerctl.ids import uuid7
from ledgerctl.services import payments

router = APIRouter(prefix="/api/v1/transactions", tags=["transactions"], responses=PROBLEMS, route_class=Route)
SEQ_MAX = 2**63 - 1


@router.get("/account/{code}/history", response_model=bodies.History)
def history(
    code: AccountCode,
    asked: Reads,
    limit: Annotated[int, Query(ge=1, description="So many entries at most.")] = 50,
    after: Annotated[int, Query(ge=0, le=SEQ_MAX, description="`next` of the page before.")] = 0,
) -> Any:
    """An account's entries in order, with the balance after each: a page, and where the next begins.

    Entries never change and none comes in between: pages fit together however long it takes to read them.
    """
    books = by_books(asked)
    account = books.database.read(reports.require_account, books.ledger, code)
    size = min(limit, asked.service.page_max)
    bounds = reports.Bounds(after=after)
    rows = books.database.read(reports.history, books.ledger, account["account_id"], bounds, size + 1)
    more = len(rows) > size
    return {
        "entries": [objects.history_entry(row) for row in rows[:size]],
        "next": str(rows[size - 1]["seq"]) if more else None,
    }


@router.get("/{transaction_id}", response_model=bodies.Transaction)
def show(transaction_id: UUID, asked: Reads) -> Any:
    """One transaction with its entries."""
    books = by_books(asked)
    return objects.transaction(books.database.read(reports.transaction, books.ledger, transaction_id))


@router.post("/{transaction_id}/reverse", status_code=201, response_model=bodies.Posted)
def reverse(
    transaction_id: UUID,
    asked: Reverses,
    key: Key,
    body: bodies.Reversal | None = None,
) -> Response:
    """Post the opposite of a transaction, linked to it: whole, or once in part."""
    asking = body or bodies.Reversal()
    amount = None if asking.amount is None else money.parse(asking.amount)
    return told(payments.reverse(by_books(asked), uuid7(), key, transaction_id, amount, asking.reason))
