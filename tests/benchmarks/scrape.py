"""A scrape of `serve-metrics`, over HTTP, of large books: with what is kept, and after a thousand single transfers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from decimal import Decimal
from itertools import islice
from pathlib import Path
from urllib.request import urlopen

from ledgerctl.core.requesting import transfer
from ledgerctl.ids import uuid7
from ledgerctl.services import payments
from ledgerctl.services.observing import CACHE_S
from tests.benchmarks import harness
from tests.benchmarks.harness import Server, spread

DATABASE = "books"


def main() -> None:
    asked = harness.options(__doc__.splitlines()[0] if __doc__ else "", rows=500_000, accounts=100_000, rounds=15)
    with harness.server() as host:
        harness.prepare(host, DATABASE, asked.accounts)
        _imported(host, asked.rows, asked.accounts)
        with host.connect(DATABASE) as conn:
            conn.execute("VACUUM (ANALYZE)")
        host.checkpoint()
        process = subprocess.Popen(
            [sys.executable, "-m", "ledgerctl", "serve-metrics", "--listen", "127.0.0.1:0"],
            env={**os.environ, "LEDGERCTL_DATABASE_URL": host.at(DATABASE)},
            stderr=subprocess.PIPE,
            text=True,
        )
        started = time.perf_counter()
        assert process.stderr is not None
        url = re.findall(r"http://[0-9.:]+", process.stderr.readline())[0]
        begun = time.perf_counter() - started
        quiet, kept, busy = [], [], []
        for _ in range(asked.rounds):
            time.sleep(CACHE_S + 0.1)
            quiet.append(_scraped(url))
            kept.append(_scraped(url))
            _transfers(host, 1000, asked.accounts)
            time.sleep(CACHE_S + 0.1)
            busy.append(_scraped(url))
        process.terminate()
        process.wait()

        rows = [["until it serves", f"{begun * 1000:.0f}", ""]]
        for name, values in (
            ("nothing new", quiet),
            ("within three seconds", kept),
            ("1,000 new lines in the log", busy),
        ):
            rows.append([name, *spread([one * 1000 for one in values], ".1f")])
        harness.table(["a scrape", "milliseconds", "min-max"], rows)
        harness.conditions(host, entries=f"{2 * asked.rows:,}", accounts=f"{asked.accounts:,}", rounds=asked.rounds)


def _imported(host: Server, rows: int, accounts: int) -> None:
    file = Path(host.directory / "books.csv")
    harness.write_csv(file, rows, accounts)
    harness.run_import(host, DATABASE, file)
    file.unlink()


def _transfers(host: Server, count: int, accounts: int) -> None:
    """Each has a line of its own in the audit log."""
    books = host.books(DATABASE)
    pairs = harness.pairs(count, accounts)
    while some := list(islice(pairs, 100)):
        payments.post(books, [transfer(uuid7(), str(uuid7()), *pair[:2], Decimal(pair[2])) for pair in some])
    books.database.close()


def _scraped(url: str) -> float:
    started = time.perf_counter()
    with urlopen(f"{url}/metrics") as answer:
        body = answer.read()
    assert b"ledgerctl_database_up 1.0" in body
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
