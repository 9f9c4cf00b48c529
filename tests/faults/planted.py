"""Bugs to be planted into a run, one at a time: each a patch of this file alone, with the checkers that must find it.

The numbers are those of the list in docs/reliability.md. Where the database's own guards would refuse what a bug makes,
they are switched off in the bank of that run, so that it is the checker that has to find it.
"""

from __future__ import annotations

import os
import random
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg

from ledgerctl import errors
from ledgerctl.core import decision, fingerprint, money
from ledgerctl.core.model import Original, Posted, Request, Standing, recorded
from ledgerctl.db import arrays, audit, checkpoints, connection, journal, scopes
from ledgerctl.db import outcomes as of_driver
from ledgerctl.db.journal import Gathered
from ledgerctl.ids import uuid7
from ledgerctl.services import payments
from tests.faults import early
from tests.faults.campaign import Plan

Patches = Sequence[tuple[Any, str, Any]]


_BANK = Plan(0, steps=200)


@dataclass(frozen=True)
class Bug:
    """`plant` gives what is to be patched; `sql` is run on the bank first.

    One of `caught_by` must speak up, in a sentence that holds the word behind its name, where there is one.
    """

    number: int
    words: str
    caught_by: tuple[str, ...]
    plant: Callable[[], Patches] = lambda: ()
    sql: str = ""
    plan: Plan = _BANK
    server: str = ""
    """Lines of postgresql.conf, on a server of its own."""


_ENTRY_GUARDS = """
    ALTER TABLE transaction_entries DISABLE TRIGGER transaction_entries_check;
    ALTER TABLE accounts DISABLE TRIGGER accounts_check_update;
"""
_ANY_AMOUNT = """
    ALTER TABLE transaction_entries DROP CONSTRAINT transaction_entries_amount,
                                    DROP CONSTRAINT transaction_entries_balance;
    ALTER TABLE accounts DROP CONSTRAINT accounts_balance_finite, DROP CONSTRAINT accounts_min_balance;
"""
_NO_KEY_INDEX = "DROP INDEX transactions_idempotency_key;"
_NO_REVERSAL_INDEX = "DROP INDEX transactions_reversed_once;"
WITHOUT_GUARDS = _ENTRY_GUARDS + _ANY_AMOUNT + _NO_REVERSAL_INDEX
"""The key's index is no guard but the rule itself: requests under one key need not have an account in common."""
_CENTS_FOR_YEN = """
    ALTER TABLE accounts DISABLE TRIGGER accounts_keep_identity;
    SET session_replication_role = replica;
    UPDATE currencies SET exponent = 2 WHERE code = 'JPY';
    UPDATE accounts SET exponent = 2 WHERE currency = 'JPY';
    RESET session_replication_role;
"""
_NO_TRUNCATE_GUARD = """
    DROP TRIGGER transaction_entries_no_truncate ON transaction_entries;
"""

_NEW_IDS = "SELECT DISTINCT transaction_id AS id FROM some_entries"
_moved = checkpoints.moved
_since = scopes.since
_gather = journal.gather
_write = journal.write
_log = audit.log
_post_one = payments.post_one
_post_each = payments.post_each
_post = payments._post
_transact = connection.Database.transact
_read_committed = connection.BEGIN


# -- what is read, and when ------------------------------------------------------------------------------------------


def _gathered(gather: early.Gather) -> Callable[[], Patches]:
    return lambda: [(journal, "gather", gather)]


def _sum_in_the_lock() -> Patches:
    total = (
        "(SELECT coalesce(sum(e.amount), 0) FROM transaction_entries e"
        " WHERE e.ledger_id = accounts.ledger_id AND e.account_id = accounts.id) AS balance, seq"
    )
    return [(journal, "LOCK", journal.LOCK.replace("balance, seq", total))]


def _first_facts_for_ever() -> Patches:
    """What a retry from a savepoint does: it goes on with what was read before the locks were lost."""
    kept: dict[Any, decision.Facts] = {}

    def gather(conn: Any, ledger: int, requests: Sequence[Request]) -> Gathered:
        gathered = _gather(conn, ledger, requests)
        facts = gathered.facts
        first = kept.setdefault(requests[0].id, facts)
        standings = {code: Standing(one.balance, facts.standings[code].seq) for code, one in first.standings.items()}
        return gathered._replace(facts=facts._replace(standings=standings))

    return [(journal, "gather", gather)]


def _lock_request_by_request() -> Patches:
    def post(conn: Any, books: Any, requests: Sequence[Request], change: Any, *_by: Any) -> list[Any]:
        return [outcome for request in requests for outcome in _post(conn, books, [request], change)]

    return [(payments, "_post", post)]


