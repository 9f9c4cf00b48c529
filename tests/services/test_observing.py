"""What monitoring sees is what the tables hold, however the lines of the audit log become visible."""

from __future__ import annotations

import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from io import BytesIO
from threading import Event
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from ledgerctl import config, errors, metrics
from ledgerctl.cache import server
from ledgerctl.cache.server import Server
from ledgerctl.core.model import Kind, Leg, Side
from ledgerctl.core.requesting import request
from ledgerctl.db import epochs, gauges, migrate
from ledgerctl.db.connection import Connection
from ledgerctl.formats.records import Input
from ledgerctl.formats.transfer_csv import TransferFile
from ledgerctl.ids import uuid7
from ledgerctl.metrics import Metric, Samples
from ledgerctl.services import (
    accounts,
    import_reversal,
    importing,
    observing,
    observing_redis,
    payments,
    reconciling,
    setup,
)
from ledgerctl.services.balance_reads import Reader
from ledgerctl.services.books import Books
from ledgerctl.services.import_job import Options
from ledgerctl.services.observing import Observatory
from ledgerctl.services.observing_redis import Watch
from tests.conftest import database_at
from tests.redis_servers import Redis
from tests.services.conftest import new, transfer

Look = Callable[..., float]


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def observatory(conninfo: str, told: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Observatory]:
    """One that asks the database each time."""
    monkeypatch.setattr(observing, "CACHE_S", 0)
    made = Observatory(database_at(conninfo), lambda: 0, told.append)
    yield made
    made.database.close()


@pytest.fixture
def look(observatory: Observatory) -> Look:
    """A metric's value now: of these labels, or the sum over all of `main` that begin so."""

    def value(metric: Metric, *labels: str) -> float:
        return sum(number for (one, values), number in observatory.samples().items()
                   if one is metric and values[1:][: len(labels)] == labels)  # fmt: skip

    return value


def imported(books: Books, content: bytes, **options: Any) -> None:
    importing.run(
        books, TransferFile(Input("in.csv", BytesIO(content)), {}, {}), lambda *_: None, options=Options(**options)
    )


def test_what_is_posted_and_refused_is_counted_by_kind_since_the_first_look(funded: Books, look: Look) -> None:
    assert look(metrics.TRANSACTIONS) == look(metrics.ENTRIES) == look(metrics.VOLUME) == 0  # two were posted before

    one = payments.post_one(funded, transfer("alice", "bob", "12.50"))
    legs = [Leg("alice", Side.DEBIT, Decimal(3), None), Leg("bob", Side.CREDIT, Decimal(1), None),
            Leg("carol", Side.CREDIT, Decimal(2), None)]  # fmt: skip
    payments.post_one(funded, request(uuid7(), "three", Kind.JOURNAL, legs))
    payments.reverse(funded, uuid7(), "undo", one.transaction.id, None, None)
    payments.post_one(funded, transfer("alice", "bob", "1", "again"))
    payments.post_one(funded, transfer("alice", "bob", "1", "again"))  # a replay is no transaction
    with pytest.raises(errors.InsufficientFunds):
        payments.post_one(funded, transfer("carol", "bob", "1000"))

    assert look(metrics.TRANSACTIONS, "transfer", "posted") == 2
    assert look(metrics.TRANSACTIONS, "transfer", "refused") == look(metrics.REFUSALS, "INSUFFICIENT_FUNDS") == 1
    assert look(metrics.TRANSACTIONS, "journal", "posted") == look(metrics.TRANSACTIONS, "reversal", "posted") == 1
    assert [look(metrics.ENTRIES, kind) for kind in ("transfer", "journal", "reversal")] == [4, 3, 2]
    assert look(metrics.VOLUME, "EUR") == 12.50 + 3 + 12.50 + 1


@pytest.mark.parametrize("options", [{}, {"commit_every": 2}], ids=["at once", "in pieces"])
def test_the_rows_of_an_import_and_of_its_reversal_are_counted_once(
    funded: Books, look: Look, options: dict[str, Any]
) -> None:
    look(metrics.TRANSACTIONS)

    imported(funded, b"from,to,amount\nalice,bob,1\nbob,alice,2\nalice,nobody,1\nalice,carol,4\n",
             skip_rejects=True, **options)  # fmt: skip

    assert look(metrics.TRANSACTIONS, "transfer", "posted") == 3
    assert look(metrics.TRANSACTIONS, "transfer", "refused") == 1
    assert (look(metrics.ENTRIES, "transfer"), look(metrics.VOLUME)) == (6, 7)
    assert (look(metrics.REFUSALS, "ACCOUNT_NOT_FOUND"), look(metrics.REFUSALS)) == (1, 1)

    import_reversal.reverse(funded, import_reversal.Asked(1), lambda *_: None)

    assert look(metrics.TRANSACTIONS, "reversal", "posted") == 3
    assert (look(metrics.ENTRIES, "reversal"), look(metrics.VOLUME)) == (6, 14)


