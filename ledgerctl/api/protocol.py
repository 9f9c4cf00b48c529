"""HTTP/1.1 by uvicorn's fast parser, which by itself keeps a head of any size."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_MAX = 16_384
"""So many bytes may the request's line and its headers have together."""
_TOO_LARGE = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
_ANSWER = f"HTTP/1.1 {_TOO_LARGE.value} {_TOO_LARGE.phrase}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


REQUEST_S = 30
"""So long may a request take to come in, from its first byte, or from the beginning of the connection, to its last."""


class Protocol(HttpToolsProtocol):
    """Of one connection. Whoever sends a larger head gets a 431 and is hung up on, and so is who takes too long."""

    _in_head = True
    _head = 0
    """So many bytes of it were fed to the parser."""
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._hurry()

    def connection_lost(self, exc: Exception | None) -> None:
        self._came()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Whoever has not sent all of his request is not waited for: nothing was taken yet."""
        if self.cycle is not None and self.cycle.more_body and not self.pipeline:
            self.transport.close()
        else:
            super().shutdown()

    def data_received(self, data: bytes) -> None:
        while self._in_head and data and not self.transport.is_closing():
            part, data = data[: HEAD_MAX - self._head], data[HEAD_MAX - self._head :]
            if not part:
                self.transport.write(_ANSWER)
                self.transport.close()
                return
            self._head += len(part)
            super().data_received(part)
        if data and not self.transport.is_closing():
            super().data_received(data)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._hurry()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head, self._head = True, 0
        self._came()
        super().on_message_complete()

    def _hurry(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(REQUEST_S, self.transport.close)

    def _came(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
