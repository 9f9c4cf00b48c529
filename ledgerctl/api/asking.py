"""What every route asks of a request first: who sends it, whether he may, how often he did, and under which key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any, NamedTuple, TypeVar

from fastapi import Depends, Header, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from ledgerctl import tracing
from ledgerctl.api import bodies
from ledgerctl.api.allowing import Allowance
from ledgerctl.api.library import Library
from ledgerctl.api.problems import Problem
from ledgerctl.api.tokens import Caller, Guard
from ledgerctl.core import texts
from ledgerctl.db.audit import By
from ledgerctl.formats import objects
from ledgerctl.services.books import Books
from ledgerctl.services.observing import Observatory
from ledgerctl.services.payments import Receipt

T = TypeVar("T")

REPLAYED = "Idempotent-Replayed"
KEY_HELP = "One key a change, kept for ever: the same request again under it is answered, and not made again."


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": bodies.Problem, "description": words}
    for status, words in (
        (400, "The request cannot be understood, or lacks its Idempotency-Key."),
        (401, "There is no token, or not a good one."),
        (403, "The token lacks the scope."),
        (404, "There is no such account or transaction."),
        (409, "It contradicts what is there, or what it needs is busy: the same again is safe."),
        (413, "The body is too large."),
        (415, "The body is not said to be JSON."),
        (422, "The ledger refuses it, or the key was used for another request."),
        (429, "Too many requests."),
        (503, "The database is away, or what became of the request is not known: the same again is safe."),
    )
}


class Service(NamedTuple):
    """What the routes are given."""

    library: Library
    guard: Guard
    allowance: Allowance
    list_max: int
    page_max: int
    observatory: Observatory
    exposed: Callable[[str], tuple[bytes, str]]
    """Metrics, as an Accept header wants them, and their media type."""


class Asked(NamedTuple):
    """One request that may be answered."""

    service: Service
    caller: Caller
    request_id: str

    @property
    def by(self) -> By:
        return By(self.caller.subject, self.request_id, tracing.trace_id())


def by_books(asked: Asked) -> Books:
    """The books of this thread, as the caller uses them."""
    books = asked.service.library.books(asked.caller.ledger)
    return replace(books, actor=asked.caller.subject, request_id=asked.request_id)


def told(receipt: Receipt) -> Response:
    """One transaction, with where it is and whether it was there before in the headers."""
    headers = {"Location": f"/api/v1/transactions/{receipt.transaction.id}"}
    if receipt.replayed:
        headers[REPLAYED] = "true"
    return changed(objects.posted(receipt.transaction, receipt.status), headers)


def changed(body: Mapping[str, Any], headers: Mapping[str, str]) -> Response:
    """The answer to a change, as it is: FastAPI would look at each of its fields once more."""
    return JSONResponse(body, HTTPStatus.CREATED, headers)


def service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def allowed(scope: str) -> Any:
    """A dependency: the caller, if his token has the scope, and he has not asked too often."""

    async def ask(request: Request) -> Asked:
        service = service_of(request)
        # Two such headers are none: somebody in between may have looked at the other one.
        header = ", ".join(request.headers.getlist("authorization")) or None
        caller = service.guard.known(header)
        if caller is None:
            caller = await run_in_threadpool(service.guard.caller, header)
        if scope not in caller.scopes:
            challenge = {"WWW-Authenticate": f'Bearer realm="ledger", error="insufficient_scope", scope="{scope}"'}
            raise Problem(HTTPStatus.FORBIDDEN, "FORBIDDEN", f"the token lacks the scope {scope}", challenge)
        request.state.caller = caller
        request.state.limits = await service.allowance.use(caller, _bare(request.headers.get("idempotency-key")))
        return Asked(service, caller, request.state.request_id)

    ask.scope = scope  # type: ignore[attr-defined]  # a test looks for it: a route without one is open
    return Depends(ask)


def public(endpoint: T) -> T:
    """Marks a route that needs no token: it tells nothing of anybody."""
    endpoint.public = True  # type: ignore[attr-defined]  # a test looks for it
    return endpoint


def _bare(value: str | None) -> str:
    """Of a header: blanks around it are no part of it (RFC 9110, 5.5)."""
    return (value or "").strip(" \t")


async def _key(
    request: Request, _header: Annotated[str | None, Header(alias="idempotency-key", description=KEY_HELP)] = None
) -> str:
    # The parameter is for OpenAPI; async, since FastAPI calls what is not from a thread of its pool.
    key = _bare(request.headers.get("idempotency-key"))
    if not key:
        raise Problem(HTTPStatus.BAD_REQUEST, "NO_IDEMPOTENCY_KEY", "a change needs the header Idempotency-Key")
    if len(request.headers.getlist("idempotency-key")) > 1:
        raise Problem(HTTPStatus.BAD_REQUEST, "BAD_REQUEST", "there is more than one header Idempotency-Key")
    if not (key.isascii() and key.isprintable()):  # what else travels in a header may arrive as another key
        raise Problem(HTTPStatus.BAD_REQUEST, "BAD_TEXT", "Idempotency-Key may hold printable ASCII only")
    return texts.idempotency_key(key)


Key = Annotated[str, Depends(_key)]

AccountCode = Annotated[
    str, Path(description="The account's code.", examples=["customers:alice"], pattern=f"^{texts.CODE.pattern}$")
]

Reads = Annotated[Asked, allowed("read")]
CreatesAccounts = Annotated[Asked, allowed("accounts:write")]
Transfers = Annotated[Asked, allowed("transfers:write")]
Reverses = Annotated[Asked, allowed("reverse")]
Measures = Annotated[Asked, allowed("metrics")]