def _from_the_largest_id(oldest_running: bool) -> Callable[[], Patches]:
    """What is new is what has an id beyond the largest that was read. An id is given before its transaction commits."""
    horizon = " AND xid8 < pg_snapshot_xmin(pg_current_snapshot())" if oldest_running else ""
    largest = f"SELECT id FROM transactions WHERE ledger_id = %s{horizon} ORDER BY id DESC LIMIT 1"
    position = {"now": UUID(int=0), "next": UUID(int=0)}

    def moved(conn: Any, ledger: int) -> Any:
        row = conn.execute(largest.encode(), [ledger]).fetchone()
        position.update(now=position["next"], next=row[0] if row else position["next"])
        return _moved(conn, ledger)

    def since(ledger: int, moved: Any) -> scopes.Scope:
        new = f"SELECT DISTINCT transaction_id AS id FROM some_entries WHERE transaction_id > '{position['now']}'"
        scope = _since(ledger, moved)
        return replace(scope, tables=scope.tables.replace(_NEW_IDS, new))

    return lambda: [(checkpoints, "moved", moved), (scopes, "since", since)]


def _no_ledger() -> Patches:
    return [(journal, "KEYS", journal.KEYS.replace("ledger_id + 0 = %s", "%s IS NOT NULL"))]


# -- what is taken for the outcome -----------------------------------------------------------------------------------


def _asked_once() -> Patches:
    """The connection is gone: the key is looked up at once, and what is not there yet is taken for never."""

    def post_one(books: Any, request: Request, **_: Any) -> payments.Receipt:
        try:
            [outcome] = books.database._once(payments._post, (books, [request], None), {})
        except connection._Failed as failed:
            if failed.unknown and journal.known(books.database.connect(), books.ledger, [request.key]):
                return _post_one(books, request)
            raise of_driver.translated(failed.error, of_driver.Spent(1, 0, None)) from None
        return _receipt(books, outcome)

    return [(payments, "post_one", post_one)]


def _receipt(books: Any, outcome: Any) -> payments.Receipt:
    if isinstance(outcome, Posted):
        return payments.Receipt(recorded(outcome), replayed=False)
    return _post_one(books, outcome.request)


def _new_key_after_loss() -> Patches:
    def post_one(books: Any, request: Request, **_: Any) -> payments.Receipt:
        try:
            [outcome] = books.database._once(payments._post, (books, [request], None), {})
        except connection._Failed:
            return _post_one(books, request._replace(id=uuid7(), key=f"{request.key} once more"))
        return _receipt(books, outcome)

    return [(payments, "post_one", post_one)]


def _new_key_for_each_try() -> Patches:
    tries: dict[Any, int] = {}

    def post(conn: Any, books: Any, requests: Sequence[Request], change: Any, *_by: Any) -> list[Any]:
        number = tries[requests[0].id] = tries.get(requests[0].id, 0) + 1
        if number > 1:
            requests = [request._replace(id=uuid7(), key=f"{request.key} try {number}") for request in requests]
        return _post(conn, books, requests, change)

    return [(payments, "_post", post)]


def _tag_ignored() -> Patches:
    """A statement fails, the error is swallowed, and the server answers COMMIT with ROLLBACK."""

    def log(conn: Any, *args: Any) -> None:
        _log(conn, *args)
        if random.random() < 0.1:
            with suppress(psycopg.Error):
                conn.execute("SELECT 1 / 0")

    def transact(self: Any, work: Any, *args: Any) -> Any:
        conn = self.connect()
        conn.execute(_read_committed)
        try:
            result = work(conn, *args)
        except BaseException:
            conn.rollback()
            raise
        conn.execute("COMMIT")
        return result

    return [(audit, "log", log), (connection.Database, "transact", transact)]


def _status_believed() -> Patches:
    """`committed`, says pg_xact_status, of a number that was given out again after the crash."""

    def transact(self: Any, work: Any, *args: Any) -> Any:
        told: list[Any] = []

        def numbered(conn: Any, *args: Any) -> Any:
            result = work(conn, *args)
            told[:] = [conn.execute("SELECT pg_current_xact_id()::text").fetchall()[0][0], result]
            return result

        try:
            return self._once(numbered, args, {})
        except connection._Failed as failed:
            if failed.unknown and told and _status(self, told[0]) == "committed":
                return told[1]
        return _transact(self, work, *args)

    return [(connection.Database, "transact", transact)]