def test_an_import_that_was_refused_is_counted_by_its_bad_rows_and_its_reason(funded: Books, look: Look) -> None:
    look(metrics.TRANSACTIONS)

    imported(funded, b"from,to,amount\nalice,nobody,1\nbob,alice,2\nalice,nobody,1\n")

    assert look(metrics.TRANSACTIONS, "transfer", "posted") == 0
    assert look(metrics.TRANSACTIONS, "transfer", "refused") == 2
    assert (look(metrics.REFUSALS, "ACCOUNT_NOT_FOUND"), look(metrics.REFUSALS)) == (2, 2)


LINE = """
    INSERT INTO audit_logs (ledger_id, actor, action, subject, outcome, request_id, detail)
    SELECT id, 'x', 'transfer', 's', 'posted', 'r', '{"transactions": 1, "entries": 2, "volume": {}}' FROM ledgers
"""


def test_a_line_that_becomes_visible_after_later_ones_is_counted_and_none_twice(
    books: Books, conninfo: str, look: Look
) -> None:
    look(metrics.TRANSACTIONS)
    with psycopg.connect(conninfo) as late, psycopg.connect(conninfo) as rolled_back:
        late.execute(LINE)
        rolled_back.execute(LINE)
        with psycopg.connect(conninfo) as soon:
            soon.execute(LINE)
        assert look(metrics.TRANSACTIONS) == 1
        rolled_back.rollback()
        assert look(metrics.TRANSACTIONS) == 1
    assert [look(metrics.TRANSACTIONS), look(metrics.TRANSACTIONS)] == [2, 2]


def test_while_many_post_nothing_is_missed_and_nothing_counted_twice(
    funded: Books, open_main: Callable[..., Books], look: Look, conn: Connection
) -> None:
    def post(books: Books) -> None:
        for _ in range(40):
            payments.post_one(books, transfer("alice", "bob", "0.01"))
            payments.post_one(books, transfer("bob", "alice", "0.01"))

    look(metrics.TRANSACTIONS)
    with ThreadPoolExecutor() as pool:
        at_work = [pool.submit(post, open_main()) for _ in range(4)]
        while not all(one.done() for one in at_work):
            look(metrics.TRANSACTIONS)
        for one in at_work:
            one.result()

    assert look(metrics.TRANSACTIONS) == 4 * 80
    assert look(metrics.VOLUME) == pytest.approx(4 * 80 * 0.01)


def test_accounts_are_counted_by_status_and_followed(funded: Books, look: Look, conn: Connection) -> None:
    assert (look(metrics.ACCOUNTS, "active"), look(metrics.ACCOUNTS)) == (5, 5)

    accounts.create(funded, [new("dave"), new("erin"), new("alice")])  # one was there
    accounts.freeze(funded, "alice")
    accounts.freeze(funded, "bob")
    accounts.unfreeze(funded, "alice")
    accounts.close(funded, "dave")
    with pytest.raises(errors.AccountNotEmpty):
        accounts.close(funded, "bob")

    statuses: dict[str, int] = dict(conn.execute("SELECT status, count(*) FROM accounts GROUP BY status").fetchall())
    assert {status: look(metrics.ACCOUNTS, status) for status in statuses} == statuses
    assert statuses == {"active": 5, "frozen": 1, "closed": 1}


def test_the_books_last_runs_and_open_imports_are_told(funded: Books, look: Look, conn: Connection) -> None:
    assert look(metrics.BOOKS_VERIFIED) == 0  # nothing is told of it: it was never

    reconciling.run(funded, lambda *_: None)
    clean_at = look(metrics.BOOKS_VERIFIED)
    conn.execute("ALTER TABLE accounts DISABLE TRIGGER ALL")
    conn.execute("UPDATE accounts SET balance = balance + 1 WHERE code = 'alice'")
    found = reconciling.run(funded, lambda *_: None).findings
    conn.execute(
        "INSERT INTO imports (ledger_id, file, sha256, status, actor) SELECT id, 'x', '', 'running', 'x' FROM ledgers"
    )

    assert look(metrics.BOOKS_VERIFIED) == clean_at > 1_000_000_000
    assert look(metrics.BOOKS_FINDINGS) == len(found) > 0
    assert look(metrics.IMPORTS_OPEN) == 1


