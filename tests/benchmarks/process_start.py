"""Whole processes: `ledgerctl transfer` against connecting with psycopg, `ledgerctl --help` against importing typer."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from uuid import uuid4

from tests.benchmarks import harness
from tests.benchmarks.harness import ratio, say, spread

ACCOUNTS = 100
TRANSFER, CONNECT = "ledgerctl transfer", "psycopg: connect, select 1"
HELP, TYPER, BARE = "ledgerctl --help", "import typer", "pass"
CONNECT_CODE = "import psycopg, sys; print(psycopg.connect(sys.argv[1]).execute('select 1').fetchone())"


def main() -> None:
    asked = harness.options(__doc__ or "", rounds=20)
    with harness.server() as host:
        harness.prepare(host, "books", ACCOUNTS)
        source, target = harness.account_code(1), harness.account_code(2)
        environment = {**os.environ, "LEDGERCTL_DATABASE_URL": host.at("books")}

        def process(*arguments: str) -> float:
            started = time.perf_counter()
            subprocess.run(
                [sys.executable, *arguments],
                env=environment,
                stdout=subprocess.DEVNULL,
                cwd=host.directory,
                check=True,
            )
            return time.perf_counter() - started

        def transfer() -> float:
            key = f"benchmark-{uuid4()}"
            return process("-m", "ledgerctl", "transfer", source, target, "1.00", harness.CURRENCY, "-i", key)

        measured: dict[str, Callable[[], float]] = {
            TRANSFER: transfer,
            CONNECT: lambda: process("-c", CONNECT_CODE, host.at("books")),
            HELP: lambda: process("-m", "ledgerctl", "--help"),
            TYPER: lambda: process("-c", "import typer"),
            BARE: lambda: process("-c", "pass"),
        }
        harness.alternate(2, measured)  # warms the files' cache and writes the bytecode
        seconds = harness.alternate(asked.rounds, measured)

        harness.table(
            ["process", "ms", "min-max"], [[name, *spread(_milliseconds(each))] for name, each in seconds.items()]
        )
        say("")
        say(f"{TRANSFER} / {CONNECT}: {ratio(seconds[TRANSFER], seconds[CONNECT])}")
        say(f"{HELP} / {TYPER}: {ratio(seconds[HELP], seconds[TYPER])}")
        harness.conditions(host, rounds=asked.rounds)


def _milliseconds(seconds: Sequence[float]) -> list[float]:
    return [each * 1000 for each in seconds]


if __name__ == "__main__":
    main()