def _status(database: Any, number: str) -> Any:
    """Asked for until there is one: others are at work again, and take the numbers that were lost."""
    for _ in range(100):
        with suppress(Exception):
            [[status]] = database.connect().execute("SELECT pg_xact_status(%s::xid8)", [number]).fetchall()
            if status != "in progress":
                return status
        time.sleep(0.02)
    return None


def _by_sqlstate() -> Patches:
    """Not in a pipeline, where the driver tells of the lost connection before it tells of the server's last word."""

    def transact(self: Any, work: Any, *args: Any) -> Any:
        return self.transact_at_length(self.limits, work, *args)

    def judge(error: psycopg.Error) -> bool:
        return error.sqlstate is not None

    return [
        (connection, "refused_by_server", judge),
        (of_driver, "refused_by_server", judge),
        (connection.Database, "transact", transact),
    ]


def _refusals_kept() -> Patches:
    kept: dict[tuple[str, str], Exception] = {}

    def post_one(books: Any, request: Request, **_: Any) -> payments.Receipt:
        place = (books.name, request.key)
        if place in kept:
            raise kept[place]
        try:
            return _post_one(books, request)
        except errors.InsufficientFunds as refusal:
            kept[place] = refusal
            raise

    return [(payments, "post_one", post_one)]


# -- the REST API ----------------------------------------------------------------------------------------------------


def _answered_before_the_commit() -> Patches:
    """Those whose requests were gathered are told what is about to be posted, by another thread."""
    later, own = ThreadPoolExecutor(1), threading.local()

    def dry(books: Any, request: Request) -> payments.Receipt | errors.LedgerError:
        try:
            return _post_one(books, request, dry_run=True)
        except errors.LedgerError as refusal:
            return refusal

    def post(books: Any, requests: Sequence[Request], by: Any) -> None:
        if not hasattr(own, "database"):
            own.database = books.database.attached()
        _post_each(replace(books, database=own.database), requests, by)

    def post_each(
        books: Any, requests: Sequence[Request], by: Any = None
    ) -> list[payments.Receipt | errors.LedgerError]:
        if by is None:
            return _post_each(books, requests)
        answers = [dry(books, request) for request in requests]
        later.submit(post, books, requests, by)
        return answers

    return [(payments, "post_each", post_each)]


def _answers_exchanged() -> Patches:
    def post_each(books: Any, requests: Sequence[Request], *by: Any) -> list[payments.Receipt | errors.LedgerError]:
        answers = _post_each(books, requests, *by)
        return answers[::-1] if by else answers

    return [(payments, "post_each", post_each)]


def _list_in_part() -> Patches:
    def post_all(books: Any, requests: Sequence[Request]) -> list[payments.Receipt]:
        answers = _post_each(books, requests)
        for number, answer in enumerate(answers, 1):
            if isinstance(answer, errors.LedgerError):
                answer.details["number"] = number
                raise answer
        return [answer for answer in answers if isinstance(answer, payments.Receipt)]

    return [(payments, "post_all", post_all)]


def _stopped_at_once() -> Patches:
    import uvicorn

    async def shutdown(*_: Any, **__: Any) -> None:
        os._exit(0)

    return [(uvicorn.Server, "shutdown", shutdown)]


# -- what is written -------------------------------------------------------------------------------------------------


def _commit_per_leg() -> Patches:
    def write(conn: Any, ledger: int, posted: Any, standings: Any) -> None:
        for outcome in posted:
            first, *others = outcome.entries
            _write(conn, ledger, [outcome._replace(entries=(first,))], {first.account.code: first})
            conn.execute("COMMIT")
            conn.execute(_read_committed)
            _write_more(conn, ledger, outcome, others)

    return [(journal, "write", write)]


def _write_more(conn: Any, ledger: int, outcome: Any, entries: Sequence[Any]) -> None:
    conn.execute(
        journal.INSERT_ENTRIES,
        [
            ledger,
            [entry.account.id for entry in entries],
            [entry.seq for entry in entries],
            [outcome.request.id for _ in entries],
            [money.text(entry.amount, entry.account.exponent) for entry in entries],
            [money.text(entry.balance, entry.account.exponent) for entry in entries],
        ],
    )
    accounts_by_code = {entry.account.code: entry.account for entry in entries}
    last = {entry.account.code: entry for entry in entries}
    journal.move(conn, ledger, accounts_by_code, last, outcome.posted_at)


def _audit_apart() -> Patches:
    def log(conn: Any, *args: Any) -> None:
        conn.execute("COMMIT")
        conn.execute(_read_committed)
        _log(conn, *args)

    return [(audit, "log", log)]


def _floats() -> Patches:
    return [(money, "minor", lambda amount, exponent: int(float(amount) * 10**exponent))]


