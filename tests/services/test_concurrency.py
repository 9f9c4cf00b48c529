"""Many at once on the same accounts: right books, and no deadlock or lost race that anybody is shown."""

from __future__ import annotations

import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from io import BytesIO
from typing import Any

from ledgerctl import errors
from ledgerctl.db.connection import Connection
from ledgerctl.formats.records import Input
from ledgerctl.formats.transfer_csv import TransferFile
from ledgerctl.services import accounts, importing, payments, reconciling
from ledgerctl.services.books import Books
from tests.services.conftest import Open, balances, count, new, transfer


def at_once(works: list[Callable[[], Any]]) -> list[Any]:
    """What each returned; an exception of any is raised."""
    with ThreadPoolExecutor(len(works)) as pool:
        return [done.result() for done in [pool.submit(work) for work in works]]


def quiet(_done: int, _total: int, _rejected: int) -> None:
    pass


def clean(books: Books) -> bool:
    return reconciling.run(books, quiet).findings == []


def test_crossing_transfers_end_with_right_books(funded: Books, open_main: Open, conn: Connection) -> None:
    codes = ["alice", "bob", "carol", "opening"]

    def client(seed: int) -> Callable[[], int]:
        books, chance = open_main(), random.Random(seed)

        def work() -> int:
            posted = 0
            for number in range(25):
                source, target = chance.sample(codes, 2)
                try:
                    payments.post_one(books, transfer(source, target, str(chance.randint(1, 60)), f"{seed}-{number}"))
                    posted += 1
                except errors.InsufficientFunds:
                    pass
            return posted

        return work

    posted = sum(at_once([client(seed) for seed in range(8)]))

    assert count(conn, "transactions") == posted + 2
    assert sum(balances(conn).values()) == 0
    assert clean(funded)


def test_one_key_from_many_clients_is_posted_once(funded: Books, open_main: Open, conn: Connection) -> None:
    def client() -> Callable[[], Any]:
        books = open_main()
        return lambda: payments.post_one(books, transfer("alice", "bob", "5", "the-key"))

    receipts = at_once([client() for _ in range(8)])

    assert len({receipt.transaction.id for receipt in receipts}) == 1
    assert Counter(receipt.replayed for receipt in receipts) == {True: 7, False: 1}
    assert balances(conn)["alice"] == 95


def test_one_key_for_different_accounts_is_posted_once_and_the_others_conflict(
    funded: Books, open_main: Open, conn: Connection
) -> None:
    """They share no lock: the second to insert loses the race for the key, and sees why when it runs again."""
    accounts.create(funded, [new(f"from-{n}", "equity", None) for n in range(6)] + [new(f"to-{n}") for n in range(6)])

    def client(number: int) -> Callable[[], str]:
        books = open_main()

        def work() -> str:
            try:
                payments.post_one(books, transfer(f"from-{number}", f"to-{number}", "5", "the-key"))
                return "posted"
            except errors.IdempotencyConflict:
                return "conflict"

        return work

    assert Counter(at_once([client(number) for number in range(6)])) == {"posted": 1, "conflict": 5}
    assert count(conn, "transactions", "idempotency_key = 'the-key'") == 1


def test_nothing_is_posted_to_an_account_after_it_was_frozen(funded: Books, open_main: Open, conn: Connection) -> None:
    def payer(seed: int) -> Callable[[], int]:
        books = open_main()

        def work() -> int:
            posted = 0
            for number in range(20):
                try:
                    payments.post_one(books, transfer("alice", "bob", "0.01", f"{seed}-{number}"))
                    posted += 1
                except errors.AccountFrozen:
                    pass
            return posted

        return work

    other = open_main()
    *posted, _ = at_once([*[payer(seed) for seed in range(4)], lambda: accounts.freeze(other, "alice")])

    assert count(conn, "transaction_entries", "account_id = (SELECT id FROM accounts WHERE code = 'alice')") == (
        sum(posted) + 1
    )
    assert clean(funded)


def test_two_reversals_at_once_reverse_once(funded: Books, open_main: Open, conn: Connection) -> None:
    paid = payments.post_one(funded, transfer("alice", "bob", "5")).transaction.id

    def client(number: int) -> Callable[[], str]:
        books = open_main()

        def work() -> str:
            try:
                payments.reverse(books, transfer("a", "b", "1").id, f"r-{number}", paid, None, None)
                return "reversed"
            except errors.AlreadyReversed:
                return "refused"

        return work

    assert Counter(at_once([client(number) for number in range(6)])) == {"reversed": 1, "refused": 5}


