"""ledgerctl serve as a process: what it says, how it ends, and what keeps it from beginning."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2 as httpx
import psycopg
import pytest
from typer.testing import CliRunner

from ledgerctl.api.protocol import HEAD_MAX
from ledgerctl.cli.app import app as cli
from ledgerctl.db.connection import Connection
from ledgerctl.errors import Exit
from tests.api.conftest import EVERYTHING, ISSUER, is_problem, issued

Surroundings = dict[str, str]


@pytest.fixture
def surroundings(conninfo: str, secret: Path, directory: Path) -> Surroundings:
    return {
        "LEDGERCTL_DATABASE_URL": conninfo,
        "LEDGERCTL_API_ISSUER": ISSUER,
        "LEDGERCTL_API_SECRET_FILE": str(secret),
        "LEDGERCTL_API_LISTEN": "127.0.0.1:0",
        "XDG_STATE_HOME": str(directory / ".state"),
    }


def started(surroundings: Surroundings, directory: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ledgerctl", *options, "serve"],
        cwd=directory,
        env={**os.environ, **surroundings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def serving(
    surroundings: Surroundings, directory: Path, *options: str, verify: ssl.SSLContext | bool = True
) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """The process, and a client with a token for the address that it says on stderr."""
    process = started(surroundings, directory, *options)
    assert process.stderr is not None
    said: list[str] = []
    token = issued(surroundings["LEDGERCTL_API_SECRET_FILE"], "tester", EVERYTHING)
    try:
        for line in process.stderr:
            said.append(line)
            if found := re.search(r"serving (https?://127\.0\.0\.1:\d+)/api/v1", line):
                headers = {"Authorization": f"Bearer {token}"}
                with httpx.Client(base_url=found[1], headers=headers, trust_env=False, timeout=60, verify=verify) as it:
                    yield process, it
                break
        else:
            pytest.fail(f"it ended before it served: {said}")
    finally:
        process.kill()
        process.communicate()


def refused_here(surroundings: Surroundings) -> tuple[int, str]:
    """In this process. Should it begin all the same, the test's time runs out."""
    result = CliRunner().invoke(cli, ["serve"], env=surroundings, prog_name="ledgerctl")
    if not isinstance(result.exception, SystemExit):
        raise result.exception or AssertionError("it served")
    return result.exit_code, result.stderr


def refused(surroundings: Surroundings, directory: Path) -> tuple[int, str]:
    process = started(surroundings, directory)
    _, err = process.communicate(timeout=30)
    return process.returncode, err


def send(client: httpx.Client, path: str, body: object, key: str) -> httpx.Response:
    return client.post(f"/api/v1{path}", json=body, headers={"Idempotency-Key": key})


def connected(client: httpx.Client) -> socket.socket:
    return socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=10)


def told(client: httpx.Client, pieces: Sequence[bytes]) -> bytes:
    """All that the server says to somebody who sends this, until it hangs up."""
    with connected(client) as caller:
        with suppress(ConnectionError):
            for piece in pieces:
                caller.sendall(piece)
                time.sleep(0.001)
        said = b""
        with suppress(ConnectionError):
            while more := caller.recv(65_536):
                said += more
    return said


def fill(client: httpx.Client) -> None:
    send(client, "/accounts", {"code": "bank", "currency": "EUR", "type": "asset"}, "bank")
    send(client, "/accounts", {"code": "alice", "currency": "EUR"}, "alice")


