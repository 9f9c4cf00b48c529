"""Single transfers of 16 threads, gathered into transactions, against pgbench's TPC-B with 16 clients."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator

from ledgerctl.core import money, requesting
from ledgerctl.db.audit import By
from ledgerctl.ids import uuid7
from ledgerctl.services.gathering import Gatherer
from tests.benchmarks import harness
from tests.benchmarks.harness import Server, ratio, say, spread
from tests.benchmarks.transfers_against_pgbench import SCALE, tpc_b

ACCOUNTS = 10_000
CLIENTS = 16
PAIRS = 10_000_000
BY = By("benchmark", "benchmark", None)
GATHERED, HOT, TPC_B = "gathered, 16 threads", "the same, to one account", "pgbench TPC-B, 16 clients"


def main() -> None:
    asked = harness.options(__doc__ or "", seconds=10, rounds=5)
    with harness.server() as host:
        harness.prepare(host, "books", ACCOUNTS)
        pairs = harness.pairs(PAIRS, ACCOUNTS)
        gatherer = Gatherer(lambda: host.books("books"))
        waits: list[float] = []
        _rate(gatherer, pairs, 1, "", [])
        rates = harness.alternate(
            asked.rounds,
            {
                GATHERED: lambda: _measured(host, gatherer, pairs, asked.seconds, "", waits),
                HOT: lambda: _measured(host, gatherer, pairs, asked.seconds, harness.account_code(0), []),
                TPC_B: lambda: tpc_b(host, asked.seconds, CLIENTS),
            },
        )
        gatherer.close()

        harness.table(["what", "per second", "min-max"], [[name, *spread(values)] for name, values in rates.items()])
        say("")
        say(f"{GATHERED} / {TPC_B}: {ratio(rates[GATHERED], rates[TPC_B])}")
        say(f"{HOT} / {GATHERED}: {ratio(rates[HOT], rates[GATHERED])}")
        cuts = statistics.quantiles(waits, n=100)
        say(f"{GATHERED}: p50 {cuts[49] * 1000:.1f} ms, p99 {cuts[98] * 1000:.1f} ms")
        harness.conditions(host, accounts=ACCOUNTS, scale=SCALE, seconds=asked.seconds, rounds=asked.rounds)


def _measured(
    host: Server, gatherer: Gatherer, pairs: Iterator[tuple[str, str, str]], seconds: int, hot: str, waits: list[float]
) -> float:
    host.checkpoint()
    return _rate(gatherer, pairs, seconds, hot, waits)


def _rate(
    gatherer: Gatherer, pairs: Iterator[tuple[str, str, str]], seconds: float, hot: str, waits: list[float]
) -> float:
    """Transfers a second of all threads; how long each took is added to `waits`. `hot` is paid by every one of them."""
    end = time.perf_counter() + seconds
    lock, done = threading.Lock(), [0] * CLIENTS

    def client(number: int) -> None:
        while (started := time.perf_counter()) < end:
            with lock:
                source, target, amount = next(pairs)
            key = uuid7()
            to = hot if hot and hot != source else target
            request = requesting.transfer(key, str(key), source, to, money.parse(amount), harness.CURRENCY)
            gatherer.post_one(request, BY)
            waits.append(time.perf_counter() - started)
            done[number] += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
