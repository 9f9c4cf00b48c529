"""Single transfers through HTTP, one API process and 16 clients, against pgbench's TPC-B with 16 clients; and lists."""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ledgerctl.api import issuing
from ledgerctl.config import load
from tests.benchmarks import harness
from tests.benchmarks.harness import Server, ratio, say, spread
from tests.benchmarks.transfers_against_pgbench import SCALE, tpc_b

ACCOUNTS = 10_000
CLIENTS = 16
LIST = 1000
LIST_CLIENTS = 2
SINGLE, TPC_B = f"POST /transfers, {CLIENTS} clients", f"pgbench TPC-B, {CLIENTS} clients"
LISTS, IMPORT = f"lists of {LIST}, {LIST_CLIENTS} clients", "CSV import"
PIECES = f"CSV import, a commit every {LIST} rows"


class Endpoint(NamedTuple):
    port: int
    token: str


def main() -> None:
    asked = harness.options(__doc__ or "", seconds=10, rounds=5, rows=100_000)
    with harness.server() as host:
        harness.prepare(host, "books", ACCOUNTS)
        with _api(host) as api:
            waits: list[float] = []
            _sent(host, api, 1, CLIENTS, 1, [])
            _sent(host, api, 1, LIST_CLIENTS, LIST, [])
            rates = harness.alternate(
                asked.rounds,
                {
                    SINGLE: lambda: _sent(host, api, asked.seconds, CLIENTS, 1, waits),
                    LISTS: lambda: _sent(host, api, asked.seconds, LIST_CLIENTS, LIST, []),
                    IMPORT: lambda: _imported(host, asked.rows),
                    PIECES: lambda: _imported(host, asked.rows, LIST),
                    TPC_B: lambda: tpc_b(host, asked.seconds, CLIENTS),
                },
            )
        harness.table(["what", "per second", "min-max"], [[name, *spread(values)] for name, values in rates.items()])
        say("")
        say(f"{SINGLE} / {TPC_B}: {ratio(rates[SINGLE], rates[TPC_B])}")
        for reference in (IMPORT, PIECES):
            say(f"{LISTS} / {reference}: {ratio(rates[LISTS], rates[reference])}")
        cuts = statistics.quantiles(waits, n=100)
        say(f"{SINGLE}: p50 {cuts[49] * 1000:.1f} ms, p99 {cuts[98] * 1000:.1f} ms")
        harness.conditions(host, accounts=ACCOUNTS, scale=SCALE, seconds=asked.seconds, rounds=asked.rounds)


@contextmanager
def _api(host: Server) -> Iterator[Endpoint]:
    """One process of `ledgerctl serve`, which limits nobody."""
    with tempfile.TemporaryDirectory() as directory:
        secret = Path(directory) / "secret"
        secret.write_text("s" * 40)
        secret.chmod(0o600)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        settings = {
            "ISSUER": "benchmark",
            "SECRET_FILE": str(secret),
            "REQUESTS": "1000000000",
            "LISTEN": f"127.0.0.1:{port}",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "ledgerctl", "serve"],
            env={
                **os.environ,
                "LEDGERCTL_DATABASE_URL": host.at("books"),
                **{f"LEDGERCTL_API_{name}": value for name, value in settings.items()},
            },
        )
        configuration = load(flags={"api": {"issuer": "benchmark", "secret_file": str(secret)}})
        token = issuing.issue(configuration, None, "benchmark", ["transfers:write"], 900)
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        yield Endpoint(port, token)
        process.terminate()
        process.wait()


def _sent(host: Server, api: Endpoint, seconds: float, clients: int, size: int, waits: list[float]) -> float:
    """Transfers a second, by clients in a process of its own, which does little but send and wait."""
    host.checkpoint()
    command = [
        sys.executable,
        "-m",
        "tests.benchmarks.api_clients",
        str(api.port),
        str(seconds),
        str(clients),
        str(size),
    ]
    done = subprocess.run(command, input=api.token, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    waits += answer["waits"]
    return float(answer["rate"])


def _imported(host: Server, rows: int, commit_every: int | None = None) -> float:
    """Rows a second of one import, into books of their own."""
    harness.prepare(host, "imported", ACCOUNTS)
    file = host.directory / "rows.csv"
    harness.write_csv(file, rows, ACCOUNTS)
    host.checkpoint()
    rate = rows / harness.run_import(host, "imported", file, commit_every)
    file.unlink()
    return rate


if __name__ == "__main__":
    main()
