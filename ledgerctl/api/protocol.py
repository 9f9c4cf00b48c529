"""HTTP/1.1 by uvicorn's fast parser, which by itself keeps a head of any size."""

from __future__ import annotations

from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_MAX = 16_384
"""So many bytes may the request's line and its headers have together."""
_TOO_LARGE = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
_ANSWER = f"HTTP/1.1 {_TOO_LARGE.value} {_TOO_LARGE.phrase}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


class Protocol(HttpToolsProtocol):
    """Of one connection. Whoever sends a larger head gets a 431 and is hung up on."""

    _in_head = True
    _head = 0
    """So many bytes of it were fed to the parser."""

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

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head, self._head = True, 0
        super().on_message_complete()