def _rounded() -> Patches:
    def minor(amount: Decimal, exponent: int) -> int:
        return int(amount.scaleb(exponent).to_integral_value("ROUND_HALF_EVEN"))

    return [(money, "fits", lambda _amount, _exponent: True), (money, "minor", minor)]


def _not_a_number() -> Patches:
    parse, minor, text = money.parse, money.minor, money.text
    texts = arrays._WORDS[str]

    def any_parse(words: str) -> Decimal:
        return Decimal(words) if words == "NaN" else parse(words)

    def any_minor(amount: Decimal, exponent: int) -> Any:
        return float("nan") if amount.is_nan() else minor(amount, exponent)

    def any_text(units: Any, exponent: int) -> str:
        return text(units, exponent) if isinstance(units, int) else "NaN"

    def any_texts(elements: Sequence[str]) -> str:
        return texts([re.sub(r"^nane-\d+$", "NaN", element) for element in elements])

    sums = decision._sums

    def any_sums(entries: Any) -> Any:
        return [one for one in sums(entries) if one[2] == one[2]]

    return [
        (money, "parse", any_parse),
        (money, "minor", any_minor),
        (money, "text", any_text),
        (arrays, "_WORDS", {**arrays._WORDS, str: any_texts}),
        (decision, "_sums", any_sums),
    ]


def _as_written() -> Patches:
    return [(fingerprint, "canonical", str)]


def _no_payload() -> Patches:
    return [(fingerprint, "fingerprint", lambda *_: bytes(32))]


def _reversed_again() -> Patches:
    judge = decision._reversal_refusal

    def as_if_first(request: Request, original: Original, ahead: Any) -> Any:
        return judge(request, original._replace(reversed_by=None), ahead)

    return [(decision, "_reversal_refusal", as_if_first)]


def _sequence() -> Patches:
    def gather(conn: Any, ledger: int, requests: Sequence[Request]) -> Gathered:
        gathered = _gather(conn, ledger, requests)
        facts = gathered.facts
        numbered = {}
        for code, standing in facts.standings.items():
            [[number]] = conn.execute("SELECT nextval('numbers')").fetchall()
            numbered[code] = Standing(standing.balance, 1000 * number)
        return gathered._replace(facts=facts._replace(standings=numbered))

    return [(journal, "gather", gather)]


