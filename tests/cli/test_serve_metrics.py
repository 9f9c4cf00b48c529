"""ledgerctl serve-metrics as a process: what it says, what it serves, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.conftest import Run

Command = Callable[..., Run]


@contextmanager
def serving(
    surroundings: dict[str, str], directory: Path, *options: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and its URL, which it says on stderr."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ledgerctl", "serve-metrics", "--listen", "127.0.0.1:0", *options],
        cwd=directory,
        env={**os.environ, **surroundings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said: list[str] = []
    try:
        for line in process.stderr:
            said.append(line)
            if found := re.fullmatch(r"serving (http://127\.0\.0\.1:\d+)/metrics, /health and /ready\n", line):
                yield process, found[1]
                break
        else:
            pytest.fail(f"it ended before it served: {said}")
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_the_books_until_it_is_told_to_stop_and_ends_well(
    run: Command, surroundings: dict[str, str], ledger: str, directory: Path, sent: signal.Signals
) -> None:
    run("account", "create", "canary-account", "--currency", "EUR")
    with serving(surroundings, directory) as (process, url):
        with urlopen(f"{url}/ready") as answer:
            assert answer.read() == b"ok\n"
        with urlopen(f"{url}/metrics") as answer:
            body = answer.read().decode()
        process.send_signal(sent)
        out, err = process.communicate(timeout=30)

    assert (process.returncode, out, err) == (0, "", "stopped\n")
    assert "ledgerctl_database_up 1.0" in body
    assert "canary" not in body
    assert f'ledgerctl_accounts{{ledger="{ledger}",status="active"}} 1.0' in body


def test_without_a_database_it_lives_and_is_not_ready(directory: Path) -> None:
    nowhere = {"LEDGERCTL_DATABASE_URL": "postgresql://ledger:canary-password@127.0.0.1:1/books"}
    with serving(nowhere, directory) as (process, url):
        assert b"canary" not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
        with urlopen(f"{url}/health") as answer:
            assert answer.read() == b"ok\n"
        with pytest.raises(HTTPError, match="503") as refusal:
            urlopen(f"{url}/ready")
        with refusal.value as answer:
            body = answer.read().decode()
            assert body.startswith("the database cannot be reached: ")
            assert "canary" not in body
        with urlopen(f"{url}/metrics") as answer:
            body = answer.read().decode()

    assert "ledgerctl_database_up 0.0" in body
    assert "canary" not in body


@pytest.mark.parametrize(
    ("listen", "words"),
    [
        ("example:9464", "'example:9464' is not an address and a port, such as 127.0.0.1:9464"),
        ("9464", "'9464' is not an address and a port"),
        ("127.0.0.1:70000", "there is no port 70000"),
        ("127.0.0.1:x", "is not an address and a port"),
    ],
)
def test_an_address_that_is_none_is_refused(run: Command, listen: str, words: str) -> None:
    done = run("serve-metrics", "--listen", listen)

    assert done.code == 2
    assert words in done.err
