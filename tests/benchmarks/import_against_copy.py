"""The importer against raw COPY of the rows that it wrote, into twins with and without foreign keys and triggers.

Each round starts from fresh copies of one prepared database, and a checkpoint stands before each measured part. Raw
COPY runs in chunks of the importer's size and as one big COPY a table; the faster of the two is the reference.
Prints what a transfer takes on disk, too.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ledgerctl.services import import_at_once
from tests.benchmarks import harness
from tests.benchmarks.harness import Server, ratio, say, spread

ACCOUNTS = 10_000
CHUNK = import_at_once.CHUNK * import_at_once.BATCH
LIBRARY, PROCESS = "importing.run", "ledgerctl import"
CHECKED, BARE = "COPY, all checks", "COPY, no foreign keys, no triggers"
RELATIONS = """
    SELECT c.relname, pg_relation_size(c.oid)
    FROM pg_class c
    LEFT JOIN pg_index i ON i.indexrelid = c.oid
    WHERE coalesce(i.indrelid, c.oid) IN ('transactions'::regclass, 'transaction_entries'::regclass)
    ORDER BY i.indrelid IS NOT NULL, c.relname
"""


def main() -> None:
    asked = harness.options(__doc__.splitlines()[0] if __doc__ else "", rows=200_000, rounds=3)
    with harness.server() as host:
        harness.prepare(host, "checked", ACCOUNTS)
        host.fresh("bare", "checked")
        with host.connect("bare") as conn:
            harness.drop_checks(conn)
        file = host.directory / "transfers.csv"
        harness.write_csv(file, asked.rows, ACCOUNTS)

        # The first import is not measured: it warms the caches and makes the rows for COPY.
        host.fresh("twin", "checked")
        harness.run_import(host, "twin", file)
        rows = harness.rows_of(host, "twin")
        sizes = _bytes_a_transfer(host, asked.rows)

        def on_twin(template: str, work: Callable[[], float]) -> Callable[[], float]:
            def measured() -> float:
                host.fresh("twin", template)
                host.checkpoint()
                return work()

            return measured

        def copy(chunk: int) -> Callable[[], float]:
            return lambda: harness.run_copy(host, "twin", rows, chunk).total

        chunked = f"chunks of {CHUNK}"
        seconds = harness.alternate(
            asked.rounds,
            {
                LIBRARY: on_twin("checked", lambda: harness.run_import(host, "twin", file)),
                PROCESS: on_twin("checked", lambda: _process(host, file)),
                f"{CHECKED}, {chunked}": on_twin("checked", copy(CHUNK)),
                f"{CHECKED}, at once": on_twin("checked", copy(asked.rows)),
                f"{BARE}, {chunked}": on_twin("bare", copy(CHUNK)),
                f"{BARE}, at once": on_twin("bare", copy(asked.rows)),
            },
        )
        rates = {name: [asked.rows / each for each in values] for name, values in seconds.items()}

        harness.table(["what", "transfers/s", "min-max"], [[name, *spread(values)] for name, values in rates.items()])
        say("")
        for kind in (CHECKED, BARE):
            best = max(
                (name for name in rates if name.startswith(kind)), key=lambda name: statistics.median(rates[name])
            )
            for what in (LIBRARY, PROCESS):
                say(f"{what} / {best}: {ratio(rates[what], rates[best])}")
        say("")
        harness.table(["on disk", "bytes/transfer"], [[name, f"{size:.0f}"] for name, size in sizes])
        say("")
        harness.conditions(host, rows=asked.rows, accounts=ACCOUNTS, rounds=asked.rounds)


def _process(host: Server, file: Path) -> float:
    """The same by the command line, from its start to its end."""
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "ledgerctl", "--quiet", "import", str(file)],
        env={**os.environ, "LEDGERCTL_DATABASE_URL": host.at("twin")},
        stdout=subprocess.DEVNULL,
        cwd=host.directory,
        check=True,
    )
    return time.perf_counter() - started


def _bytes_a_transfer(host: Server, transfers: int) -> list[tuple[str, float]]:
    with host.connect("twin") as conn:
        sizes = [(str(name), size / transfers) for name, size in conn.execute(RELATIONS).fetchall()]
    return [*sizes, ("together", sum(size for _, size in sizes))]


if __name__ == "__main__":
    main()
