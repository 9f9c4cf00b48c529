"""Errors as problem documents (RFC 9457), with the codes that the command line has."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from traceback import extract_tb
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ledgerctl import logs
from ledgerctl.api import bodies
from ledgerctl.errors import DatabaseUnavailable, Exit, IdempotencyConflict, LedgerError, OutcomeUnknown, Refusal

MEDIA_TYPE = "application/problem+json"
RETRY_S = 1
"""When it is worth trying again what was busy."""
ERRORS_MAX = 20
"""So many things that are wrong with a body are told."""
TRACE_MAX = 12
"""So many of the innermost calls of a bug are logged."""

_STATUSES = {
    Exit.USAGE: HTTPStatus.BAD_REQUEST,
    Exit.REFUSED: HTTPStatus.UNPROCESSABLE_ENTITY,
    Exit.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Exit.CONFLICT: HTTPStatus.CONFLICT,
    Exit.TRY_AGAIN: HTTPStatus.CONFLICT,
    Exit.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Exit.OUTCOME_UNKNOWN: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""What is not here is ours to mend, and none of the caller's affair."""


class Problem(HTTPException):
    """What is wrong with a request before any service is asked.

    An HTTPException: whatever else is raised while a body is read, FastAPI takes for a body that cannot be read.
    """

    def __init__(self, status: HTTPStatus, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, detail, headers)
        self.status, self.code = status, code


def status_of(error: LedgerError, *, changing: bool) -> HTTPStatus:
    """Of a change, an account that is not there is no wrong address: the address was right."""
    if isinstance(error, IdempotencyConflict) or (
        changing and isinstance(error, Refusal) and error.exit_code is Exit.NOT_FOUND
    ):
        return HTTPStatus.UNPROCESSABLE_ENTITY
    return _STATUSES.get(error.exit_code, HTTPStatus.INTERNAL_SERVER_ERROR)


def shape(error: LedgerError, *, changing: bool) -> dict[str, Any]:
    """The document for an error of the ledger. One that is ours tells nothing but its code, and one of the database
    nothing of where that is."""
    status = status_of(error, changing=changing)
    if status is HTTPStatus.INTERNAL_SERVER_ERROR:
        return _document(status, error.code, "the server has failed; its log says how")
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        return _document(status, error.code, error.message.partition(":")[0]) | {"hint": error.hint, "details": {}}
    told = error.as_json()["error"]
    return _document(status, error.code, told["message"]) | {"hint": told["hint"], "details": told["details"]}


# Async though they wait for nothing: what is not, Starlette calls in a thread of its pool.


async def of_ledger(request: Request, error: Exception) -> Response:
    assert isinstance(error, LedgerError)  # noqa: S101 - registered for these
    document = shape(error, changing=request.method == "POST")
    if document["status"] in (HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.SERVICE_UNAVAILABLE):
        logs.event("failed", level=logging.ERROR, code=error.code, detail=str(error))
    busy = error.exit_code in (Exit.TRY_AGAIN, Exit.UNAVAILABLE, Exit.OUTCOME_UNKNOWN)
    return _response(document, {"Retry-After": str(RETRY_S)} if busy else {})


async def of_request(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 - registered for these
    return _response(_document(error.status, error.code, error.detail), error.headers or {})


async def of_validation(_request: Request, error: Exception) -> Response:
    """Where and what, without the values: they may be anything."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for these
    wrong = [{"at": _place(one["loc"]), "problem": one["msg"]} for one in error.errors()[:ERRORS_MAX]]
    detail = "; ".join(f"{one['at']}: {one['problem']}" for one in wrong[:3])
    return _response(_document(HTTPStatus.BAD_REQUEST, "BAD_REQUEST", detail) | {"errors": wrong}, {})


def _place(location: Sequence[str | int]) -> str:
    """As it is in the body, without the name of which of two forms it was read as."""
    return ".".join(str(part) for number, part in enumerate(location) if number != 1 or part not in bodies.FORMS)


async def of_http(_request: Request, error: Exception) -> Response:
    """No such path, or not by that method."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for these
    status = HTTPStatus(error.status_code)
    return _response(_document(status, status.name, status.phrase), error.headers or {})


def of_stop(request: Request) -> Response:
    """The server is being stopped, and has waited for long enough."""
    code = OutcomeUnknown.code if request.method == "POST" else DatabaseUnavailable.code
    document = _document(HTTPStatus.SERVICE_UNAVAILABLE, code, "this server is being stopped: the same again is safe")
    return _response(document, {"Retry-After": str(RETRY_S)})


def of_bug(error: Exception) -> Response:
    """The log has where it was, without the words of the error, which may be anybody's; the caller has nothing."""
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    trace = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in extract_tb(error.__traceback__)[-TRACE_MAX:]]
    logs.event("failed", level=logging.ERROR, code="BUG", error=type(error).__name__, trace=trace)
    return _response(_document(status, "BUG", "the server has failed; its log says how"), {})


def refused(error: LedgerError) -> dict[str, Any]:
    """One of a list that was refused, while others were posted."""
    return {"status": "refused", "problem": shape(error, changing=True)}


def too_many(most: int) -> Problem:
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    return Problem(
        status, "LIST_TOO_LONG", f"a list may have {most} transfers; split it, each part with a key of its own"
    )


def _document(status: HTTPStatus, code: str, detail: str) -> dict[str, Any]:
    return {"type": f"urn:ledgerctl:problem:{code}", "title": status.phrase, "status": int(status), "code": code,
            "detail": detail}  # fmt: skip


def _response(document: Mapping[str, Any], headers: Mapping[str, str]) -> Response:
    return _Json(document, document["status"], dict(headers), MEDIA_TYPE)


class _Json(JSONResponse):
    """What a caller sent may come back in a problem, and half a surrogate pair cannot be sent as UTF-8: escaped."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=True, separators=(",", ":")).encode()
