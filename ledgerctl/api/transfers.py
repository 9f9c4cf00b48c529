"""Money moves: one transfer, or several at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool

from ledgerctl.api import bodies, problems
from ledgerctl.api.asking import PROBLEMS, REPLAYED, Asked, Key, Transfers, by_books, changed, told
from ledgerctl.api.reading import Direct
from ledgerctl.core import money, requesting, texts
from ledgerctl.core.model import Request
from ledgerctl.errors import LedgerError
from ledgerctl.formats import objects
from ledgerctl.ids import uuid7, uuid7s
from ledgerctl.services import payments
from ledgerctl.services.gathering import Answer, Gatherer
from ledgerctl.services.payments import Receipt

router = APIRouter(prefix="/api/v1", tags=["transfers"], responses=PROBLEMS, route_class=Direct)


@router.post("/transfers", status_code=201, response_model=bodies.Posted | bodies.Results)
async def transfer(body: bodies.OneOrSeveral, asked: Transfers, key: Key) -> Response:
    """Move money from one account to another, once, whatever happens; or several times at once.

    Those that arrive at the same time share a transaction, and each has an outcome of its own. Of a list in the mode
    `all`, every one is posted or none; in the mode `each`, each stands by itself.
    """
    if isinstance(body, bodies.Transfers):
        return await run_in_threadpool(_several, body, key, asked)
    request = _request(uuid7(), body, key)
    gatherer = await _gatherer(asked)
    loop = asyncio.get_running_loop()
    receipt: asyncio.Future[Receipt] = loop.create_future()
    gatherer.submit(request, asked.by, receipt, _tell)
    return told(await receipt)


def _tell(told: Sequence[tuple[asyncio.Future[Receipt], Answer]]) -> None:
    """All of them at once, so that the loop is woken once."""
    with suppress(RuntimeError):  # the loop has ended, and with it whoever asked
        told[0][0].get_loop().call_soon_threadsafe(_hear, told)


def _hear(told: Sequence[tuple[asyncio.Future[Receipt], Answer]]) -> None:
    for receipt, answer in told:
        if receipt.done():  # whoever asked has gone away
            continue
        if isinstance(answer, Receipt):
            receipt.set_result(answer)
        else:
            receipt.set_exception(answer)


def _several(body: bodies.Transfers, key: str, asked: Asked) -> Response:
    if len(body.transfers) > asked.service.list_max:
        raise problems.too_many(asked.service.list_max)
    requests = _requests(body.transfers, key)
    books = by_books(asked)
    answers: Sequence[Receipt | LedgerError] = (
        payments.post_each(books, requests) if body.mode == "each" else payments.post_all(books, requests)
    )
    replayed = all(isinstance(answer, Receipt) and answer.replayed for answer in answers)
    return changed({"results": list(map(_result, answers))}, {REPLAYED: "true"} if replayed else {})


def _result(answer: Receipt | LedgerError) -> dict[str, Any]:
    if isinstance(answer, LedgerError):
        return problems.refused(answer)
    return objects.posted(answer.transaction, answer.status)


def _requests(listed: Sequence[bodies.Listed], key: str) -> list[Request]:
    """All at once, as rows of a file are read; each by itself only if one of them is not in order, to say which."""
    ids = uuid7s(len(listed))
    keys = [one.idempotency_key or f"{key}:{number}" for number, one in enumerate(listed, 1)]
    return _columns(ids, keys, listed) or [
        _numbered(number, *given) for number, given in enumerate(zip(ids, listed, keys, strict=True), 1)
    ]


def _columns(ids: Sequence[UUID], keys: Sequence[str], listed: Sequence[bodies.Listed]) -> list[Request] | None:
    if any(one.metadata is not None for one in listed):
        return None
    with suppress(LedgerError):
        columns = requesting.Columns(
            ids,
            keys,
            [texts.account_code(one.source) for one in listed],
            [texts.account_code(one.target) for one in listed],
            [money.parse(one.amount) for one in listed],
            [None if one.currency is None else money.currency_code(one.currency) for one in listed],
            [one.description for one in listed],
            [one.reference for one in listed],
            [one.effective_at for one in listed],
            [None] * len(listed),
        )
        return requesting.transfers(columns, None)
    return None


def _numbered(number: int, transaction_id: UUID, body: bodies.Listed, key: str) -> Request:
    try:
        return _request(transaction_id, body, key)
    except LedgerError as error:
        error.details["number"] = number
        raise


def _request(transaction_id: UUID, body: bodies.Transfer, key: str) -> Request:
    return requesting.transfer(
        transaction_id,
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


async def _gatherer(asked: Asked) -> Gatherer:
    """Already there but for a ledger's first transfer, which opens its books."""
    library, ledger = asked.service.library, asked.caller.ledger
    known = library.known_gatherer(ledger)
    return await run_in_threadpool(library.gatherer, ledger) if known is None else known
