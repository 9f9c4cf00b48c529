"""Money moves: one transfer, or several at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool

from ledgerctl.api import bodies, problems
from ledgerctl.api.asking import PROBLEMS, Asked, Key, Transfers, by_books
from ledgerctl.core import money, requesting, texts
from ledgerctl.core.model import Request
from ledgerctl.errors import LedgerError
from ledgerctl.formats import objects
from ledgerctl.ids import uuid7
from ledgerctl.services import payments
from ledgerctl.services.payments import Receipt

router = APIRouter(prefix="/api/v1", tags=["transfers"], responses=PROBLEMS)


@router.post(
    "/transfers", status_code=201, response_model=bodies.Posted | bodies.Results, response_model_exclude_unset=True
)
async def transfer(body: bodies.OneOrSeveral, asked: Transfers, key: Key, response: Response) -> Any:
    """Move money from one account to another, once, whatever happens; or several times at once.

    Those that arrive at the same time share a transaction, and each has an outcome of its own. Of a list in the mode
    `all`, every one is posted or none; in the mode `each`, each stands by itself.
    """
    if isinstance(body, bodies.Transfers):
        return await run_in_threadpool(_several, body, key, response, asked)
    request = _request(body, key)
    gatherer = await _gatherer(asked)
    try:
        receipt = await asyncio.wrap_future(gatherer.submit(request, asked.by))
    except LedgerError as error:
        raise problems.posting(error) from None
    response.headers["Location"] = f"/api/v1/transactions/{receipt.transaction.id}"
    return _told(receipt, response)


def _several(body: bodies.Transfers, key: str, response: Response, asked: Asked) -> Any:
    if len(body.transfers) > asked.service.list_max:
        raise problems.too_many(asked.service.list_max)
    requests = [_numbered(n, one, key) for n, one in enumerate(body.transfers, 1)]
    books = by_books(asked)
    if body.mode == "each":
        answers = payments.post_each(books, requests)
    else:
        try:
            answers = list[Receipt | LedgerError](payments.post_all(books, requests))
        except LedgerError as error:
            raise problems.posting(error) from None
    return {"results": _results(answers, response)}


def _results(answers: Sequence[Receipt | LedgerError], response: Response) -> list[dict[str, Any]]:
    receipts = [answer for answer in answers if isinstance(answer, Receipt)]
    if receipts and len(receipts) == len(answers) and all(receipt.replayed for receipt in receipts):
        response.headers["Idempotent-Replayed"] = "true"
    return [
        problems.refused(problems.posting(answer))
        if isinstance(answer, LedgerError)
        else objects.posted(answer.transaction, "replayed" if answer.replayed else "posted")
        for answer in answers
    ]


def _numbered(number: int, body: bodies.Listed, key: str) -> Request:
    try:
        return _request(body, body.idempotency_key or f"{key}:{number}")
    except LedgerError as error:
        error.details["number"] = number
        raise


def _request(body: bodies.Transfer, key: str) -> Request:
    return requesting.transfer(
        uuid7(),
        key,
        texts.account_code(body.source),
        texts.account_code(body.target),
        money.parse(body.amount),
        None if body.currency is None else money.currency_code(body.currency),
        description=body.description,
        reference=body.reference,
        effective_at=body.effective_at,
        metadata=body.metadata,
    )


async def _gatherer(asked: Asked) -> Any:
    """Already there but for a ledger's first transfer, which opens its books."""
    library, ledger = asked.service.library, asked.caller.ledger
    return library.known_gatherer(ledger) or await run_in_threadpool(library.gatherer, ledger)


def _told(receipt: Receipt, response: Response) -> dict[str, Any]:
    if receipt.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return objects.posted(receipt.transaction, "replayed" if receipt.replayed else "posted")
