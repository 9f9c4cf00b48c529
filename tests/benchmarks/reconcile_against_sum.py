"""Full reconciliation against one sequential sum of the amounts, and runs after so many new entries.

The books are one import of random pairs, and were reconciled once; that first run, which compares every fingerprint,
is timed too. The sum is what one process of the server takes to read all entries and add up their amounts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from ledgerctl.services import reconciling
from tests.benchmarks import harness
from tests.benchmarks.harness import Server, ratio, spread

DATABASE = "books"
NEW_ENTRIES = (1_000, 10_000, 100_000)
SUM, FULL, NOTHING = "sum(amount), one process", "reconcile --full", "reconcile, nothing new"


def main() -> None:
    asked = harness.options(
        __doc__.splitlines()[0] if __doc__ else "", rows=1_000_000, accounts=10_000, rounds=5, workers=-1
    )
    with harness.server() as host:
        harness.prepare(host, DATABASE, asked.accounts)
        _post(host, asked.rows, asked.accounts)
        with host.connect(DATABASE) as conn:
            conn.execute("VACUUM (ANALYZE)")
            if asked.workers >= 0:
                setting = f"max_parallel_workers_per_gather = {asked.workers}"
                conn.execute(f"ALTER DATABASE {DATABASE} SET {setting}".encode())
        host.checkpoint()
        first = _reconciled(host, full=False, entries=2 * asked.rows)

        seconds = harness.alternate(
            asked.rounds,
            {
                SUM: lambda: _summed(host),
                FULL: lambda: _reconciled(host, full=True, entries=2 * asked.rows),
                NOTHING: lambda: _reconciled(host, full=False, entries=0),
            },
        )
        new = {f"reconcile, {count:,} new entries": _after(host, count, asked) for count in NEW_ENTRIES}

        rows = [[name, *spread(values, ".3f"), ratio(values, seconds[SUM])] for name, values in seconds.items()]
        rows += [[name, *spread(values, ".3f"), ratio(values, seconds[SUM])] for name, values in new.items()]
        rows.append(["the first run", f"{first:.3f}", "", ""])
        harness.table(["what", "seconds", "min-max", "of the sum"], rows)
        harness.conditions(host, entries=f"{2 * asked.rows:,}", accounts=f"{asked.accounts:,}", rounds=asked.rounds)


def _after(host: Server, entries: int, asked: argparse.Namespace) -> list[float]:
    """Seconds of a run after so many new entries, once a round."""
    found = []
    for _ in range(asked.rounds):
        _post(host, entries // 2, asked.accounts)
        found.append(_reconciled(host, full=False, entries=entries))
    return found


def _post(host: Server, rows: int, accounts: int) -> None:
    """Other payments each time, by their descriptions: the same again would be refused."""
    file = Path(host.directory / f"{time.time_ns()}.csv")
    harness.write_csv(file, rows, accounts)
    text = file.read_text(encoding="utf-8").replace("order", file.stem)
    file.write_text(text, encoding="utf-8")
    harness.run_import(host, DATABASE, file)
    file.unlink()


def _summed(host: Server) -> float:
    with host.connect(DATABASE) as conn:
        conn.execute("SET max_parallel_workers_per_gather = 0")
        return _timed(lambda: conn.execute("SELECT sum(amount) FROM transaction_entries").fetchone())


def _reconciled(host: Server, *, full: bool, entries: int) -> float:
    books = host.books(DATABASE)
    found: list[reconciling.Reconciliation] = []
    seconds = _timed(lambda: found.append(reconciling.run(books, lambda *_: None, full=full)))
    books.database.close()
    assert (found[0].findings, found[0].checked["entries"]) == ([], entries), found[0]
    return seconds


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
