"""ledgerctl serve-metrics as a process: what it says, what it serves, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from ledgerctl.errors import Exit
from tests.conftest import Run
from tests.redis_servers import Redis

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


def test_with_redis_it_is_ready_while_redis_answers_and_serves_the_books_anyway(
    surroundings: dict[str, str], directory: Path, redis: Redis
) -> None:
    with serving({**surroundings, "LEDGERCTL_REDIS_URL": redis.url}, directory) as (_, url):
        until(f"{url}/metrics", "ledgerctl_redis_up 1.0")
        until(f"{url}/ready", "ok")
        redis.pause()
        code, why = asked(f"{url}/ready")
        assert (code, why.startswith("Redis ")) == (503, True)
        redis.kill()
        until(f"{url}/ready", "Redis cannot be reached: ConnectionError: ")
        until(f"{url}/metrics", "ledgerctl_redis_up 0.0")
        assert "ledgerctl_database_up 1.0" in asked(f"{url}/metrics")[1]
        assert asked(f"{url}/health") == (200, "ok\n")
        redis.start()
        until(f"{url}/ready", "ok")


def test_without_redis_nothing_is_told_of_it(surroundings: dict[str, str], directory: Path) -> None:
    with serving(surroundings, directory) as (_, url):
        assert asked(f"{url}/ready") == (200, "ok\n")
        assert "redis" not in asked(f"{url}/metrics")[1]


def test_an_address_of_redis_that_is_none_is_a_wrong_configuration(process: Command) -> None:
    done = process("serve-metrics", env={"LEDGERCTL_REDIS_URL": "redis:hidden@nowhere"})

    assert done.code == Exit.BAD_CONFIG
    assert "hidden" not in done.err


def until(url: str, words: str) -> None:
    """It says so, sooner or later: metrics are kept for three seconds, and a busy machine may be late."""
    deadline = time.monotonic() + 30
    while words not in asked(url)[1]:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def asked(url: str) -> tuple[int, str]:
    try:
        with urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()


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