def test_who_waits_for_a_lock_is_told(funded: Books, conninfo: str, observatory: Observatory) -> None:
    # Left from the right: the holder lets go first, whatever happens.
    with ThreadPoolExecutor() as pool, psycopg.connect(conninfo) as waiter, psycopg.connect(conninfo) as holder:
        holder.execute("SELECT FROM accounts WHERE code = 'alice' FOR UPDATE")
        waiting = pool.submit(waiter.execute, "SELECT FROM accounts WHERE code = 'alice' FOR UPDATE")
        while not observatory.samples()[metrics.LOCK_WAITERS, ()]:
            assert not waiting.done()
        assert observatory.samples()[metrics.LONGEST_LOCK_WAIT, ()] > 0
        holder.rollback()
        waiting.result()
    assert observatory.samples()[metrics.LOCK_WAITERS, ()] == 0


def test_a_database_that_goes_away_and_comes_back_is_read_again(
    funded: Books, observatory: Observatory, told: list[str], conn: Connection, look: Look
) -> None:
    look(metrics.TRANSACTIONS)
    payments.post_one(funded, transfer("alice", "bob", "1"))
    look(metrics.TRANSACTIONS)
    nobody = "UPDATE pg_database SET datallowconn = %s WHERE datname = current_database()"
    conn.execute(nobody, [False])
    conn.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    away = observatory.samples()
    conn.execute(nobody, [True])
    assert away[metrics.DATABASE_UP, ()] == 0
    assert away[metrics.TRANSACTIONS, ("main", "transfer", "posted")] == 1  # what was counted stays
    assert (metrics.DATABASE_SIZE, ()) not in away
    payments.post_one(funded, transfer("alice", "bob", "1"))

    assert look(metrics.DATABASE_UP) == 1
    assert look(metrics.TRANSACTIONS, "transfer", "posted") == 2
    assert [told[0].startswith("the books cannot be read: "), told[1:]] == [True, ["the books can be read again"]]


def test_a_schema_of_another_program_is_not_read(observatory: Observatory, conn: Connection) -> None:
    assert observatory.trouble() == ""
    conn.execute("UPDATE alembic_version SET version_num = '0001'")

    assert "schema" in observatory.trouble()
    assert observatory.samples()[metrics.DATABASE_UP, ()] == 0


LINES = """
    INSERT INTO audit_logs (ledger_id, actor, action, subject, outcome, request_id)
    SELECT l.id, 'x', 'account create', 'x', 'done', 'x' FROM ledgers l, generate_series(1, 20000)
"""


@pytest.mark.parametrize("question", ["HERE", "ACTIVITY", "VOLUMES", "REASONS"])
def test_the_audit_log_is_not_read_from_end_to_end(books: Books, conn: Connection, question: str) -> None:
    conn.execute(LINES)
    conn.execute("ANALYZE")
    place = gauges.here(conn)

    asked = {"since": place.snapshot, "floor": place.newest}
    plan = "\n".join(
        line for (line,) in conn.execute(f"EXPLAIN {getattr(gauges, question)}".encode(), asked).fetchall()
    )

    assert "audit_logs_pkey" in plan
    assert "Seq Scan on audit_logs" not in plan


def test_however_many_ask_the_database_is_asked_every_few_seconds(conninfo: str, conn: Connection) -> None:
    observatory = Observatory(database_at(conninfo), lambda: 0, print)
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda _: observatory.samples(), range(20)))
    observatory.database.close()

    assert all(one is found[0] for one in found)


def test_the_role_for_metrics_may_ask_all_of_it(funded: Books, conninfo: str) -> None:
    setup.create_roles(funded.database)
    observatory = Observatory(database_at(f"{conninfo} options='-c role=ledger_metrics'"), lambda: 0, print)
    observatory.samples()
    observatory._kept_until = 0

    assert observatory.samples()[metrics.DATABASE_UP, ()] == 1
    observatory.database.close()


def test_the_role_for_metrics_may_ask_before_it_is_given_its_rights_again(
    books: Books, conninfo: str, conn: Connection
) -> None:
    """After an upgrade, it had them before."""
    setup.create_roles(books.database)
    conn.execute("DROP VIEW live_epochs; DROP TABLE cache_epochs; UPDATE alembic_version SET version_num = '0007'")
    migrate.upgrade(conninfo)
    observatory = Observatory(database_at(f"{conninfo} options='-c role=ledger_metrics'"), lambda: 0, print)

    assert observatory.samples()[metrics.DATABASE_UP, ()] == 1
    observatory.database.close()


# -- Redis -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def watch(observatory: Observatory, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """With time enough for a machine that is busy."""
    monkeypatch.setattr(observing_redis, "ANSWER_S", 5.0)
    observatory.redis = Watch(config.Redis(url=redis.url, timeout_ms=5000))
    return observatory.redis


