"""Around every request: its id and trace, the size that it may have, the headers of its answer, a line in the log."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any
from uuid import UUID

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ledgerctl import logs, tracing
from ledgerctl.api import problems
from ledgerctl.api.problems import Problem

SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Strict-Transport-Security": "max-age=31536000",
}
"""Unless an answer says something else."""
GONE = 499
"""The status, in the log and the counts alone, of a caller who hung up before all of the request had come."""
_DIGITS_MAX = 18
PASS_S, PASS_MAX = 2, 16 * 2**20
"""For so long, and so many bytes, what is left of a body that is too large is passed over."""
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def _raw(fields: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """As ASGI has them."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in fields.items()]


_SECURITY = _raw(SECURITY)

Counted = Callable[[str, str, int, float], None]
"""Told of each answer: the route's template, the method, the status, and how many seconds it took."""


class Around:
    """The outermost layer, in plain ASGI: it costs a few microseconds."""

    def __init__(self, app: ASGIApp, body_max: int, counted: Counted) -> None:
        self._app, self._body_max, self._counted = app, body_max, counted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), [0]
        headers = Headers(scope=scope)
        state: MutableMapping[str, Any] = scope.setdefault("state", {})
        given = headers.get("x-request-id", "")
        state["request_id"] = given if _ID.fullmatch(given) else _drawn()
        caller = tracing.join(headers.get("traceparent", ""))

        async def answered(message: Message) -> None:
            if message["type"] == "http.response.start":
                status[0] = message["status"]
                said = dict(message["headers"])
                ours = {**state.get("limits", {}), "X-Request-Id": state["request_id"]}
                if caller is not None:
                    ours["traceparent"] = headers["traceparent"]
                unsaid = [field for field in _SECURITY if field[0] not in said]
                message["headers"] = [*message["headers"], *unsaid, *_raw(ours)]
            await send(message)

        try:
            await self._answer(scope, receive, answered, headers)
        except asyncio.CancelledError:  # the server is being stopped, and has waited for long enough
            if status[0]:  # it is half sent
                raise
            await problems.of_stop(Request(scope))(scope, receive, answered)
        except ClientDisconnect:  # it has gone before it had sent all of its request: nobody is to be answered
            status[0] = GONE
        except Exception as error:
            if status[0]:
                raise
            await problems.of_bug(error)(scope, receive, answered)
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "none")
            self._counted(route, scope["method"], status[0], seconds)
            _log(scope, state, route, status[0], seconds)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        length = headers.get("content-length", "")
        if length.isdecimal() and (len(length) > _DIGITS_MAX or int(length) > self._body_max):
            problem = await problems.of_request(Request(scope), _too_large(self._body_max))
            problem.headers["Connection"] = "close"

            async def unended(message: Message) -> None:
                await send({**message, "more_body": True} if message["type"] == "http.response.body" else message)

            await problem(scope, receive, unended)
            await _pass_over(receive)
            await send({"type": "http.response.body", "body": b""})
            return
        await self._app(scope, _limited(receive, self._body_max), send)


def _drawn() -> str:
    """A request's id: a name, and no secret, for which the system need not be asked."""
    return str(UUID(int=random.getrandbits(128), version=4))


def _limited(receive: Receive, most: int) -> Receive:
    """No more of a body than `most` bytes is taken in, where no header says how long it is."""
    taken = 0

    async def take() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > most:
            if message.get("more_body", False):
                await _pass_over(receive)
            raise _too_large(most)
        return message

    return take


async def _pass_over(receive: Receive) -> None:
    """What is left of a body, within limits: a connection that is closed before it is read is reset, and many callers
    would not get to read the answer."""
    passed = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(PASS_S):
            while passed < PASS_MAX:
                message = await receive()
                passed += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return


def _too_large(most: int) -> Problem:
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    return Problem(status, "BODY_TOO_LARGE", f"a request's body may have {most} bytes")


def _log(scope: Scope, state: MutableMapping[str, Any], route: str, status: int, seconds: float) -> None:
    """The template, not the path: that holds codes, which may be people's."""
    caller = state.get("caller")
    logs.event(
        "answered",
        level=logging.INFO if status < HTTPStatus.INTERNAL_SERVER_ERROR else logging.ERROR,
        method=scope["method"],
        route=route,
        status=status,
        duration_s=round(seconds, 6),
        request_id=state["request_id"],
        trace_id=tracing.trace_id(),
        actor=None if caller is None else caller.subject,
        ledger=None if caller is None else caller.ledger,
    )
