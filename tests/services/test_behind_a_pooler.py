"""Everything that posts, through a PgBouncer in transaction mode that has fewer sessions than there are of us."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from io import BytesIO

import pytest

from ledgerctl import errors
from ledgerctl.db.audit import By
from ledgerctl.db.connection import Connection, Database
from ledgerctl.formats.records import Input
from ledgerctl.formats.transfer_csv import TransferFile
from ledgerctl.services import importing, payments, reconciling
from ledgerctl.services.books import Books, open_books
from ledgerctl.services.gathering import Gatherer
from ledgerctl.services.import_job import Options
from tests.conftest import database_at
from tests.poolers import pooler
from tests.services.conftest import Open, balances, transfer

THREADS = 8


@pytest.fixture
def open_pooled(conninfo: str, funded: Books) -> Iterator[Callable[..., Books]]:
    """Opens the ledger `main` by a pooler that has two sessions of the server."""
    opened: list[Database] = []

    def open_(*, prepare: bool = False) -> Books:
        database = database_at(pooled, prepare=prepare)
        opened.append(database)
        return open_books(database, "main", "tester", "request-1")

    with pooler(conninfo, 2) as pooled:
        yield open_
        for database in opened:
            database.close()


def test_all_that_posts_goes_on_beside_one_another(open_pooled: Open, conn: Connection) -> None:
    gatherer = Gatherer(open_pooled)

    def gathered(number: int) -> None:
        for n in range(20):
            gatherer.post_one(transfer("alice", "carol", "0.01", f"gathered-{number}-{n}"), By("a", "b", None))

    def single(number: int) -> None:
        books = open_pooled()
        for n in range(20):
            payments.post_one(books, transfer("bob", "carol", "0.01", f"single-{number}-{n}"))

    def imported(number: int) -> None:
        lines = "".join(f"opening,bob,0.01,import-{number}-{n}\n" for n in range(500))
        file = TransferFile(
            Input(f"{number}.csv", BytesIO(f"from,to,amount,idempotency_key\n{lines}".encode())), {}, {}
        )
        importing.run(open_pooled(), file, lambda *_: None, options=Options(commit_every=100 if number % 2 else None))

    with ThreadPoolExecutor(3 * THREADS) as pool:
        jobs = [pool.submit(job, number) for job in (gathered, single, imported) for number in range(THREADS)]
    for job in jobs:
        job.result()
    gatherer.close()

    cents = {code: balance * 100 for code, balance in balances(conn).items()}
    assert cents["alice"] == 10_000 - 20 * THREADS
    assert cents["bob"] == 10_000 - 20 * THREADS + 500 * THREADS
    assert cents["carol"] == Decimal(40 * THREADS)
    assert reconciling.run(open_pooled(), lambda *_: None, full=True).findings == []


def test_whoever_prepares_statements_is_told_what_to_set(open_pooled: Open) -> None:
    several = [open_pooled(prepare=True) for _ in range(4)]

    with pytest.raises(errors.BadConfig, match="a pooler") as told:
        for number in range(20):
            payments.post_one(several[number % 4], transfer("alice", "bob", "0.01", str(number)))

    assert "prepare = false" in told.value.details["hint"]