def up_and_resting(observatory: Observatory) -> tuple[float, float]:
    samples = observatory.samples()
    return samples[metrics.REDIS_UP, ()], samples[metrics.REDIS_RESTING, ()]


def test_redis_is_told_of_where_one_is_configured_only(observatory: Observatory) -> None:
    found = {metric for metric, _ in observatory.samples()}

    assert found & {metrics.REDIS_UP, metrics.REDIS_RESTING} == set()
    assert observatory.trouble() == ""


def test_a_redis_that_goes_away_is_down_then_left_alone_and_up_when_it_is_back(
    observatory: Observatory, watch: Watch, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(server, "time", SimpleNamespace(monotonic=lambda: now))
    assert up_and_resting(observatory) == (1, 0)
    redis.kill()
    redis.start()
    assert up_and_resting(observatory) == (1, 0)  # nobody was without it
    redis.kill()
    assert [up_and_resting(observatory) for _ in range(2)] == [(0, 0)] * 2
    redis.start()
    assert up_and_resting(observatory) == (1, 0)
    redis.kill()
    assert [up_and_resting(observatory) for _ in range(3)] == [(0, 0), (0, 0), (0, 1)]
    redis.start()
    assert up_and_resting(observatory) == (0, 1)  # it is not asked
    assert observatory.trouble().startswith("Redis cannot be reached: ")
    now += server.LEAST_REST_S
    assert up_and_resting(observatory) == (1, 0)
    assert observatory.trouble() == ""


@pytest.mark.parametrize("timeout_ms", [100, 60_000])
def test_a_redis_that_is_silent_holds_no_scrape_up(observatory: Observatory, redis: Redis, timeout_ms: int) -> None:
    observatory.redis = Watch(config.Redis(url=redis.url, timeout_ms=timeout_ms))
    redis.pause()
    started = time.monotonic()
    samples = observatory.samples()

    assert time.monotonic() - started < 1
    assert (samples[metrics.REDIS_UP, ()], samples[metrics.DATABASE_UP, ()]) == (0, 1)
    assert observatory.trouble().startswith("Redis ")


def test_how_long_the_books_took_says_nothing_of_redis(
    observatory: Observatory, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow() -> Samples:
        time.sleep(1)
        return {}

    monkeypatch.setattr(watch, "samples", slow)

    assert observatory.samples()[metrics.READ_DURATION, ()] < 1


def test_a_name_that_is_being_looked_up_for_ever_holds_nothing_up_and_is_looked_up_once(
    observatory: Observatory, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, asked = Event(), []

    def resolve(*name: object, **_kwargs: object) -> list[object]:
        asked.append(name)
        found.wait(30)
        raise OSError("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    observatory.redis = Watch(config.Redis(url="redis://nowhere.example"))
    started = time.monotonic()
    told = [up_and_resting(observatory) for _ in range(3)]
    took_s = time.monotonic() - started
    found.set()

    assert (told, len(asked)) == ([(0, 0), (0, 0), (0, 1)], 1)  # three times in vain: it is left alone
    assert took_s < 1.5


def test_redis_without_its_library_is_said_and_the_books_are_watched(
    observatory: Observatory, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)

    assert up_and_resting(observatory) == (0, 0)
    assert observatory.samples()[metrics.DATABASE_UP, ()] == 1
    assert "[redis] url needs the redis library" in observatory.trouble()


def test_the_state_of_the_balances_in_redis_is_told_once_there_were_any(
    funded: Books, observatory: Observatory, redis: Redis, conn: Connection
) -> None:
    def states() -> dict[str, float]:
        return {
            labels[1]: value
            for (metric, labels), value in observatory.samples().items()
            if metric is metrics.BALANCE_CACHE and labels[0] == "main"
        }

    assert states() == {}
    cache = Server(redis.url, 1)
    deadline = time.monotonic() + 30
    while not states().get("on"):
        assert time.monotonic() < deadline
        Reader(replace(funded, cache=cache)).balance("alice")
    assert states() == {"off": 0, "arming": 0, "waiting": 0, "on": 1, "closing": 0}
    conn.execute("UPDATE cache_epochs SET server_started_at = server_started_at - interval '1 hour'")
    assert states() == {"off": 0, "arming": 0, "waiting": 0, "on": 0, "closing": 1}
    payments.post_one(funded, transfer("alice", "bob", "1"))
    assert states()["off"] == 1
    cache.close()


def test_the_states_that_are_told_are_those_of_the_schema(conn: Connection) -> None:
    asked = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'cache_epochs_state'"
    [[definition]] = conn.execute(asked).fetchall()

    assert re.findall(r"'(\w+)'", definition) == list(epochs.STATES)
