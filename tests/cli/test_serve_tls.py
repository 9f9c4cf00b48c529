"""ledgerctl serve by https: a real server, and what it does not begin with."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledgerctl.errors import Exit
from tests.api.access import keyring
from tests.conftest import Run

Command = Callable[..., Run]


@pytest.fixture
def api(directory: Path, surroundings: dict[str, str]) -> dict[str, str]:
    """The variables of an API with a secret, a certificate and its key."""
    keyring.secret_file(directory)
    both = str(keyring.certificate(directory / "both.pem"))
    return {
        **surroundings,
        "LEDGERCTL_API_ISSUER": keyring.ISSUER,
        "LEDGERCTL_API_SECRET_FILE": str(directory / "secret"),
        "LEDGERCTL_API_CERTIFICATE": both,
        "LEDGERCTL_API_PRIVATE_KEY": both,
    }


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def get(port: int, path: str, context: ssl.SSLContext, **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def test_it_serves_https_to_who_has_a_token_and_nothing_without_tls(
    directory: Path, api: dict[str, str], ledger: str
) -> None:
    port, context = free_port(), ssl.create_default_context(cafile=api["LEDGERCTL_API_CERTIFICATE"])
    command = [sys.executable, "-m", "ledgerctl", "serve", "--listen", f"127.0.0.1:{port}"]
    token = keyring.signed("HS256", ledger=ledger)
    with subprocess.Popen(
        command, cwd=directory, env={**os.environ, **api}, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            _wait_for(port, server)
            assert get(port, "/health", context)[0] == 200
            assert get(port, "/api/v1/accounts/alice", context)[0] == 401
            status, headers, body = get(port, "/api/v1/accounts/alice", context, Authorization=f"Bearer {token}")
            assert (status, b"ACCOUNT_NOT_FOUND" in body) == (404, True)
            assert headers["Strict-Transport-Security"] == "max-age=31536000"
            assert "Server" not in headers
            plain = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            with pytest.raises((http.client.HTTPException, OSError)):
                plain.request("GET", "/health")
                plain.getresponse()
            plain.close()
        finally:
            server.send_signal(signal.SIGTERM)
            _, err = server.communicate(timeout=30)

    assert server.returncode == Exit.DONE
    assert token not in err
    assert keyring.SECRET.decode() not in err


def _wait_for(port: int, server: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 30
    while server.poll() is None and time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("it does not listen")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"LEDGERCTL_API_CERTIFICATE": None}, "go together"),
        ({"LEDGERCTL_API_PRIVATE_KEY": None}, "go together"),
        ({"LEDGERCTL_API_CERTIFICATE": "none.pem"}, "No such file"),
        ({"LEDGERCTL_API_PRIVATE_KEY": "secret"}, "secret"),
        ({"LEDGERCTL_API_PRIVATE_KEY": "other.pem"}, "MISMATCH"),
    ],
)
def test_it_does_not_serve_http_where_https_was_meant(
    run: Command, directory: Path, api: dict[str, str], changed: dict[str, Any], words: str
) -> None:
    keyring.certificate(directory / "other.pem")

    done = run("serve", "--listen", "127.0.0.1:0", **{**api, **changed})

    assert done.code == Exit.BAD_CONFIG
    assert words in done.err
    assert keyring.SECRET.decode() not in done.err