def file_of(rows: int, seed: int) -> TransferFile:
    chance = random.Random(seed)
    lines = ["from,to,amount"]
    for _ in range(rows):
        source, target = chance.sample(["alice", "bob", "carol", "opening"], 2)
        lines.append(f"opening,{target if target != 'opening' else source},{chance.randint(1, 500) / 100:.2f}")
    return TransferFile(Input("in.csv", BytesIO("\n".join([*lines, ""]).encode())), {}, {})


def test_two_importers_and_twenty_transfers_on_the_same_accounts_end_with_right_books(
    funded: Books, open_main: Open, conn: Connection
) -> None:
    def importer(seed: int) -> Callable[[], str]:
        books, file = open_main(), file_of(3000, seed)

        def work() -> str:
            return str(importing.run(books, file, quiet).receipt["status"])

        return work

    def payer(number: int) -> Callable[[], str]:
        books = open_main()

        def work() -> str:
            return "replayed" if payments.post_one(books, transfer("alice", "bob", "0.01")).replayed else "posted"

        return work

    done = Counter(at_once([importer(1), importer(2), *[payer(number) for number in range(20)]]))

    assert done == {"complete": 2, "posted": 20}
    assert count(conn, "transactions") == 6000 + 20 + 2
    assert clean(funded)


def test_two_importers_of_one_file_post_it_once(funded: Books, open_main: Open, conn: Connection) -> None:
    def importer() -> Callable[[], tuple[int, int]]:
        books, file = open_main(), file_of(2000, 1)

        def work() -> tuple[int, int]:
            receipt = importing.run(books, file, quiet).receipt
            return receipt["posted"], receipt["replayed"]

        return work

    assert sorted(at_once([importer(), importer()])) == [(0, 2000), (2000, 0)]
    assert count(conn, "transactions") == 2002
    assert clean(funded)
    assert balances(conn)["opening"] == -Decimal(sum(balances(conn)[code] for code in ("alice", "bob", "carol")))


def test_the_freeze_divides_what_is_posted_from_what_is_refused(
    funded: Books, open_main: Open, conn: Connection
) -> None:
    """Payers go on until each was refused, so the freeze falls among their transfers; no entry is later than it."""
    started = threading.Barrier(5, timeout=30)

    def payer(seed: int) -> Callable[[], int]:
        books = open_main()

        def work() -> int:
            payments.post_one(books, transfer("alice", "bob", "0.01"))
            started.wait()
            for posted in itertools.count(1):
                try:
                    payments.post_one(books, transfer("alice", "bob", "0.01", f"{seed}-{posted}"))
                except errors.AccountFrozen:
                    return posted
            raise AssertionError("the count does not end")

        return work

    other = open_main()

    def freezer() -> int:
        started.wait()
        accounts.freeze(other, "alice")
        return 0

    posted = sum(at_once([freezer, *[payer(seed) for seed in range(4)]]))

    assert count(conn, "transactions") == 2 + posted
    later = """
        SELECT count(*) FROM transactions t JOIN transaction_entries e ON e.transaction_id = t.id
        JOIN accounts a ON a.id = e.account_id
        WHERE a.code = 'alice' AND t.posted_at > (SELECT at FROM audit_logs WHERE action = 'account freeze')
    """
    assert conn.execute(later).fetchall() == [(0,)]
    assert count(conn, "audit_logs", "outcome = 'refused' AND detail ->> 'reason' = 'ACCOUNT_FROZEN'") == 4
    assert clean(funded)


def test_files_that_share_keys_and_no_account_are_imported_at_once(
    funded: Books, open_main: Open, conn: Connection
) -> None:
    """No lock keeps them apart, so they race for the keys: one posts, the other is told whose they are."""
    accounts.create(funded, [new("from-0", "equity", None), new("from-1", "equity", None), new("to-0"), new("to-1")])

    def importer(number: int) -> Callable[[], str]:
        rows = [f"from-{number},to-{number},1,k{row}" for row in range(200)]
        rows = rows if number else rows[::-1]  # in opposite order, which could deadlock
        content = "\n".join(["from,to,amount,key", *rows, ""]).encode()
        books, file = open_main(), TransferFile(Input("in.csv", BytesIO(content)), {"idempotency_key": "key"}, {})
        return lambda: str(importing.run(books, file, quiet).receipt["status"])

    assert Counter(at_once([importer(0), importer(1)])) == {"complete": 1, "refused": 1}
    assert count(conn, "transactions") == 200 + 2
    assert clean(funded)


def test_the_same_accounts_created_at_once_are_created_once(books: Books, open_main: Open, conn: Connection) -> None:
    codes = [f"a{number}" for number in range(50)]

    def creator(step: int) -> Callable[[], int]:
        other = open_main()
        return lambda: accounts.create(other, [new(code) for code in codes[::step]]).created

    assert sum(at_once([creator(step) for step in (1, -1, 1, -1)])) == 50
    assert count(conn, "audit_logs", "action = 'account create'") == 50
