"""The API as a server on this test's database, and callers with tokens."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from socket import IPPROTO_TCP, TCP_NODELAY, create_server
from typing import Any
from uuid import uuid4

import httpx2 as httpx
import pytest
from psycopg.rows import DictRow, dict_row

pytest.importorskip("fastapi", reason="the extra `api` is not installed")

import uvicorn
from fastapi import FastAPI

from ledgerctl import config
from ledgerctl.api import app, issuing
from ledgerctl.api.protocol import Protocol
from ledgerctl.db.connection import Connection
from tests.conftest import database_like

SECRET = "0123456789abcdef0123456789abcdef"
ISSUER = "https://issuer.example"
EVERYTHING = list(issuing.SCOPES)


@pytest.fixture
def secret(directory: Path) -> Path:
    return secret_in(directory)


def secret_in(directory: Path) -> Path:
    file = directory / "secret"
    file.write_text(SECRET)
    file.chmod(0o600)
    return file


def configured(conninfo: str, secret: Path, **sections: Mapping[str, Any]) -> config.Configuration:
    """A configuration with which the API can be served, with other settings than the default where given."""
    given = {"database": {"url": conninfo}, "api": {"issuer": ISSUER, "secret_file": str(secret)}}
    return config.load(None, "", {name: {**given.get(name, {}), **sections.get(name, {})} for name in given | sections})


def issued(secret_file: str, subject: str, scopes: Sequence[str], ledger: str = "main") -> str:
    """A token of ours."""
    of_api = {"issuer": ISSUER, "secret_file": secret_file}
    return issuing.issue(config.load(flags={"ledger": {"name": ledger}, "api": of_api}), None, subject, scopes, 600)


class Client(httpx.Client):
    """A caller with a token, who gives every change a key of its own where none is given."""

    def __init__(self, app_: FastAPI, settings: config.Api, url: str) -> None:
        super().__init__(base_url=url, trust_env=False, timeout=60)
        self.app, self._settings = app_, settings
        self.become("tester")

    def token(self, subject: str, *scopes: str, ledger: str = "main") -> str:
        return issued(self._settings.secret_file, subject, scopes or EVERYTHING, ledger)

    def become(self, subject: str, *scopes: str, ledger: str = "main") -> None:
        self.headers["Authorization"] = f"Bearer {self.token(subject, *scopes, ledger=ledger)}"

    def send_change(self, path: str, body: Any = None, key: str | None = None, **headers: str) -> httpx.Response:
        content = None if body is None else json.dumps(body)
        given = {"Content-Type": "application/json", "Idempotency-Key": key or f"key-{uuid4()}", **headers}
        return self.post(f"/api/v1{path}", content=content, headers=given)

    def account(self, code: str, key: str | None = None, **attributes: Any) -> httpx.Response:
        return self.send_change("/accounts", {"code": code, "currency": "EUR", **attributes}, key)

    def transfer(self, source: str, target: str, amount: Any, key: str | None = None, **others: Any) -> httpx.Response:
        return self.send_change("/transfers", {"from": source, "to": target, "amount": amount, **others}, key)

    def balance(self, code: str) -> str:
        answer = self.get(f"/api/v1/accounts/{code}/balance")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["balance"])


@contextmanager
def served(configuration: config.Configuration) -> Iterator[Client]:
    """A client for a server in a thread of this process."""
    made = app.create(configuration, "tests")
    listening = create_server(("127.0.0.1", 0))
    listening.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)  # else each answer waits 40 ms for the client's delayed ACK
    server = uvicorn.Server(uvicorn.Config(made, http=Protocol, log_config=None, access_log=False, server_header=False))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.005)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with Client(made, configuration.settings.api, url) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


Serve = Callable[..., Client]


@pytest.fixture
def serve(conninfo: str, secret: Path) -> Iterator[Serve]:
    """Serves the API with other settings than the default: `serve(database={"lock_timeout_ms": 50})`."""
    with ExitStack() as stack:
        yield lambda **sections: stack.enter_context(served(configured(conninfo, secret, **sections)))


@pytest.fixture
def api(serve: Serve) -> Client:
    return serve()


@pytest.fixture
def alice(api: Client) -> Client:
    """The API with a bank, and with Alice and Bob, of whom Alice has 100.00."""
    filled(api)
    return api


@pytest.fixture(scope="module")
def unchanged(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """The API as of `alice`, one for all tests of a file that are refused: none of them may change what others see."""
    file = secret_in(tmp_path_factory.mktemp("unchanged"))
    with database_like(server) as conninfo, served(configured(conninfo, file)) as api:
        filled(api)
        yield api


def filled(api: Client) -> None:
    for code, attributes in (("bank", {"type": "asset"}), ("alice", {}), ("bob", {})):
        assert api.account(code, **attributes).status_code == 201
    assert api.transfer("bank", "alice", "100.00", "deposit").status_code == 201


def is_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document that it must be."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["type"] == f"urn:ledgerctl:problem:{code}"
    assert problem["title"]
    assert problem["detail"]
    return problem


@contextmanager
def database_away(conn: Connection) -> Iterator[None]:
    """Nobody else has a connection to the database, or gets one."""
    name = conn.info.dbname
    conn.execute("UPDATE pg_database SET datallowconn = false WHERE datname = %s", [name])
    others = "FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
    conn.execute(f"SELECT pg_terminate_backend(pid) {others}", [name])
    try:
        yield
    finally:
        conn.execute("UPDATE pg_database SET datallowconn = true WHERE datname = %s", [name])


def audit_lines(conn: Connection, action: str) -> list[DictRow]:
    """Of that action, the oldest first."""
    cursor = conn.cursor(row_factory=dict_row)
    return cursor.execute("SELECT * FROM audit_logs WHERE action = %s ORDER BY id", [action]).fetchall()
