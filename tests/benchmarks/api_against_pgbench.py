"""Single transfers through HTTP, one API process and 16 clients, against pgbench's TPC-B with 16 clients; and lists."""

from __future__ import annotations

import json
import os
import re
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
PAIRS = 10_000_000
SINGLE, LISTS, TPC_B = "POST /transfers, 16 clients", f"lists of {LIST}", "pgbench TPC-B, 16 clients"
IMPORT = "CSV import"


class Endpoint(NamedTuple):
    port: int
    token: str


def main() -> None:
    asked = harness.options(__doc__ or "", seconds=10, rounds=5, rows=100_000)
    with harness.server() as host:
        harness.prepare(host, "books", ACCOUNTS)
        with _api(host) as api:
            waits: list[float] = []
            pairs = harness.pairs(PAIRS, ACCOUNTS)
            _singles(api, 1, [])
            rates = harness.alternate(
                asked.rounds,
                {
                    SINGLE: lambda: _singles(api, asked.seconds, waits),
                    LISTS: lambda: _lists(api, pairs, asked.seconds),
                    IMPORT: lambda: _imported(host, asked.rows),
                    TPC_B: lambda: tpc_b(host, asked.seconds, CLIENTS),
                },
            )
        harness.table(["what", "per second", "min-max"], [[name, *spread(values)] for name, values in rates.items()])
        say("")
        say(f"{SINGLE} / {TPC_B}: {ratio(rates[SINGLE], rates[TPC_B])}")
        say(f"{LISTS} / {IMPORT}: {ratio(rates[LISTS], rates[IMPORT])}")
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


def _singles(api: Endpoint, seconds: float, waits: list[float]) -> float:
    """By clients in a process of its own, which does little but send and wait."""
    command = [sys.executable, "-m", "tests.benchmarks.api_clients", str(api.port), str(seconds), str(CLIENTS)]
    done = subprocess.run(command, input=api.token, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    waits += answer["waits"]
    return float(answer["rate"])


def _lists(api: Endpoint, pairs: Iterator[tuple[str, str, str]], seconds: float) -> float:
    """Transfers a second of one client that sends lists."""
    done, started = 0, time.perf_counter()
    with socket.create_connection(("127.0.0.1", api.port)) as server:
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        file = server.makefile("rb")
        while (passed := time.perf_counter() - started) < seconds:
            transfers = [
                {"from": source, "to": target, "amount": amount}
                for source, target, amount in (next(pairs) for _ in range(LIST))
            ]
            body = json.dumps({"transfers": transfers}).encode()
            head = (
                f"POST /api/v1/transfers HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {api.token}\r\n"
                f"Idempotency-Key: {time.monotonic_ns()}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            server.sendall(head.encode() + body)
            status = file.readline()
            assert b" 201 " in status, status
            length = 0
            while (line := file.readline()) != b"\r\n":
                if found := re.match(rb"(?i)content-length: (\d+)", line):
                    length = int(found[1])
            file.read(length)
            done += LIST
    return done / passed


def _imported(host: Server, rows: int) -> float:
    """Rows a second of one import, into books of their own."""
    harness.prepare(host, "imported", ACCOUNTS)
    file = host.directory / "rows.csv"
    harness.write_csv(file, rows, ACCOUNTS)
    host.checkpoint()
    rate = rows / harness.run_import(host, "imported", file)
    file.unlink()
    return rate


if __name__ == "__main__":
    main()
