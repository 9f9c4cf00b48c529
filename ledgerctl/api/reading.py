"""How a body is read: by a stricter reader than FastAPI's own, and with one answer to what it cannot read."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from ledgerctl.api.problems import Problem

_JSON = "application/json"


class Route(APIRoute):
    """Of requests that may have a body. Problem 415 for one that is not said to be JSON."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def read(request: Request) -> Response:
            exact = _Exact(request.scope, request.receive)  # which keeps the body: it can be received once only
            await _require_json(exact)
            return await handle(exact)

        return read


class Direct(Route):
    """Answered without FastAPI's solver, which takes as long as the rest together; OpenAPI tells of it all the same.

    Its function is given a body, and what dependencies make of the request alone.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)
            return
        request = _Exact(scope, receive)
        await _require_json(request)
        given = {one.name: await one.call(request) for one in self.dependant.dependencies if one.name and one.call}
        assert self.body_field is not None  # noqa: S101 - it is for requests that have one
        given[self.body_field.name] = await _body(request, self.body_field)
        response = await self.endpoint(**given)
        await response(scope, receive, send)


async def _require_json(request: Request) -> None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _JSON and await request.body():
        detail = f"send the body as JSON, with Content-Type: {_JSON}"
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "NOT_JSON", detail)


async def _body(request: Request, field: Any) -> Any:
    """As FastAPI reads it, and with the same errors: RequestValidationError."""
    try:
        sent = await request.json() if await request.body() else None
    except json.JSONDecodeError as error:
        about = {"type": "json_invalid", "msg": "JSON decode error", "input": {}, "ctx": {"error": error.msg}}
        raise RequestValidationError([{**about, "loc": ("body", error.pos)}], body=error.doc) from None
    if sent is None:
        raise RequestValidationError([{"type": "missing", "loc": ("body",), "msg": "Field required", "input": None}])
    body, errors = field.validate(sent, {}, loc=("body",))
    if errors:
        raise RequestValidationError(errors, body=sent)
    return body


class _Exact(Request):
    async def json(self) -> Any:
        """Problem 400 for what names a field twice: whoever looked at it before us may go by the other one."""
        try:
            return json.loads((await self.body()).decode(), object_pairs_hook=_once)
        except json.JSONDecodeError:  # FastAPI says where
            raise
        except (ValueError, RecursionError) as error:
            detail = f"the body cannot be read as JSON in UTF-8: {type(error).__name__}"
            raise Problem(HTTPStatus.BAD_REQUEST, "BAD_REQUEST", detail) from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Problem(HTTPStatus.BAD_REQUEST, "BAD_REQUEST", "the body names a field twice")
    return found