def test_a_head_has_a_limit_and_a_body_after_it_another(surroundings: Surroundings, directory: Path) -> None:
    head = b"GET /health HTTP/1.1\r\nHost: x\r\nX-Much: "
    body = {"from": "bank", "to": "alice", "amount": "1.00", "metadata": {"much": "x" * 100_000}}
    with serving(surroundings, directory) as (_, client):
        for pieces in ([head + b"x" * HEAD_MAX], [head, b"x" * HEAD_MAX], [head, *[b"x" * 1024] * (HEAD_MAX // 1024)]):
            assert told(client, pieces).startswith(b"HTTP/1.1 431 ")
        # What comes with the end of a head is not taken for a part of it, nor what came before for a part of the next.
        three = b"GET /health HTTP/1.1\r\nHost: x\r\nX-Much: " + b"x" * (HEAD_MAX // 2) + b"\r\n\r\n"
        closing = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert told(client, [three, three, three, closing]).count(b"HTTP/1.1 200 ") == 4
        answer = send(client, "/transfers", body, "much")
        assert (answer.status_code, answer.json()["code"]) == (400, "BAD_TEXT")


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_it_finishes_what_it_took_and_ends_well(
    surroundings: Surroundings, directory: Path, conninfo: str, conn: Connection, sent: signal.Signals
) -> None:
    """One that waits for an account, and one of a list; nothing new is taken meanwhile."""
    body = {"from": "bank", "to": "alice", "amount": "5.00"}
    with serving(surroundings, directory) as (process, client), ThreadPoolExecutor(2) as callers:
        fill(client)
        with psycopg.connect(conninfo) as other:
            other.execute("SELECT FROM accounts WHERE code = 'alice' FOR UPDATE")
            single = callers.submit(send, client, "/transfers", body, "single")
            listed = callers.submit(send, client, "/transfers", {"transfers": [body]}, "list")
            while len(waiting(conn)) < 2:
                time.sleep(0.02)
            process.send_signal(sent)
            until_nobody_listens(client)
            assert process.poll() is None
            assert not single.done()
            assert not listed.done()
        assert (single.result().status_code, listed.result().status_code) == (201, 201)
        out, err = process.communicate(timeout=30)

    assert (process.returncode, out, err) == (0, "", "stopped\n")
    posted = conn.execute("SELECT idempotency_key FROM transactions ORDER BY 1").fetchall()
    assert posted == [("list:1",), ("single",)]


def test_whoever_has_not_sent_all_of_his_request_does_not_keep_it_from_ending(
    surroundings: Surroundings, directory: Path
) -> None:
    head = (
        b"POST /api/v1/accounts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    )
    with serving(surroundings, directory) as (process, client), connected(client) as caller:
        caller.sendall(head)
        client.get("/health")  # it has been heard by now
        process.terminate()
        _, err = process.communicate(timeout=10)
        assert caller.recv(100) == b""

    assert (process.returncode, err) == (0, "stopped\n")


def waiting(conn: Connection) -> list[object]:
    question = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return list(conn.execute(question).fetchall())


def until_nobody_listens(client: httpx.Client) -> None:
    deadline = time.monotonic() + 10
    with pytest.raises(ConnectionRefusedError):
        while time.monotonic() < deadline:
            socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=1).close()
            time.sleep(0.02)


def test_it_logs_a_line_of_json_a_request_and_nothing_else(surroundings: Surroundings, directory: Path) -> None:
    with serving(surroundings, directory, "--log-format", "json") as (process, client):
        send(client, "/accounts", {"code": "canary", "currency": "EUR", "name": "canary"}, "canary")
        client.get("/api/v1/accounts/canary/balance")
        process.terminate()
        _, err = process.communicate(timeout=30)

    lines = [json.loads(line) for line in err.splitlines()]
    answered = [line for line in lines if line["message"] == "answered"]
    assert [(line["route"], line["status"]) for line in answered] == [
        ("/api/v1/accounts", 201), ("/api/v1/accounts/{code}/balance", 200),
    ]  # fmt: skip
    assert {(line["command"], line["actor"], line["ledger"]) for line in answered} == {("serve", "tester", "main")}
    assert "canary" not in err


def test_it_serves_https_with_a_certificate(surroundings: Surroundings, directory: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl here, to make a certificate with")
    make = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -keyout key.pem -out cert.pem "
        "-subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run(shlex.split(make), cwd=directory, check=True, capture_output=True, timeout=60)
    files = {
        "LEDGERCTL_API_CERTIFICATE": str(directory / "cert.pem"),
        "LEDGERCTL_API_PRIVATE_KEY": str(directory / "key.pem"),
    }
    trusted = ssl.create_default_context(cafile=str(directory / "cert.pem"))

    with serving({**surroundings, **files}, directory, verify=trusted) as (_, client):
        assert client.base_url.scheme == "https"
        assert client.get("/ready").json() == {"status": "ok"}
        with pytest.raises(httpx.HTTPError):
            httpx.get(str(client.base_url).replace("https", "http") + "/health", trust_env=False)

    files["LEDGERCTL_API_PRIVATE_KEY"] = files["LEDGERCTL_API_CERTIFICATE"]
    code, err = refused_here({**surroundings, **files})
    assert (code, "certificate" in err, "Traceback" in err) == (Exit.BAD_CONFIG, True, False)
    code, err = refused_here({**surroundings, **files, "LEDGERCTL_API_PRIVATE_KEY": ""})
    assert (code, "together" in err) == (Exit.BAD_CONFIG, True)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("LEDGERCTL_API_ISSUER", "", "[api] issuer is not set"),
        ("LEDGERCTL_API_SECRET_FILE", "", "either jwks or secret_file"),
        ("LEDGERCTL_API_SECRET_FILE", "nowhere", "secret_file"),
        ("LEDGERCTL_API_JWKS", "nowhere", "either jwks or secret_file"),
        ("LEDGERCTL_API_LIST_MAX", "0", "api.list_max"),
    ],
)
def test_it_does_not_begin_with_a_wrong_configuration(
    surroundings: Surroundings, variable: str, value: str, words: str
) -> None:
    code, err = refused_here({**surroundings, variable: value})

    assert (code, words in err, "Traceback" in err) == (Exit.BAD_CONFIG, True, False), err


def test_without_its_extra_it_says_what_to_install(surroundings: Surroundings, directory: Path) -> None:
    (directory / "uvicorn.py").write_text("raise ModuleNotFoundError('No module named uvicorn', name='uvicorn')\n")

    code, err = refused({**surroundings, "PYTHONPATH": str(directory)}, directory)

    assert code == Exit.BAD_CONFIG
    assert "uvicorn is not installed" in err
    assert "pip install 'ledgerctl[api]'" in err


def test_a_port_that_is_taken_is_no_traceback(surroundings: Surroundings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, err = refused_here({**surroundings, "LEDGERCTL_API_LISTEN": f"127.0.0.1:{port}"})

    assert code == Exit.UNAVAILABLE
    assert f"cannot listen on 127.0.0.1 port {port}" in err
    assert "Traceback" not in err


def test_without_a_database_it_does_not_begin(surroundings: Surroundings) -> None:
    nowhere = "postgresql://ledger:canary-password@127.0.0.1:1/books"

    code, err = refused_here({**surroundings, "LEDGERCTL_DATABASE_URL": nowhere})

    assert code == Exit.UNAVAILABLE
    assert "canary" not in err


def test_a_caller_that_hangs_up_changes_nothing_about_once(
    surroundings: Surroundings, directory: Path, conninfo: str, conn: Connection
) -> None:
    body = {"from": "bank", "to": "alice", "amount": "5.00"}
    with serving(surroundings, directory) as (_, client):
        fill(client)
        with psycopg.connect(conninfo) as other:
            other.execute("SELECT FROM accounts WHERE code = 'alice' FOR UPDATE")
            with pytest.raises(httpx.ReadTimeout):
                client.post("/api/v1/transfers", json=body, headers={"Idempotency-Key": "one"}, timeout=0.5)
        again = send(client, "/transfers", body, "one")
        assert again.status_code == 201
        assert client.get("/api/v1/accounts/alice/balance").json()["balance"] == "5.00"
        is_problem(send(client, "/transfers", {**body, "amount": "6.00"}, "one"), 422, "IDEMPOTENCY_CONFLICT")
