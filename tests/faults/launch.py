"""`python -m tests.faults.launch ARGS`: the command line itself, which dies where LEDGERCTL_FAILPOINT says.

As `serve`, it says on the board of its run where it is, and writes down what it takes.
"""

from __future__ import annotations

import os
from typing import Any

from ledgerctl.__main__ import main
from tests.faults import points


def write_down_what_is_taken(path: str) -> None:
    """The id of each request, as soon as the application has all of it: it must be answered, even by one that is
    stopped."""
    from ledgerctl.api.middleware import Around

    answer = Around.__call__
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    async def taking(self: Any, scope: Any, receive: Any, send: Any) -> None:
        marks = [value for name, value in scope.get("headers", ()) if name == b"x-request-id"]

        async def received() -> Any:
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body"):
                os.write(file, b"".join(mark + b"\n" for mark in marks))
            return message

        await answer(self, scope, received, send)

    Around.__call__ = taking  # type: ignore[method-assign]


if planted := os.environ.get(points.PLANTED, ""):
    from tests.faults.planted import BUGS, infect

    infect(next(bug for bug in BUGS if bug.number == int(planted)))
if place := os.environ.get(points.PLACE, ""):
    write_down_what_is_taken(os.environ[points.TAKEN])
points.watch(points.slot_at(place) if place else None)
main()
