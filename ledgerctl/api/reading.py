"""How a body is read: by a stricter reader than FastAPI's own, and with one answer to what it cannot read."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

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
            kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != _JSON and await exact.body():
                detail = f"send the body as JSON, with Content-Type: {_JSON}"
                raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "NOT_JSON", detail)
            return await handle(exact)

        return read


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
