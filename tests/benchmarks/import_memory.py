"""Resident memory of `ledgerctl import` as the file grows: plain, compressed, and from a pipe.

The peak is that of the importing process, as the operating system counted it when it ended; the server is not in it.
The largest file takes a while.
"""

from __future__ import annotations

import gzip
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, NamedTuple

from tests.benchmarks import harness
from tests.benchmarks.harness import Server, say

ACCOUNTS = 10_000


class Took(NamedTuple):
    seconds: float
    peak_mb: float


def main() -> None:
    asked = harness.options(__doc__.splitlines()[0] if __doc__ else "", rows=10_000_000, small=100_000)
    with harness.server() as host:
        harness.prepare(host, "checked", ACCOUNTS)
        small, large = host.directory / "small.csv", host.directory / "large.csv"
        harness.write_csv(small, asked.small, ACCOUNTS)
        packed = host.directory / "small.csv.gz"
        with small.open("rb") as content, gzip.open(packed, "wb") as out:
            shutil.copyfileobj(content, out)
        harness.write_csv(large, asked.rows, ACCOUNTS)

        measured: list[tuple[str, int, Callable[[], Took]]] = [
            ("a file", asked.small, lambda: _run(host, [str(small)])),
            ("gzip", asked.small, lambda: _run(host, [str(packed)])),
            ("a pipe", asked.small, lambda: _piped(host, small)),
            ("--commit-every 10000", asked.small, lambda: _run(host, [str(small), "--commit-every", "10000"])),
            ("--commit-every 20000", asked.small, lambda: _run(host, [str(small), "--commit-every", "20000"])),
            ("a file", asked.rows, lambda: _run(host, [str(large)])),
            ("the same again: all replayed", asked.rows, lambda: _run(host, [str(large)], fresh=False)),
        ]
        lines = []
        for what, rows, work in measured:
            took = work()
            lines.append(
                [
                    what,
                    f"{rows:,}",
                    f"{took.peak_mb:.0f}",
                    f"{took.seconds:.0f}",
                    f"{rows / took.seconds:,.0f}",
                ]
            )
        harness.table(["what", "rows", "peak MB", "seconds", "rows/s"], lines)
        say("")
        harness.conditions(host, accounts=ACCOUNTS)


def _piped(host: Server, file: Path) -> Took:
    with file.open("rb") as content:
        read, write = os.pipe()
        if os.fork() == 0:
            os.close(read)
            with os.fdopen(write, "wb") as out:
                shutil.copyfileobj(content, out)
            os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as stream:
            return _run(host, ["-"], stream)


def _run(host: Server, args: list[str], stdin: IO[bytes] | None = None, *, fresh: bool = True) -> Took:
    if fresh:
        host.fresh("twin", "checked")
    started = time.perf_counter()
    process = os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "ledgerctl", "--quiet", "--fields", "status", "import", *args],
        {**os.environ, "LEDGERCTL_DATABASE_URL": host.at("twin")},
        file_actions=[] if stdin is None else [(os.POSIX_SPAWN_DUP2, stdin.fileno(), 0)],
    )
    _, status, used = os.wait4(process, 0)
    seconds = time.perf_counter() - started
    assert os.waitstatus_to_exitcode(status) == 0
    return Took(seconds, used.ru_maxrss / 1024)


if __name__ == "__main__":
    main()
