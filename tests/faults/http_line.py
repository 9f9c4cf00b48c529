"""How a client asks the REST API: kept connections to its processes, tokens, and what it can know of a lost answer."""

from __future__ import annotations

import json
import random
import select
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from typing import Any, NamedTuple

from ledgerctl import config
from ledgerctl.api import issuing
from tests.faults.runs import Run

HOST = "127.0.0.1"
ISSUER = "https://faults.example"
_TOKEN_S = 900
_NEW_TOKEN_S = 600
_TIMEOUT_S = 60
_HANGS_UP_S = 0.004


class NotSent(Exception):
    """Nobody listened: nothing was asked."""


class Lost(Exception):
    """The connection ended, or was ended by us, before there was an answer."""


class Answer(NamedTuple):
    status: int
    replayed: bool
    body: dict[str, Any]


class Question(NamedTuple):
    method: str
    path: str
    ledger: str
    headers: Mapping[str, str]
    body: Mapping[str, Any] | None


class Caller:
    """One client's connections, a kept one to each process, and its tokens, one for each ledger."""

    def __init__(self, run: Run, name: str) -> None:
        self._run, self._name = run, name
        self._open: dict[int, HTTPConnection] = {}
        self._tokens: dict[str, tuple[float, str]] = {}

    def close(self) -> None:
        for port in list(self._open):
            self._drop(port)

    def ask(self, question: Question, ports: Sequence[int]) -> Answer:
        """The answer of the first of the ports where somebody listens. NotSent, Lost."""
        connection, content, headers = self._ready(question, ports)
        try:
            connection.request(question.method, f"/api/v1{question.path}", content, headers)
            answer = connection.getresponse()
            body = _read(answer.status, answer.read())
        except (OSError, HTTPException) as error:
            self._drop(connection.port)
            raise Lost(repr(error)) from None
        if answer.will_close:
            self._drop(connection.port)
        return Answer(answer.status, answer.headers["Idempotent-Replayed"] == "true", body)

    def hang_up(self, question: Question, ports: Sequence[int], draw: random.Random) -> None:
        """Ask, and be gone a moment later, one time in four before all of it is sent. NotSent, and always Lost."""
        connection, content, headers = self._ready(question, ports)
        try:
            connection.putrequest(question.method, f"/api/v1{question.path}")
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                connection.putheader(name, value)
            connection.endheaders(content if draw.random() < 0.75 else content[: len(content) // 2])
            time.sleep(draw.uniform(0, _HANGS_UP_S))
        except OSError as error:
            raise Lost(repr(error)) from None
        finally:
            self._drop(connection.port)
        raise Lost("hung up")

    def _ready(self, question: Question, ports: Sequence[int]) -> tuple[HTTPConnection, bytes, dict[str, str]]:
        content = b"" if question.body is None else json.dumps(question.body).encode()
        headers = {"Authorization": f"Bearer {self._token(question.ledger)}", **question.headers}
        if content:
            headers["Content-Type"] = "application/json"
        return self._connection(ports), content, headers

    def _connection(self, ports: Sequence[int]) -> HTTPConnection:
        for port in ports:
            with suppress(OSError):
                return self._kept(port) or self._dialled(port)
        raise NotSent

    def _kept(self, port: int) -> HTTPConnection | None:
        """One that the other side has not ended: what is sent on such a one is not known to be lost."""
        connection = self._open.get(port)
        if connection is None or connection.sock is None:
            return None
        if select.select([connection.sock], [], [], 0)[0]:
            self._drop(port)
            return None
        return connection

    def _dialled(self, port: int) -> HTTPConnection:
        connection = HTTPConnection(HOST, port, timeout=_TIMEOUT_S)
        connection.connect()
        self._open[port] = connection
        return connection

    def _drop(self, port: int) -> None:
        if connection := self._open.pop(port, None):
            connection.close()

    def _token(self, ledger: str) -> str:
        issued_at, token = self._tokens.get(ledger, (0.0, ""))
        if not token or time.monotonic() > issued_at + _NEW_TOKEN_S:
            of_api = {"issuer": ISSUER, "secret_file": str(self._run.secret)}
            settings = config.load(flags={"ledger": {"name": ledger}, "api": of_api})
            scopes = ("read", "transfers:write", "reverse")
            token = issuing.issue(settings, None, self._name, scopes, _TOKEN_S)
            self._tokens[ledger] = time.monotonic(), token
        return token


def _read(status: int, content: bytes) -> dict[str, Any]:
    """What is no JSON is an error that no rule of the API foresees."""
    try:
        read: dict[str, Any] = json.loads(content)
    except ValueError:
        return {"code": f"{status} without JSON", "detail": content[:200].decode(errors="replace")}
    return read


def reserve() -> socket.socket:
    """A port that stays ours, also while nobody listens there: it is bound, and whoever reuses addresses may listen."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind((HOST, 0))
    return held
