"""Single transfers by one client through the library, against pgbench's TPC-B with one client on the same server."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator

from ledgerctl.core import money, requesting
from ledgerctl.ids import uuid7
from ledgerctl.services import payments
from ledgerctl.services.books import Books
from tests.benchmarks import harness
from tests.benchmarks.harness import Server, ratio, say, spread

ACCOUNTS = 10_000
SCALE = 10
TRANSFERS, TPC_B = "payments.post_one, 1 client", "pgbench TPC-B, 1 client"
PAIRS = 1_000_000
"""More than a run can post."""


def main() -> None:
    asked = harness.options(__doc__ or "", seconds=10, rounds=5)
    with harness.server() as host:
        harness.prepare(host, "books", ACCOUNTS)
        books = host.books("books")
        pairs = harness.pairs(PAIRS, ACCOUNTS)

        _post_for(books, pairs, 1)
        rates = harness.alternate(
            asked.rounds,
            {
                TRANSFERS: lambda: _transfers(host, books, pairs, asked.seconds),
                TPC_B: lambda: tpc_b(host, asked.seconds, 1),
            },
        )
        books.database.close()

        harness.table(["what", "per second", "min-max"], [[name, *spread(values)] for name, values in rates.items()])
        say("")
        say(f"{TRANSFERS} / {TPC_B}: {ratio(rates[TRANSFERS], rates[TPC_B])}")
        harness.conditions(host, accounts=ACCOUNTS, scale=SCALE, seconds=asked.seconds, rounds=asked.rounds)


def _transfers(host: Server, books: Books, pairs: Iterator[tuple[str, str, str]], seconds: int) -> float:
    host.checkpoint()
    return _post_for(books, pairs, seconds)


def _post_for(books: Books, pairs: Iterator[tuple[str, str, str]], seconds: float) -> float:
    """Transfers a second, each a durable transaction of its own, from amount text to receipt."""
    done = 0
    started = time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        source, target, amount = next(pairs)
        key = uuid7()
        request = requesting.transfer(key, str(key), source, target, money.parse(amount), harness.CURRENCY)
        payments.post_one(books, request)
        done += 1
    return done / passed


def tpc_b(host: Server, seconds: int, clients: int) -> float:
    """Transactions a second on freshly made tables."""
    host.fresh("tpcb")
    pgbench = [str(harness.binaries() / "pgbench"), "--quiet"]
    _run([*pgbench, "--initialize", "--scale", str(SCALE), host.at("tpcb")])
    host.checkpoint()
    said = _run([pgbench[0], f"--client={clients}", "--no-vacuum", f"--time={seconds}", host.at("tpcb")])
    found = re.search(r"^tps = ([0-9.]+)", said, re.MULTILINE)
    assert found is not None, said
    return float(found[1])


def _run(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