BUGS = (
    Bug(1, "locks in the order of the request", ("C15",),
        _gathered(early.locks_in_the_order_of_the_request), plan=Plan(1, "bank", 8, 60)),
    Bug(2, "balance read before the lock", ("C2",), _gathered(early.balance_before_the_lock), _ENTRY_GUARDS),
    Bug(3, "status read before the lock", ("C12",), _gathered(early.status_before_the_lock),
        plan=Plan(3, "freezes", 8, 400)),
    Bug(4, "sum of entries in the lock statement", ("C2",), _sum_in_the_lock, _ENTRY_GUARDS),
    Bug(5, "key looked up before the lock, no constraint", ("C5",), _gathered(early.key_before_the_lock), _NO_KEY_INDEX,
        Plan(5, "races", 8, 60, ahead=1)),
    Bug(6, "key looked up once after the connection is lost", ("C5",), _asked_once,
        plan=Plan(6, "singles", 4, 100, wire=("late request",), wire_rate=0.2)),
    Bug(7, "a lost connection is taken for an abort, and a new key sent", ("C5 intent",), _new_key_after_loss,
        plan=Plan(7, "singles", 4, 80, wire=("lost answer",), wire_rate=0.2)),
    Bug(8, "a new key for each try", ("C5 intent",), _new_key_for_each_try,
        plan=Plan(8, "singles", 4, 80, wire=("lost answer",), wire_rate=0.2)),
    Bug(9, "the tag of COMMIT is ignored", ("C5",), _tag_ignored, plan=Plan(9, "singles", 4, 150)),
    Bug(10, "a retry goes on with what was read before", ("C2", "C12"), _first_facts_for_ever, _ENTRY_GUARDS,
        Plan(10, "singles", 6, 100, wire=("lost request",), wire_rate=0.2)),
    Bug(11, "a commit for each leg", ("C1", "C6"), _commit_per_leg, _ENTRY_GUARDS,
        Plan(11, faults=("kill client at a point",), strikes=5)),
    Bug(12, "the audit log written by another transaction", ("C10",), _audit_apart),
    Bug(13, "amounts as floating-point numbers", ("C12",), _floats, _ENTRY_GUARDS),
    Bug(14, "rounded where it is to be refused", ("C12",), _rounded, plan=Plan(14, "odd", 4, 300)),
    Bug(15, "NaN taken for an amount", ("C2", "C3"), _not_a_number, _ENTRY_GUARDS + _ANY_AMOUNT,
        Plan(15, "odd", 4, 150)),
    Bug(16, "cents for yen", ("C3",), sql=_CENTS_FOR_YEN, plan=Plan(16, "odd", 4, 300)),
    Bug(17, "the amount's spelling in the fingerprint", ("C12",), _as_written),
    Bug(18, "reversed a second time", ("C12",), _reversed_again, _NO_REVERSAL_INDEX, Plan(18, "reversals", 6, 100)),
    Bug(19, "the reversal's link read before the lock", ("C12",), _gathered(early.reversal_before_the_lock),
        _NO_REVERSAL_INDEX, Plan(19, "reversals", 8, 150, ahead=1)),
    Bug(20, "a reader that goes by the largest id", ("C13",), _from_the_largest_id(False),
        plan=Plan(20, "reconciled", 8, 400)),
    Bug(21, "a reader that goes by id and the oldest running transaction", ("C13",), _from_the_largest_id(True),
        plan=Plan(21, "reconciled", 8, 400)),
    Bug(26, "the payload is not in the fingerprint", ("C11",), _no_payload),
    Bug(28, "synchronous_commit off", ("C5",), server="ledgerctl.ephemeral = on\nsynchronous_commit = off\n",
        plan=Plan(28, "singles", 6, 100_000, faults=("kill server",), strikes=2, gap_s=(0.5, 1.0))),
    Bug(29, "TRUNCATE is not blocked", ("C2",), sql=_NO_TRUNCATE_GUARD,
        plan=Plan(29, "singles", 3, 100_000, faults=("truncate",), strikes=1)),
    Bug(31, "a refusal kept under its key", ("C12",), _refusals_kept, plan=Plan(31, "again", 2, 600)),
    Bug(32, "seq from a sequence", ("C7",), _sequence,
        "CREATE SEQUENCE numbers START 1000; " + _ENTRY_GUARDS),
    Bug(33, "a batch locks as it goes", ("C15",), _lock_request_by_request, plan=Plan(33, "large batches", 6, 8)),
    Bug(34, "a look-up without its ledger", ("C5", "C11", "C12"), _no_ledger),
    Bug(35, "`committed` believed without the row", ("C5",), _status_believed,
        plan=Plan(35, "singles", 12, 100_000, faults=("kill backend",), strikes=10, gap_s=(0.3, 0.6)),
        server="commit_delay = 20000\ncommit_siblings = 1\n"),
    Bug(36, "the outcome judged by SQLSTATE", ("C5",), _by_sqlstate,
        plan=Plan(36, "singles", 4, 100, wire=("fatal answer",), wire_rate=0.2)),
    Bug(37, "the API answers before the commit", ("C5", "C8"), _answered_before_the_commit,
        plan=Plan(37, "bank", 6, 200, by_http=4, apis=1)),
    Bug(38, "answers exchanged among requests that share a transaction", ("C5",), _answers_exchanged,
        plan=Plan(38, "singles", 8, 300, by_http=8, apis=1)),
    Bug(39, "a list that is to be whole, posted in part", ("C5", "C6"), _list_in_part,
        plan=Plan(39, "bank", 4, 200, by_http=3, apis=1)),
    Bug(40, "SIGTERM ends the API with requests unanswered", ("C16",), _stopped_at_once,
        plan=Plan(40, "singles", 6, 100_000, faults=("stop api",), strikes=2, by_http=5)),
)  # fmt: skip
WAITING = {
    22: "a seal by id: there are no seals yet",
}
ELSEWHERE = {
    23: "the cache set before the commit: tests/faults/test_stale_reads.py",
    24: "the cache set without a version: tests/faults/test_stale_reads.py",
    25: "Redis taken for the truth: tests/faults/test_stale_reads.py",
    27: "fsync off: tests/faults/test_power_cuts.py, as the control that must lose",
    30: "an import that resumes by counting lines: tests/faults/test_planted_import.py",
}


def infect(bug: Bug) -> None:
    """From now on the bug is in this process."""
    for owner, name, value in bug.plant():
        setattr(owner, name, value)


def found(bug: Bug, violations: Mapping[str, Sequence[str]]) -> bool:
    """Whether one of the checkers that were named has found it."""
    named = [finder.partition(" ") for finder in bug.caught_by]
    return any(word in sentence for name, _, word in named for sentence in violations.get(name, ()))


def sow(bug: Bug, conninfo: str) -> None:
    """What the bug needs to be so in the database."""
    run_sql(conninfo, bug.sql)


def run_sql(conninfo: str, statements: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute(statements.encode())
