"""A wire that can be cut: between client and server it reads the protocol, and hurts COMMITs.

    lost request    the connection ends before COMMIT reaches the server
    lost answer     the server has committed; its answer never arrives
    half request    so many bytes of COMMIT reach the server, and no more
    half answer     the client gets half of the answer to COMMIT
    late request    the client is cut off at once, COMMIT reaches the server a little later
    fatal answer    the server has committed; the client is told FATAL
    stall           COMMIT and all that the client sends after it is kept back, and nobody hangs up
    slow            the answer to COMMIT comes late, byte by byte

Messages: https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import struct
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from mmap import mmap
from pathlib import Path
from types import TracebackType

from psycopg.conninfo import conninfo_to_dict, make_conninfo

KINDS = (
    "lost request",
    "lost answer",
    "half request",
    "half answer",
    "late request",
    "fatal answer",
    "stall",
    "slow",
)
AT_REQUEST = ("lost request", "half request", "late request")
_PORT = 5432
_COUNT = struct.Struct("=q")
_LATE_S = 0.05
_BYTE_S = 0.002
_FATAL = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"


class Proxy:
    """A process of its own that listens on a socket in `directory`. `rate` of all COMMITs are hurt, in these ways."""

    def __init__(self, conninfo: str, directory: Path, kinds: Sequence[str], rate: float, seed: int) -> None:
        self._server = conninfo_to_dict(conninfo)
        self._directory = directory
        self._kinds = kinds
        self._rate = rate
        self._draw = random.Random(seed)
        self._counts = mmap(-1, _COUNT.size * len(KINDS))
        self._pid = 0

    @property
    def conninfo(self) -> str:
        """What clients are given in place of the server's."""
        return make_conninfo("", **{**self._server, "host": str(self._directory), "port": _PORT, "hostaddr": ""})

    def fired(self) -> dict[str, int]:
        """How often each has happened."""
        counts = {kind: _COUNT.unpack_from(self._counts, place * _COUNT.size)[0] for place, kind in enumerate(KINDS)}
        return {kind: count for kind, count in counts.items() if count}

    def __enter__(self) -> Proxy:
        self._pid = os.fork()
        if not self._pid:
            try:
                asyncio.run(self._serve())
            except BaseException:  # a child must not run on in its parent's code
                traceback.print_exc()
            finally:
                os._exit(1)
        while not self._socket.exists():
            if os.waitpid(self._pid, os.WNOHANG)[0]:
                raise ChildProcessError("the proxy ended before it listened")
            time.sleep(0.005)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        self._socket.unlink()

    @property
    def _socket(self) -> Path:
        return self._directory / f".s.PGSQL.{_PORT}"

    async def _serve(self) -> None:
        server = await asyncio.start_unix_server(self._accept, self._socket)
        await server.serve_forever()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = Path(str(self._server["host"])) / f".s.PGSQL.{self._server['port']}"
        try:
            from_server, to_server = await asyncio.open_unix_connection(upstream)
        except OSError:
            writer.close()
            return
        wire = _Wire(self, reader, writer, from_server, to_server)
        with suppress(OSError, asyncio.IncompleteReadError, _Cut):
            await wire.run()
        for end in (writer, to_server):
            with suppress(OSError, RuntimeError):
                end.transport.abort()

    def choose(self) -> str:
        """What is to happen to a COMMIT; empty for nothing."""
        return self._draw.choice(self._kinds) if self._draw.random() < self._rate else ""

    def count(self, kind: str) -> None:
        at = KINDS.index(kind) * _COUNT.size
        _COUNT.pack_into(self._counts, at, _COUNT.unpack_from(self._counts, at)[0] + 1)


class _Cut(Exception):
    """The connection is to end here."""


class _Wire:
    """One connection, both ways."""

    def __init__(
        self,
        proxy: Proxy,
        from_client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        from_server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._from_client, self._to_client = from_client, to_client
        self._from_server, self._to_server = from_server, to_server
        self._commits: set[bytes] = set()
        """The prepared statements that are COMMIT."""
        self._fate = ""
        """Of the COMMIT that is on its way."""

    async def run(self) -> None:
        length = await self._from_client.readexactly(4)
        rest = await self._from_client.readexactly(int.from_bytes(length) - 4)
        self._to_server.write(length + rest)
        tasks = [asyncio.ensure_future(self._requests()), asyncio.ensure_future(self._answers())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _requests(self) -> None:
        while True:
            message = await _message(self._from_client)
            if self._is_commit(message):
                self._fate = self._proxy.choose()
                await self._hurt_request(message)
            self._to_server.write(message)
            if self._from_client._buffer:  # type: ignore[attr-defined]  # more of it is here already: send it in one go
                continue
            await self._to_server.drain()

    async def _hurt_request(self, message: bytes) -> None:
        if self._fate == "stall":
            self._proxy.count("stall")
            await asyncio.Event().wait()
        if self._fate not in AT_REQUEST:
            return
        fate, self._fate = self._fate, ""
        self._proxy.count(fate)
        if fate == "half request":
            self._to_server.write(message[: len(message) // 2])
            await self._to_server.drain()
        elif fate == "late request":
            self._to_client.transport.abort()
            await asyncio.sleep(_LATE_S)
            rest = message + await self._rest()
            self._to_server.write(rest)
            await self._to_server.drain()
            await asyncio.sleep(_LATE_S)
        raise _Cut

    async def _rest(self) -> bytes:
        """What the client had sent behind COMMIT."""
        with suppress(asyncio.TimeoutError, OSError):
            return await asyncio.wait_for(self._from_client.read(65536), 0.01)
        return b""

    async def _answers(self) -> None:
        while True:
            message = await _message(self._from_server)
            if self._fate and message[:1] == b"C" and message[5:-1] == b"COMMIT":
                message = await self._hurt_answer(message)
            self._to_client.write(message)
            if message[:1] == b"Z":
                await self._to_client.drain()

    async def _hurt_answer(self, message: bytes) -> bytes:
        """What is left to pass on."""
        fate, self._fate = self._fate, ""
        self._proxy.count(fate)
        if fate == "slow":
            for byte in message:
                await asyncio.sleep(_BYTE_S)
                self._to_client.write(bytes([byte]))
            return b""
        if fate == "half answer":
            self._to_client.write(message[: len(message) // 2])
        elif fate == "fatal answer":
            self._to_client.write(b"E" + struct.pack("!I", len(_FATAL) + 4) + _FATAL)
        await self._to_client.drain()
        raise _Cut

    def _is_commit(self, message: bytes) -> bool:
        """Simple query, or the binding of a statement that was parsed as COMMIT."""
        kind, body = message[:1], message[5:]
        if kind == b"Q":
            return body == b"COMMIT\0"
        if kind == b"P":
            name, query, _ = body.split(b"\0", 2)
            (self._commits.add if query == b"COMMIT" else self._commits.discard)(name)
        return kind == b"B" and body.split(b"\0", 2)[1] in self._commits


async def _message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(5)
    return head + await reader.readexactly(int.from_bytes(head[1:]) - 4)
